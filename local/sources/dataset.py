"""What every source is read into: columns of observations, one series for each flow log of each run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from flowlag.errors import FlowlagError
from flowlag_report.profile import NULL
from local.instants import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from flowlag.instants import Micros

type Whole = NDArray[np.int64]
"""A column of whole numbers: ticks, instants in microseconds, or positions of rows."""

OBSERVATIONS: Final = "observations"
EXPORT: Final = "a Logs Insights export"
FLOW_LOG: Final = "flow-log records"

RUN_GAP_S: Final = 3_600
"""Exports and flow-log files name no run. Capture windows at least this far apart belong to different runs."""

UNKNOWN: Final = NULL
"""Where an instant is not known, here and in the report. No computation may take it for one: ask `Series.delivered`
first."""


class UnusableInput(FlowlagError):
    """A file that somebody gave is not what it should be; the message names it."""


class Row(NamedTuple):
    """One probe as a flow record reported it. Instants in microseconds; None: not known to this source."""

    tick: int
    sent_at: Micros
    window_start: Micros
    ingested_at: Micros | None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What one flow log (`arm`) of one run reported: aligned columns, one row a record.

    Instants are in microseconds; `ingested_at` is UNKNOWN where the source does not know it.
    """

    run: str
    arm: str
    ticks: Whole
    sent_at: Whole
    window_start: Whole
    ingested_at: Whole

    @classmethod
    def of(cls, run: str, arm: str, rows: Iterable[Row]) -> Self:
        """The series of `rows`, in their order."""
        known = [row._replace(ingested_at=UNKNOWN if row.ingested_at is None else row.ingested_at) for row in rows]
        columns = np.array(known, np.int64).reshape(-1, len(Row._fields)).T
        return cls(run, arm, *map(np.ascontiguousarray, columns))

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.ticks)

    @property
    def delivered(self) -> NDArray[np.bool_]:
        """Which records have a known time of delivery."""
        known: NDArray[np.bool_] = self.ingested_at != UNKNOWN
        return known

    @property
    def all_delivered(self) -> Series:
        """The records that have a known time of delivery; this very series where all have."""
        delivered = self.delivered
        return self if delivered.all() else self.take(np.flatnonzero(delivered))

    def take(self, positions: Whole) -> Series:
        """The rows at `positions`, in their order."""
        return Series(
            self.run,
            self.arm,
            self.ticks[positions],
            self.sent_at[positions],
            self.window_start[positions],
            self.ingested_at[positions],
        )


class Accounted(NamedTuple):
    """Probes of an arm in a run: observed; sent, and not delivered by the deadline."""

    observed: int
    undelivered: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """What the table `runs` says of a run."""

    run: str
    started_at: Micros
    verdict: str
    arms: Mapping[str, Accounted]

    @property
    def undelivered(self) -> dict[str, int]:
        """How many probes of each arm were sent and not delivered by the deadline."""
        return {arm: accounted.undelivered for arm, accounted in self.arms.items()}


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything that the given paths hold.

    Attributes:
        source: `aws`, `local` or `simulated`; never two of them.
        kind: OBSERVATIONS, EXPORT or FLOW_LOG.
        series: at least one, none of them empty, none of a void run.
        disagreements: records left out because window and delivery name different ticks.
        skipdata: records by which AWS says that it skipped others.
        runs: rows of the table `runs` by run, where it lies beside the observations; none of a void run.
        void: runs that were left out because their verdict says that nothing can be said of them.
    """

    source: str
    kind: str
    series: Sequence[Series]
    disagreements: int = 0
    skipdata: int = 0
    runs: Mapping[str, RunRow] = field(default_factory=dict)
    void: Sequence[str] = ()


def runs_of(rows: Iterable[Row]) -> list[Series]:
    """Rows that name no run, divided where `RUN_GAP_S` or more lies between capture windows."""
    everything = Series.of("", "", rows)
    everything = everything.take(np.argsort(everything.window_start, kind="stable"))
    gaps = np.flatnonzero(np.diff(everything.window_start) >= RUN_GAP_S * 1_000_000) + 1
    parts = map(everything.take, np.split(np.arange(len(everything)), gaps))
    return [replace(part, run=iso(int(part.window_start[0]))) for part in parts]
