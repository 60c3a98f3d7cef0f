"""When did delays change? Run medians in order of time, split where the difference is largest."""

from __future__ import annotations

from itertools import pairwise
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

FALSE_ALARMS = 0.01
"""How often a look at runs among which nothing changed finds a change."""


class Change(NamedTuple):
    """Delays were different from this run on.

    Attributes:
        run_id: the first run after the change.
        at: when it began.
        before_s: the median of the run medians since the change before; None where it was never delivered.
        after_s: the same until the next change.
        n_before: of how many runs `before_s` is.
        n_after: of how many runs `after_s` is.
        p_value: how often chance splits runs as far apart where nothing changed.
    """

    run_id: str
    at: Micros
    before_s: float | None
    after_s: float | None
    n_before: int
    n_after: int
    p_value: float


def changes(samples: Sequence[RunSample], false_alarms: float = FALSE_ALARMS) -> list[Change]:
    """Where delays changed, in order of time; none with fewer than `RUNS_FOR_INTERVAL` runs on either side.

    The runs are split in two where the ranks of their medians differ most, in standard errors of the difference.
    Chance is asked how often it finds a split as good among the same runs in any order; if at most `false_alarms`
    times, the split is a change, and both parts are looked at in the same way. So of looks at runs that do not
    change, that share reports something.

    Args:
        samples: one arm's, one a run, in any order.
        false_alarms: how often a look may be wrong where nothing changed.
    """
    ordered = in_order(samples)
    found = run_medians(ordered)
    p_values = dict(sorted(_splits(ranks(found), 0, false_alarms)))
    bounds = [0, *p_values, len(ordered)]
    parts = [found[begin:end] for begin, end in pairwise(bounds)]
    return [
        Change(
            run_id=ordered[at].run_id,
            at=ordered[at].started_at,
            before_s=_median(before),
            after_s=_median(after),
            n_before=len(before),
            n_after=len(after),
            p_value=p,
        )
        for (at, p), (before, after) in zip(p_values.items(), pairwise(parts), strict=True)
    ]


def _splits(values: NDArray[np.float64], offset: int, false_alarms: float) -> list[tuple[int, float]]:
    """Where to split the values, each place with its p-value."""
    if len(values) < 2 * RUNS_FOR_INTERVAL:
        return []
    p = p_value(values, lambda rows: _distances(rows).max(axis=1))
    if p > false_alarms:
        return []
    at = RUNS_FOR_INTERVAL + int(_distances(values[np.newaxis]).argmax())
    return [
        (offset + at, p),
        *_splits(values[:at], offset, false_alarms),
        *_splits(values[at:], offset + at, false_alarms),
    ]


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each allowed split of each row: the difference of the parts' means in standard errors, but for a factor.

    Args:
        rows: shape (m, n).

    Returns:
        Shape (m, splits).
    """
    n = rows.shape[1]
    firsts = np.arange(RUNS_FOR_INTERVAL, n - RUNS_FOR_INTERVAL + 1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    sums = np.cumsum(centred, axis=1)[:, firsts - 1]
    distances: NDArray[np.float64] = np.abs(sums) / np.sqrt(firsts * (n - firsts))
    return distances


def _median(found: NDArray[np.float64]) -> float | None:
    median = float(np.median(found))
    return median if isfinite(median) else None
