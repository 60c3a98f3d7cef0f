"""What every source is read into: columns of observations, one series for each flow log of each run."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowlag.instants import Micros

OBSERVATIONS: Final = "observations"
EXPORT: Final = "a Logs Insights export"
FLOW_LOG: Final = "flow-log records"

RUN_GAP_S: Final = 3_600
"""Exports and flow-log files name no run. Capture windows at least this far apart belong to different runs."""


class UnusableInput(FlowlagError):
    """A file that somebody gave is not what it should be; the message names it."""


class Row(NamedTuple):
    """One probe as a flow record reported it. Instants in microseconds; None: not known to this source."""

    tick: int
    sent_at: Micros
    window_start: Micros
    ingested_at: Micros | None


@dataclass(frozen=True, slots=True)
class Series:
    """What one flow log (`arm`) of one run reported: aligned columns, one row a record.

    Instants are in microseconds; `ingested_at` is None where the source does not know it.
    """

    run: str
    arm: str
    ticks: Sequence[int]
    sent_at: Sequence[Micros]
    window_start: Sequence[Micros]
    ingested_at: Sequence[Micros | None]

    def take(self, positions: Sequence[int]) -> Series:
        """The rows at `positions`, in their order."""
        return Series(
            self.run,
            self.arm,
            [self.ticks[at] for at in positions],
            [self.sent_at[at] for at in positions],
            [self.window_start[at] for at in positions],
            [self.ingested_at[at] for at in positions],
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything that the given paths hold.

    Attributes:
        source: `aws`, `local` or `simulated`; never two of them.
        kind: OBSERVATIONS, EXPORT or FLOW_LOG.
        series: at least one, none of them empty.
        disagreements: records left out because window and delivery name different ticks.
        skipdata: records by which AWS says that it skipped others.
    """

    source: str
    kind: str
    series: Sequence[Series]
    disagreements: int = 0
    skipdata: int = 0


def runs_of(rows: Iterable[Row]) -> list[Series]:
    """Rows that name no run, divided where `RUN_GAP_S` or more lies between capture windows."""
    runs: list[list[Row]] = []
    for row in sorted(rows, key=attrgetter("window_start")):
        if runs and row.window_start - runs[-1][-1].window_start < RUN_GAP_S * 1_000_000:
            runs[-1].append(row)
        else:
            runs.append([row])
    return [Series(str(run[0].window_start), "", *zip(*run, strict=True)) for run in runs]
