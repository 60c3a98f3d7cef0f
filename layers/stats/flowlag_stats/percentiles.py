"""Percentiles of raw observations, type 7 (linear), with what was never delivered in the denominator.

Type 7 is Hyndman and Fan's number ("Sample Quantiles in Statistical Packages", 1996) for the percentile at position
`share * (n - 1)` of the ordered values, counted from 0: what NumPy and R compute unless told otherwise.
"""

from __future__ import annotations

from math import ceil, floor, inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SLACK = 1e-9
"""A place so little after a value's is that value's: 0.14 * 50 is 7.000000000000001 in floats."""


def percentiles(delays: NDArray[np.float64], shares: Sequence[float], *, missing: int = 0) -> list[float | None]:
    """Type-7 percentiles, to the microsecond as in `flowlag.distribution`.

    Args:
        delays: of the delivered probes in seconds, in any order, shape (n,).
        shares: each in [0, 1].
        missing: how many probes were never delivered: values later than everything.

    Returns:
        One per share. None where the percentile falls on a missing value, or between the last delivered one and it;
        also where there is no value at all.
    """
    places = [share * (len(delays) + missing - 1) for share in shares]
    indices = {index for place in places for index in neighbours(place) if 0 <= index < len(delays)}
    ordered = np.partition(delays, sorted(indices)) if indices else delays
    return [_or_none(at_place(ordered, place)) for place in places]


def kaplan_meier(
    delays: NDArray[np.float64], censored: NDArray[np.float64], shares: Sequence[float]
) -> list[float | None]:
    """Percentiles where probes were watched for different times, and some were not delivered while watched.

    The weight of such a censored probe goes in equal parts to all probes after it, delivered or not (Efron's
    "redistribution to the right", 1967: another way to Kaplan and Meier's estimator). A probe's place is the weight
    before it. Without censored probes this is type 7; where all are censored later than every delay, it is
    `percentiles` with as many missing.

    Args:
        delays: of the delivered probes in seconds, in any order, shape (n,).
        censored: for how long each undelivered probe was watched, in seconds, in any order, shape (m,).
        shares: each in [0, 1].

    Returns:
        One per share, as of `percentiles`; None also beyond what was watched.
    """
    if not len(delays):
        return [None] * len(shares)
    times = np.concatenate((delays, censored))
    n = len(times)
    is_censored = np.arange(n) >= len(delays)
    order = np.lexsort((is_censored, times))  # a probe censored at an instant outlives one delivered at it
    times, is_censored = times[order], is_censored[order]
    n_tail = int(np.argmin(is_censored[::-1]))  # censored after the last delivery: missing, and give nothing away
    gives = is_censored[: n - n_tail]
    after = np.arange(n - 1, n_tail - 1, -1)
    weights = np.cumprod(np.concatenate(([1.0], np.where(gives, (after + 1) / np.maximum(after, 1), 1.0))))
    before = np.cumsum(np.concatenate(([0.0], np.where(gives, 0.0, weights[:-1]))))
    places, values = before[:-1][~gives], times[: n - n_tail][~gives]
    end = inf if n_tail else places[-1]  # which is `n - weights[-1]` then, but for rounding
    wanted = [min(share * (n - weights[-1]), end) for share in shares]
    return [
        _or_none(float(np.interp(place, places, values)) if place <= places[-1] + _SLACK else inf)
        for place in wanted
    ]


def at_place(ordered: NDArray[np.float64], place: float) -> float:
    """The value at a place, counted from 0 and linear between neighbours; infinite where one of them is missing."""
    below, above = neighbours(place)
    if not 0 <= below <= above < len(ordered):
        return inf
    return between(float(ordered[below]), float(ordered[above]), place - below)


def between(low: float, high: float, part: float) -> float:
    """So far from `low` to `high`."""
    return low + (high - low) * part


def neighbours(place: float) -> tuple[int, int]:
    """The indices between which a place lies; twice the same one where it is a value's own."""
    return floor(place), ceil(place - _SLACK)


def _or_none(seconds: float) -> float | None:
    return round(seconds, 6) if isfinite(seconds) else None
