"""What the deliveries of an arm so far say of the next one.

Bursts come at a fixed period, so that a few of them tell when the next one is due: `flowlag_stats.sawtooth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowlag.distribution import bursts
from flowlag_stats.sawtooth import fit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowlag.instants import Micros
    from flowlag.probe import Event, Probe
    from flowlag_stats.sawtooth import Sawtooth


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What an arm has delivered so far, and when the next delivery is due.

    Attributes:
        n_packets: probes that are recorded.
        n_bursts: in how many bursts they came.
        burst_at: when the last burst began.
        newest_sent_at: when the newest recorded probe was sent.
        sawtooth: the fit; None where there are too few bursts for one.
        due_at: when the first burst after these is due, if the flow log goes on as it did.
    """

    n_packets: int
    n_bursts: int
    burst_at: Micros
    newest_sent_at: Micros
    sawtooth: Sawtooth | None
    due_at: Micros | None


class _Delivered(NamedTuple):
    """A probe as it was delivered."""

    sent_at: Micros
    window_start: Micros
    ingested_at: Micros


class Deliveries:
    """What an arm has delivered, as it comes in; the same record may come again."""

    def __init__(self) -> None:
        self._by_event: dict[str, _Delivered] = {}

    @property
    def newest_window(self) -> Micros | None:
        """The label of the newest capture window."""
        return max((each.window_start for each in self._by_event.values()), default=None)

    def add(self, probes: Iterable[tuple[Event, Probe]]) -> None:
        """Take in what was read."""
        for event, probe in probes:
            self._by_event[event.event_id] = _Delivered(probe.due_at, probe.window_start, event.delivered_at)

    def outlook(self, burst_gap_s: float) -> Outlook | None:
        """What they say; None as long as there are none.

        A probe counts as sent when it was due: which one was late only the ledger knows, and it comes last.
        """
        if not self._by_event:
            return None
        sent, window, ingested = np.array(list(self._by_event.values()), np.int64).T
        found = bursts(ingested.tolist(), burst_gap_s)
        sawtooth = fit(sent, window, ingested, burst_gap_s=burst_gap_s)
        return Outlook(
            n_packets=len(sent),
            n_bursts=len(found),
            burst_at=found[-1][0],
            newest_sent_at=int(sent.max()),
            sawtooth=sawtooth,
            due_at=sawtooth.next_after(max(found[-1][-1], sawtooth.last_burst_at)) if sawtooth else None,
        )
