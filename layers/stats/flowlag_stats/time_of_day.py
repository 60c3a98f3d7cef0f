"""Does the hour of the day matter? Only hours with enough runs are spoken of."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowlag_stats.intervals import RUNS_FOR_INTERVAL
from flowlag_stats.permutations import in_order, p_value, ranks
from flowlag_stats.samples import run_medians

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from flowlag.instants import Micros
    from flowlag_stats.samples import RunSample

_HOUR = 3_600_000_000


class Cell(NamedTuple):
    """The runs that began in one hour of the day, UTC.

    `median_s` is the median of their medians: None below `RUNS_FOR_INTERVAL` runs, or where it was never delivered.
    """

    hour: int
    n_runs: int
    median_s: float | None


class TimeOfDay(NamedTuple):
    """Hours in which runs began, and whether they differ.

    `p_value` is the probability of medians that differ as much from hour to hour where the hour does not matter;
    None with fewer than two hours of enough runs.
    """

    cells: list[Cell]
    p_value: float | None


def by_hour(samples: Sequence[RunSample]) -> TimeOfDay:
    """Runs by the hour in which they began, tested by permutation of the hours over the runs.

    The statistic is Kruskal and Wallis's, of the hours with enough runs.
    """
    ordered = in_order(samples)
    hours = np.array([_hour(sample.started_at) for sample in ordered])
    found = run_medians(ordered)
    cells = [_cell(int(hour), found[hours == hour]) for hour in np.unique(hours)]
    told = [cell.hour for cell in cells if cell.n_runs >= RUNS_FOR_INTERVAL]
    counted = np.isin(hours, told)
    p = _p_value(found[counted], hours[counted]) if len(told) > 1 else None
    return TimeOfDay(cells, p)


def _cell(hour: int, found: NDArray[np.float64]) -> Cell:
    median = float(np.median(found)) if len(found) >= RUNS_FOR_INTERVAL else np.inf
    return Cell(hour, len(found), median if isfinite(median) else None)


def _p_value(found: NDArray[np.float64], hours: NDArray[np.int64]) -> float:
    _, counts = np.unique(hours, return_counts=True)
    belongs = (hours[:, np.newaxis] == np.unique(hours)).astype(float)
    centred = ranks(found) - (len(found) + 1) / 2
    return p_value(centred, lambda rows: np.square(rows @ belongs) @ (1 / counts))


def _hour(at: Micros) -> int:
    return at // _HOUR % 24
