"""One flow log in one run: what its records say of how they were delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from flowlag_stats import sawtooth
from flowlag_stats.comparison import Delivered
from local.analysis.spread import MICROS, seconds_between

if TYPE_CHECKING:
    from flowlag_stats.sawtooth import Sawtooth
    from local.analysis.spread import Seconds
    from local.sources import Series, Whole


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FlowLog:
    """What is computed of a flow log once, and used more than once.

    Attributes:
        series: its records, one a tick and in order.
        delays: from send to delivery, of those that have a time of delivery, ascending.
        windows: the labels of its capture windows, in order.
        deliveries: its ingestion times, in order.
        windows_per_delivery: how many capture windows each of them holds.
        burst_begins: positions in `deliveries` at which a burst begins.
        sawtooth: the fit, where there are bursts enough.
    """

    series: Series
    delays: Seconds
    windows: Whole
    deliveries: Whole
    windows_per_delivery: Whole
    burst_begins: Whole
    sawtooth: Sawtooth | None

    @classmethod
    def of(cls, records: Series, burst_gap_s: float) -> Self:
        """Look at the records of a flow log, of which the first delivery of each tick counts."""
        series = _once(records)
        known = series.all_delivered
        delays = seconds_between(known.sent_at, known.ingested_at)
        delays.sort()
        deliveries, windows_per_delivery = _deliveries(known)
        gaps = np.flatnonzero(np.diff(deliveries) >= burst_gap_s * MICROS) + 1
        return cls(
            series=series,
            delays=delays,
            windows=np.unique(series.window_start[_changes(series.window_start)]),
            deliveries=deliveries,
            windows_per_delivery=windows_per_delivery,
            burst_begins=np.concatenate(([0], gaps)) if len(deliveries) else gaps,
            sawtooth=sawtooth.fit(known.sent_at, known.window_start, known.ingested_at, burst_gap_s=burst_gap_s),
        )

    @property
    def n_bursts(self) -> int:
        """How many bursts there were."""
        return len(self.burst_begins)

    @property
    def bursts(self) -> Whole:
        """When each burst began."""
        return self.deliveries[self.burst_begins]

    @property
    def deliveries_per_burst(self) -> Whole:
        """How many deliveries each burst holds."""
        return np.diff(self.burst_begins, append=len(self.deliveries))

    @property
    def by_tick(self) -> Delivered:
        """Which ticks were delivered, and how late."""
        known = self.series.all_delivered
        return Delivered(known.ticks, seconds_between(known.sent_at, known.ingested_at))

    @property
    def ingest_delays(self) -> Seconds:
        """From window label to delivery, in no order."""
        known = self.series.all_delivered
        return seconds_between(known.window_start, known.ingested_at)


def _once(series: Series) -> Series:
    """One row a tick, in order: the one that was delivered first."""
    if (np.diff(series.ticks) > 0).all():
        return series
    unknown_last = np.where(series.delivered, series.ingested_at, np.iinfo(np.int64).max)
    order = np.lexsort((unknown_last, series.ticks))
    return series.take(order[_changes(series.ticks[order])])


def _deliveries(series: Series) -> tuple[Whole, Whole]:
    """The distinct ingestion times in order, and how many capture windows became visible at each."""
    # Records of one window lie mostly side by side: then few are left to put in order.
    changes = _changes(series.ingested_at, series.window_start)
    ingested, start = series.ingested_at[changes], series.window_start[changes]
    order = np.lexsort((start, ingested))
    pairs = order[_changes(ingested[order], start[order])]
    deliveries, windows = np.unique(ingested[pairs], return_counts=True)
    return deliveries, windows.astype(np.int64)


def _changes(*columns: Whole) -> Whole:
    """The positions of rows that differ from the row before in one of the columns; the first one does."""
    differs = np.zeros(len(columns[0]), np.bool_)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)
