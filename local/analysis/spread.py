"""Values and delays, each in a few numbers. Seconds are floats, instants are whole microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from flowlag_stats.percentiles import percentiles

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from local.sources import Series, Whole

type Seconds = NDArray[np.float64]

MICROS: Final = 1_000_000
"""Of a second."""

_SHARES: Final = (0.5, 0.9, 0.95, 0.99)


def seconds_between(earlier: Whole, later: Whole) -> Seconds:
    """Seconds from one column of instants to another, to the microsecond; negative ones are kept."""
    return (later - earlier) / MICROS


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, the middle and the largest of some values. Infinite: never."""

    min: float
    p50: float
    max: float

    @classmethod
    def of(cls, values: Collection[float]) -> Self | None:
        """The spread of `values`; None where there are none."""
        return cls(min(values), median(values), max(values)) if values else None


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays in seconds, type-7 percentiles. Minimum and maximum are of what was delivered.

    Attributes:
        min: the shortest.
        p50: and the other percentiles: None where it falls on a probe that was never delivered, which counts as
            later than everything.
        max: the longest.
    """

    min: float
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float

    @classmethod
    def of(cls, delays: Sequence[Seconds], missing: int = 0) -> Self | None:
        """The distribution of all `delays`, and of `missing` probes; None where nothing was delivered."""
        pool = np.concatenate(delays) if delays else np.empty(0)
        if not len(pool):
            return None
        p50, p90, p95, p99 = percentiles(pool, _SHARES, missing=missing)
        return cls(float(pool.min()), p50, p90, p95, p99, float(pool.max()))


@dataclass(frozen=True, slots=True)
class LabelError:
    """Seconds from a probe's send to the label of the capture window that reported it."""

    min: float
    mean: float
    max: float

    @classmethod
    def of(cls, series: Sequence[Series]) -> Self:
        """The errors of all records; there is at least one."""
        errors = [each.window_start - each.sent_at for each in series]
        total = sum(int(each.sum()) for each in errors)
        return cls(
            min(int(each.min()) for each in errors) / MICROS,
            total / sum(map(len, errors)) / MICROS,
            max(int(each.max()) for each in errors) / MICROS,
        )
