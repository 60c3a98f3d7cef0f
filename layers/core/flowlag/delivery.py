"""The delivery model: how a flow-log service cuts traffic into capture windows and delivers them in bursts.

One model in the project: the local flow-log service lives by it. For CloudWatch Logs it says what was measured,
not what AWS promises. Episode 18 (t2.micro, CloudWatch Logs, 600 s, 2022-03) showed capture windows of 60 s even
under an aggregation interval of 600 s, published every 600.0 +- 0.5 s at a phase that held for hours, as four
deliveries of 2+3+3+2 windows within 0.2 to 1.8 s, the newest packet 17 to 27 s old.

For S3 nobody has published a distribution, and the model joins what is known. Documented: log files are published
every 5 minutes (flow-logs-s3-path.html), and come "in about 10 minutes" after the aggregation interval
(flow-log-records.html, both read 2026-11). Measured by Episode 18: the first object 417 to 960 s after the flow
log's creation. Assumed: a file takes what ended 450 s before. So a packet's record comes 450 to 750 s after it, ten
minutes on average, and so does the first object after the creation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A flow-log service's habits, in seconds. Bursts and their deliveries are those to CloudWatch Logs.

    Attributes:
        window_s: a capture window.
        publish_every_s: time between bursts.
        lag_s: age of the newest window's end when its burst begins.
        windows_per_delivery: how the windows of a burst are dealt out to its deliveries, round and round.
        delivery_gap_s: time between the deliveries of a burst.
        file_every_s: time between log files in S3.
        file_lag_s: age of the newest window's end when a log file in S3 is written.
        assumption: what is not backed by a measurement; empty where everything is.
    """

    name: str
    hypervisor: str
    window_s: float
    publish_every_s: float
    lag_s: float
    windows_per_delivery: tuple[int, ...]
    delivery_gap_s: float
    file_every_s: float
    file_lag_s: float
    assumption: str = ""

    @property
    def to_s3(self) -> Preset:
        """The same service's habits where it delivers to S3: a burst is the windows of one log file."""
        return replace(
            self,
            publish_every_s=self.file_every_s,
            lag_s=self.file_lag_s,
            windows_per_delivery=(round(self.file_every_s / self.window_s),),
        )

    def scaled(self, time_scale: float) -> Preset:
        """The same habits, `time_scale` times as fast.

        The window is cut to whole microseconds first. Were windows and period rounded apart, the newest window of a
        burst would end a moment too late for it, and come a whole period later.
        """
        window_s = round(self.window_s / time_scale, 6)
        return replace(
            self,
            window_s=window_s,
            publish_every_s=window_s * (self.publish_every_s / self.window_s),
            lag_s=self.lag_s / time_scale,
            delivery_gap_s=self.delivery_gap_s / time_scale,
            file_every_s=window_s * (self.file_every_s / self.window_s),
            file_lag_s=self.file_lag_s / time_scale,
        )


_ASSUMED_OF_S3 = "the lag of log files in S3 (450 s) is chosen to fit what AWS documents: about ten minutes"

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="xen-600",
            hypervisor="xen",
            window_s=60,
            publish_every_s=600,
            lag_s=18,
            windows_per_delivery=(2, 3, 3, 2),
            delivery_gap_s=0.4,
            file_every_s=300,
            file_lag_s=450,
            assumption=_ASSUMED_OF_S3,
        ),
        Preset(
            name="nitro-60",
            hypervisor="nitro",
            window_s=60,
            publish_every_s=60,
            lag_s=30,
            windows_per_delivery=(1,),
            delivery_gap_s=0.4,
            file_every_s=300,
            file_lag_s=450,
            assumption=(
                "nobody has published a measurement on Nitro: a burst every 60 s, 30 s late, is a guess; "
                + _ASSUMED_OF_S3
            ),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The model applied to one flow log: its phase decides when its windows end and its bursts begin.

    `phase` is the instant of any one burst.
    """

    preset: Preset
    phase: Micros

    def window_start(self, at: Micros) -> Micros:
        """The label of the capture window that a packet at `at` falls into."""
        return at - (at - self.phase + self._lag) % self._window

    def window_end(self, start: Micros) -> Micros:
        """Where the window that begins at `start` ends; the instant belongs to the next one."""
        return start + self._window

    def burst_after(self, at: Micros) -> Micros:
        """The first burst after `at`."""
        every = _micros(self.preset.publish_every_s)
        return at + every - (at - self.phase) % every

    def is_due(self, start: Micros, burst_at: Micros) -> bool:
        """Whether the burst at `burst_at` delivers the window that begins at `start`."""
        return self.window_end(start) <= burst_at - self._lag

    def deliveries(self, starts: Sequence[Micros]) -> list[list[Micros]]:
        """The windows of a burst, dealt out in order to its deliveries."""
        rest = iter(sorted(starts))
        dealt = (list(islice(rest, size)) for size in cycle(self.preset.windows_per_delivery))
        return list(takewhile(bool, dealt))

    @property
    def _window(self) -> Micros:
        return _micros(self.preset.window_s)

    @property
    def _lag(self) -> Micros:
        return _micros(self.preset.lag_s)


def _micros(seconds: float) -> Micros:
    return round(seconds * 1_000_000)
