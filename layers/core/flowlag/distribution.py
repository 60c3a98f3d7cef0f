"""Distributions of raw observations. Percentiles are type 7 (linear), never of averages, never trimmed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flowlag.instants import Micros

BURST_GAP_S = 30.0
"""Deliveries less than this apart are one burst."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Minimum, four percentiles and maximum of a delay in seconds."""

    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Collection[float]) -> Distribution | None:
        """The distribution of `values`; None where there are none. `inclusive` quantiles are type 7.

        To the microsecond, which is what instants resolve: among equal values an interpolated percentile may
        otherwise end up above the maximum, by the last bit of a float.
        """
        if not values:
            return None
        cuts = quantiles(values, n=100, method="inclusive")
        found = (min(values), cuts[49], cuts[89], cuts[94], cuts[98], max(values))
        return cls(*(round(value, 6) for value in found))


def bursts(ingested: Collection[Micros], gap_s: float = BURST_GAP_S) -> list[list[Micros]]:
    """Ingestion times grouped into bursts: distinct times, in order, split where `gap_s` or more lies between."""
    groups: list[list[Micros]] = []
    for at in sorted(set(ingested)):
        if groups and at - groups[-1][-1] < gap_s * 1_000_000:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def burst_period_s(groups: Sequence[Sequence[Micros]]) -> float | None:
    """The median time between the beginnings of bursts; None below two bursts."""
    periods = [(later[0] - earlier[0]) / 1_000_000 for earlier, later in pairwise(groups)]
    return median(periods) if periods else None
