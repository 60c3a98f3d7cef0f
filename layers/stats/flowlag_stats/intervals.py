"""Intervals of percentiles, with the run as the unit of replication."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowlag_stats import student
from flowlag_stats.percentiles import at_place
from flowlag_stats.pooling import pooled_percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowlag_stats.samples import RunSample

RUNS_FOR_INTERVAL = 5
"""Below this many runs no interval is given anywhere."""


class Interval(NamedTuple):
    """Bounds in seconds, and how many runs they come from."""

    low: float
    high: float
    n_runs: int


def percentile_interval(samples: Sequence[RunSample], share: float, level: float = 0.95) -> Interval | None:
    """The interval of the percentile of all probes of all runs: `percentile +- t * standard error`.

    The standard error is the larger one of two: the jackknife's, which leaves out one run at a time, and that of
    the runs' own percentiles. Where runs differ by as much as delays do inside a run, each by itself is too small
    in small campaigns. Student's t has runs - 2 degrees of freedom and not runs - 1: the model's lags are uniform
    and not normal, and with five runs the usual t is too short for them. docs/method.md has the coverage of this
    estimator and of those that were not taken.

    Args:
        samples: one arm's, one a run.
        share: which percentile, in [0, 1].
        level: how often the interval shall hold the percentile.

    Returns:
        None below `RUNS_FOR_INTERVAL` runs; also where a percentile falls on a missing probe, be it that of all
        runs, of one, or of all but one.
    """
    n = len(samples)
    if n < RUNS_FOR_INTERVAL:
        return None
    pooled, without = pooled_percentile(samples, share)
    own = np.array([at_place(sample.delays, share * (sample.n_packets - 1)) for sample in samples])
    if not (isfinite(pooled) and np.isfinite(without).all() and np.isfinite(own).all()):
        return None
    jackknife = sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    half = student.quantile(level, n - 2) * max(jackknife, float(own.std(ddof=1)) / sqrt(n))
    return Interval(pooled - half, pooled + half, n)
