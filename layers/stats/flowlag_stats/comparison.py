"""Which of two is later, by how much, and could it be chance: two arms of the same runs, or two campaigns.

Arms of the same runs are compared on the same ticks, inside each run, by the *mean* difference. The median of the
differences would tell something else. Two sawtooths of period T whose bursts are phi apart differ, tick by tick, by
phi or by phi - T beside their lags, during T - phi and phi seconds of each period. The median is one of the two: it
tells the phases, which are chance, and jumps by up to T from run to run. In the mean they cancel,
(T - phi) * phi + phi * (phi - T) = 0, and the difference of the lags is left. A last, broken period leaves at most
T^2 / 4 divided by the length of the run: 8 s if T is 600 s and the run has three hours, of either sign.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowlag_stats import student
from flowlag_stats.intervals import RUNS_FOR_INTERVAL, Interval
from flowlag_stats.samples import run_medians

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from flowlag_stats.samples import RunSample


class RunDifference(NamedTuple):
    """By how many seconds, on average over their common ticks, the second of two arms was later in one run."""

    run_id: str
    mean_s: float
    n_ticks: int


class Comparison(NamedTuple):
    """By how many seconds the second is later than the first.

    `p_value` is the probability of a difference at least as large, of either sign, where there is none.
    """

    difference_s: float
    interval: Interval
    p_value: float


class Delivered(NamedTuple):
    """What an arm delivered in a run: ticks, each once, in any order, and their delays in seconds, shapes (n,)."""

    ticks: NDArray[np.int64]
    delays: NDArray[np.float64]


def on_same_ticks(run_id: str, first: Delivered, second: Delivered) -> RunDifference | None:
    """Compare two arms in one run; ticks that only one of them delivered are left out, and None if all are."""
    common, in_first, in_second = np.intersect1d(first.ticks, second.ticks, assume_unique=True, return_indices=True)
    if not len(common):
        return None
    mean_s = float((second.delays[in_second] - first.delays[in_first]).mean())
    return RunDifference(run_id, mean_s, len(common))


def paired(runs: Sequence[RunDifference], level: float = 0.95) -> Comparison | None:
    """Compare two arms over the runs that had both, each run counting the same; None below `RUNS_FOR_INTERVAL`."""
    if len(runs) < RUNS_FOR_INTERVAL:
        return None
    return _compared(_mean(np.array([run.mean_s for run in runs])), len(runs) - 1, level)


def unpaired(first: Sequence[RunSample], second: Sequence[RunSample], level: float = 0.95) -> Comparison | None:
    """Compare two campaigns by the medians of their runs (Welch, "The generalization of Student's problem", 1947).

    Returns:
        None if one of them has fewer than `RUNS_FOR_INTERVAL` runs, or a run more than half of whose probes are
        missing. The interval's runs are those of both.
    """
    if min(len(first), len(second)) < RUNS_FOR_INTERVAL:
        return None
    medians = run_medians(first), run_medians(second)
    if not np.isfinite(np.concatenate(medians)).all():
        return None
    before, after = map(_mean, medians)
    variance = before.variance + after.variance
    shares = sum(each.variance**2 / (each.n_runs - 1) for each in (before, after))
    n_runs = before.n_runs + after.n_runs
    degrees = variance**2 / shares if shares else n_runs - 2
    return _compared(_Mean(after.seconds - before.seconds, variance, n_runs), degrees, level)


class _Mean(NamedTuple):
    """A mean over runs, and the variance of that mean."""

    seconds: float
    variance: float
    n_runs: int


def _mean(values: NDArray[np.float64]) -> _Mean:
    return _Mean(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values))


def _compared(difference: _Mean, degrees: float, level: float) -> Comparison:
    error = sqrt(difference.variance)
    half = student.quantile(level, degrees) * error
    interval = Interval(difference.seconds - half, difference.seconds + half, difference.n_runs)
    is_same = float(difference.seconds == 0)  # what counts where all runs agree, and chance has no part in it
    p_value = student.two_sided_p(difference.seconds / error, degrees) if error else is_same
    return Comparison(difference.seconds, interval, p_value)
