"""Percentiles of all probes of all runs, and what they would be without each of the runs."""

from __future__ import annotations

from math import ceil, floor, inf
from typing import TYPE_CHECKING

import numpy as np

from flowlag_stats.percentiles import at_place, between, neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from flowlag_stats.samples import RunSample

_GRID = 257
"""Into how many parts, but for one, bounds are divided when they are narrowed."""


def pooled_percentile(samples: Sequence[RunSample], share: float) -> tuple[float, NDArray[np.float64]]:
    """The type-7 percentile of all probes of all runs, and what it would be without each of the runs.

    Each probe counts the same. The delays are never put together as a whole, but only those between the runs' own
    percentiles, where all that is looked for must be.

    Args:
        samples: one arm's, one a run; at least one.
        share: in [0, 1].

    Returns:
        The percentile in seconds, and an array of shape (runs,). Infinite where one falls on a missing probe.
    """
    packets = np.array([sample.n_packets for sample in samples])
    low, high = _narrowed(samples, packets, share, *_bracket(samples, share))
    begins = np.array([np.searchsorted(sample.delays, low, "left") for sample in samples])
    ends = np.array([np.searchsorted(sample.delays, high, "right") for sample in samples])
    bounds = zip(samples, begins, ends, strict=True)
    values = np.concatenate([sample.delays[begin:end] for sample, begin, end in bounds])
    order = np.argsort(values, kind="stable")
    values = values[order]
    run_of = np.repeat(np.arange(len(samples)), ends - begins)[order]
    indices = np.split(np.argsort(run_of, kind="stable"), np.cumsum(ends - begins)[:-1])

    place = float(share * (packets.sum() - 1) - begins.sum())
    places = share * (packets.sum() - packets - 1) - (begins.sum() - begins)
    without = [_at_place_without(values, own, float(at)) for own, at in zip(indices, places, strict=True)]
    return at_place(values, place), np.array(without)


def _bracket(samples: Sequence[RunSample], share: float) -> tuple[float, float]:
    """Bounds of the percentile of any of these runs together.

    Of each run, at most `share * (n - 1)` values are below the lower bound, and at least one more, or all, are not
    above the upper one. Summed over runs, the first is no more and the second no less than type 7 counts up to.
    """
    low, high = inf, -inf
    for sample in samples:
        below, above = neighbours(share * (sample.n_packets - 1))
        n = len(sample.delays)
        low = min(low, float(sample.delays[below]) if below < n else inf)
        high = max(high, float(sample.delays[above]) if above < n else inf)
    return low, high


def _narrowed(
    samples: Sequence[RunSample], packets: NDArray[np.int64], share: float, low: float, high: float
) -> tuple[float, float]:
    """Closer bounds of the same, found by counting: of hundreds of runs most values between the first ones go.

    What has rank k without a run has at least rank k with it, and at most k plus the packets of that run.
    """
    longest = max((float(sample.delays[-1]) for sample in samples if len(sample.delays)), default=-inf)
    grid = np.linspace(low, min(high, longest), _GRID) if low <= longest else np.array([low])
    below, up_to = (sum(np.searchsorted(each.delays, grid, side) for each in samples) for side in ("left", "right"))
    without = share * (packets.sum() - packets - 1)
    lowest, highest = floor(without.min()), ceil(max((without + packets).max(), share * (packets.sum() - 1)))
    at_least, at_most = grid[below <= lowest], grid[up_to > highest]
    return max([low, *at_least[-1:].tolist()]), min([high, *at_most[:1].tolist()])


def _at_place_without(ordered: NDArray[np.float64], left_out: NDArray[np.intp], place: float) -> float:
    """`at_place` of the values without those at some indices, which ascend; none is copied."""
    below, above = neighbours(place)
    if not 0 <= below <= above < len(ordered) - len(left_out):
        return inf
    before = left_out - np.arange(len(left_out))
    low, high = (float(ordered[at + np.searchsorted(before, at, "right")]) for at in (below, above))
    return between(low, high, place - below)
