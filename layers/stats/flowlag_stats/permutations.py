"""Permutation tests of run medians: is what was found more than chance finds where order means nothing?

They use the ranks of the medians, so that one odd run decides nothing, and a run whose median was never delivered
is simply the latest. Runs are put in order of time first, and chance has a fixed seed: the same runs give the same
answer, in whatever order they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from flowlag_stats.samples import RunSample

_BATCHES, _BATCH = 9, 1_111
"""9,999 permutations, ten thousand orders with the observed one: p-values resolve 0.0001."""

_SEED = 600

_SLACK = 1e-9
"""Sums of the same numbers in another order differ in their last bits."""


def in_order(samples: Iterable[RunSample]) -> list[RunSample]:
    """Runs in order of time."""
    return sorted(samples, key=lambda sample: (sample.started_at, sample.run_id))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1 for the smallest; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: NDArray[np.float64] = (last - (counts - 1) / 2)[which]
    return shared


def p_value(values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
    """How often values in an order of chance have a statistic at least as large as in theirs, theirs included.

    Counting the observed order makes the test exact however few permutations are drawn (Phipson and Smyth,
    "Permutation p-values should never be zero", 2010).

    Args:
        values: shape (n,).
        statistic: not negative; of rows of values, shape (m, n), an array of shape (m,).
    """
    chance = np.random.default_rng(_SEED)
    enough = statistic(values[np.newaxis])[0] * (1 - _SLACK)
    rows = np.tile(values, (_BATCH, 1))
    as_large = 1
    for _ in range(_BATCHES):
        as_large += int(np.count_nonzero(statistic(chance.permuted(rows, axis=1)) >= enough))
    return as_large / (_BATCHES * _BATCH + 1)
