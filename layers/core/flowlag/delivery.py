"""The delivery model: how a flow-log service cuts traffic into capture windows and delivers them in bursts.

One model in the project: the local flow-log service lives by it in real time, the simulator in virtual time. For
CloudWatch Logs it says what was measured, not what AWS promises. Episode 18 (t2.micro, CloudWatch Logs, 600 s,
2022-03) has two runs. In both, records are labelled by capture windows of about 60 s, under an aggregation interval
of 600 s, and published every 600 s, give or take half a second, at a phase that held for hours, as about four
deliveries of two or three windows within 0.2 to 1.8 s.

Windows and bursts know nothing of one another. Run A's windows are 60.061 s apart, so that ten of them are 0.6 s
longer than the time between bursts: the lag of a burst behind its newest window slid from 25.0 to 15.8 s in 2.8
hours (-3.7 s/h), run B's by as much from 65 to 55 s. One law makes both: a burst takes the windows that ended a
least lag before it, and how much older the newest of them is, is anything up to a window's width. The least lag is
then between 7 s, else run B is out of reach, and 15.7 s, the smallest of run A; the presets take the middle.

Run A's windows are cut cleanly; run B's overlap by 43 s, as if each flow left its window up to that much early.

For S3 nobody has published a distribution, and the model joins what is known. Documented: log files are published
every 5 minutes (flow-logs-s3-path.html), and come "in about 10 minutes" after the aggregation interval
(flow-log-records.html, both read 2026-11). Measured by Episode 18: the first object 417 to 960 s after the flow
log's creation. Assumed: a file takes what ended 420 s before. So a packet's record comes 420 to 780 s after it, ten
minutes on average, and so does the first object after the creation.

Left out: half a second of jitter from burst to burst, and that the two or three windows of a delivery come in any
order of twos and threes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import cycle, islice, takewhile
from math import log
from typing import TYPE_CHECKING, Final, Self

from flowlag.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flowlag.instants import Micros

REPEATED_AFTER_WINDOWS: Final = 1 / 40
"""After how many capture windows a delivery comes again where it comes twice: 1.5 s if a window has 60 s."""

LATE_BY_WINDOWS: Final = 15
"""By how many capture windows a late delivery is late, on average: a quarter of an hour if a window has 60 s."""


# ---------------------------------------------------------------- habits
@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A flow-log service's habits, in seconds. Bursts and their deliveries are those to CloudWatch Logs.

    Attributes:
        window_s: from one capture window's begin to the next one's.
        overlap_s: how much of its end a window shares with the next one.
        label_s: from a window's begin to the `start` that its records carry.
        publish_every_s: time between bursts.
        lag_s: the least age of the newest window's end when a burst takes it.
        lag_spread_s: how much older it may be, from flow log to flow log.
        windows_per_delivery: how the windows of a burst are dealt out to its deliveries, round and round.
        delivery_gap_s: time between the deliveries of a burst.
        file_every_s: time between log files in S3.
        file_lag_s: as `lag_s`, of a log file in S3.
        hop_s: from a delivery to CloudWatch Logs to the function that subscribes to it: the least and the longest.
        assumption: what is not backed by a measurement; empty where everything is.
    """

    name: str
    hypervisor: str
    window_s: float
    overlap_s: float = 0
    label_s: float = 0
    publish_every_s: float
    lag_s: float
    lag_spread_s: float
    windows_per_delivery: tuple[int, ...]
    delivery_gap_s: float
    file_every_s: float
    file_lag_s: float
    hop_s: tuple[float, float]
    assumption: str = ""

    @property
    def longest_delay_s(self) -> float:
        """From a packet to the burst that has its record: its window ends, grows old enough, and is waited for."""
        return self.overlap_s + self.window_s + self.lag_s + self.publish_every_s

    def under(self, aggregation_interval_s: float) -> Preset:
        """The same service's habits under an aggregation interval: it publishes at least that often.

        So 600 s change nothing on Nitro, where the interval is never longer than 60 s (flow-logs.html, read
        2026-11). That a shorter one brings bursts closer together on Xen is assumed.
        """
        return replace(self, publish_every_s=min(self.publish_every_s, aggregation_interval_s))

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

        The window is cut to whole microseconds first. Were windows and period rounded apart where one is as long as
        the other, the newest window of a burst would end a moment too late for it, and come a whole period later.
        """
        window_s = round(self.window_s / time_scale, 6)
        return replace(
            self,
            window_s=window_s,
            overlap_s=self.overlap_s / time_scale,
            label_s=self.label_s / time_scale,
            publish_every_s=window_s * (self.publish_every_s / self.window_s),
            lag_s=self.lag_s / time_scale,
            lag_spread_s=self.lag_spread_s / time_scale,
            delivery_gap_s=self.delivery_gap_s / time_scale,
            file_every_s=window_s * (self.file_every_s / self.window_s),
            file_lag_s=self.file_lag_s / time_scale,
            hop_s=(self.hop_s[0] / time_scale, self.hop_s[1] / time_scale),
        )


_ASSUMED_OF_S3 = (
    "the lag of log files in S3, 420 s and up to a window more, is chosen to fit AWS's words: about ten minutes"
)
_ASSUMED_OF_XEN = (
    "that bursts come every 60 s under an aggregation interval of 60 s is a guess, as is the subscription's hop of "
    "1 to 10 s, of which AWS says that it is usually shorter than three minutes; "
)
_XEN: Final = Preset(
    name="xen-600",
    hypervisor="xen",
    window_s=60.061,
    publish_every_s=600,
    lag_s=11,
    lag_spread_s=60.061,
    windows_per_delivery=(2, 3, 3, 2),
    delivery_gap_s=0.4,
    file_every_s=300,
    file_lag_s=420,
    hop_s=(1, 10),
    assumption=_ASSUMED_OF_XEN + _ASSUMED_OF_S3,
)

PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        _XEN,
        replace(_XEN, name="xen-600-overlapping", overlap_s=43, label_s=9),
        replace(
            _XEN,
            name="nitro-60",
            hypervisor="nitro",
            window_s=60,
            publish_every_s=60,
            lag_s=20,
            lag_spread_s=20,
            windows_per_delivery=(1,),
            file_lag_s=440,
            assumption=(
                "nobody has published a measurement on Nitro: a burst every 60 s, when a window ended 20 to 40 s "
                "before, is a guess, as is the subscription's hop of 1 to 10 s; "
            )
            + _ASSUMED_OF_S3,
        ),
    )
}
"""What is known: `xen-600` is Episode 18's run A, `xen-600-overlapping` its run B; `nitro-60` is an assumption."""


# ---------------------------------------------------------------- what befalls records and deliveries
@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What befalls records and deliveries, in shares from 0 to 1; nothing, if nothing is said.

    Attributes:
        loss: share of the records that are never delivered.
        twice: share of the deliveries that happen again soon after.
        late: share of the deliveries that are held back, each by a time of its own.

    Raises:
        InvalidRequest: a share is none.
    """

    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(Disturbance)):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise InvalidRequest(f"{name} is a share from 0 to 1, not {share}")


# ---------------------------------------------------------------- one flow log
@dataclass(frozen=True, slots=True)
class Schedule:
    """The model applied to one flow log.

    Attributes:
        preset: the habits of the service.
        phase: the instant of any one burst.
        lag: the age, at that instant, of the end of the newest window that this burst takes, in microseconds.
    """

    preset: Preset
    phase: Micros
    lag: Micros

    @classmethod
    def drawn(cls, preset: Preset, phase_share: float, lag_share: float) -> Self:
        """A flow log of which nobody chose the phase and the lag; the shares, in [0, 1), are chance."""
        return cls(
            preset,
            int(phase_share * _micros(preset.publish_every_s)),
            _micros(preset.lag_s) + int(lag_share * _micros(preset.lag_spread_s)),
        )

    def window_start(self, at: Micros) -> Micros:
        """The begin of the capture window that an instant falls into."""
        return at - (at - self.phase + self.lag) % self._window

    def window_end(self, start: Micros) -> Micros:
        """Where the window that begins at `start` ends; the instant belongs to the next one."""
        return start + self._window

    def counted_at(self, at: Micros, share: float) -> Micros:
        """The instant in whose window a packet at `at` is counted.

        Where windows overlap, flows leave a window before its end; when is each one's own, a share in [0, 1).
        """
        return at + int(share * _micros(self.preset.overlap_s))

    def label(self, start: Micros) -> Micros:
        """The `start` that records of the window that begins at `start` carry, before it is cut to a second."""
        return start + _micros(self.preset.label_s)

    def burst_after(self, at: Micros) -> Micros:
        """The first burst after `at`."""
        every = _micros(self.preset.publish_every_s)
        return at + every - (at - self.phase) % every

    def is_due(self, start: Micros, burst_at: Micros) -> bool:
        """Whether the burst at `burst_at` delivers the window that begins at `start`."""
        return self.window_end(start) <= burst_at - _micros(self.preset.lag_s)

    def deliveries(self, starts: Sequence[Micros]) -> list[list[Micros]]:
        """The windows of a burst, dealt out in order to its deliveries."""
        rest = iter(sorted(starts))
        dealt = (list(islice(rest, size)) for size in cycle(self.preset.windows_per_delivery))
        return list(takewhile(bool, dealt))

    def delivered(self, since: Micros, until: Micros) -> Iterator[tuple[Micros, list[Micros]]]:
        """Every delivery of the windows from that of `since` on, up to the last burst before `until`."""
        start, burst_at = self.window_start(since), self.burst_after(since)
        while burst_at < until:
            due = []
            while self.is_due(start, burst_at):
                due.append(start)
                start = self.window_end(start)
            for position, starts in enumerate(self.deliveries(due)):
                yield burst_at + position * _micros(self.preset.delivery_gap_s), starts
            burst_at = self.burst_after(burst_at)

    def arrivals(self, at: Micros, disturbance: Disturbance, draw: Callable[[], float]) -> list[Micros]:
        """When a delivery that is due at `at` comes: later if it is held back, and again if it comes twice.

        Args:
            at: when it is due.
            disturbance: how often that happens.
            draw: chance, in [0, 1).
        """
        if draw() < disturbance.late:
            at += round(-log(1 - draw()) * LATE_BY_WINDOWS * self._window)
        repeated = draw() < disturbance.twice
        return [at, at + round(REPEATED_AFTER_WINDOWS * self._window)] if repeated else [at]

    def received_at(self, at: Micros, share: float) -> Micros:
        """When the function that subscribes to the log group gets what was delivered at `at`; `share` is chance."""
        least, longest = self.preset.hop_s
        return at + _micros(least + share * (longest - least))

    @property
    def _window(self) -> Micros:
        return _micros(self.preset.window_s)


def _micros(seconds: float) -> Micros:
    return round(seconds * 1_000_000)
