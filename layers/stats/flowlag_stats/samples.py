"""What the statistics are computed from: the delays of one arm in one run."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Self

import numpy as np

from flowlag_stats.percentiles import percentiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from flowlag.instants import Micros


@dataclass(frozen=True, slots=True, eq=False)
class RunSample:
    """The delays of one arm in one run.

    Attributes:
        run_id: the run.
        started_at: when it began.
        delays: of the delivered probes in seconds, ascending, shape (n,).
        missing: probes that were sent and not delivered by the deadline: each is later than every other.

    Raises:
        ValueError: there is no probe, or the delays do not ascend.
    """

    run_id: str
    started_at: Micros
    delays: NDArray[np.float64]
    missing: int = 0

    def __post_init__(self) -> None:
        """Refuse what would give wrong numbers without a word."""
        if not self.n_packets:
            raise ValueError(f"run {self.run_id} has no probe, delivered or missing: leave it out")
        if not (self.delays[1:] >= self.delays[:-1]).all():
            raise ValueError(f"the delays of run {self.run_id} do not ascend: sort them and leave NaN out")

    @classmethod
    def of_knots(
        cls, run_id: str, started_at: Micros, knots: NDArray[np.float64], delivered: int, missing: int = 0
    ) -> Self:
        """The sample that an aggregate stands for: `delivered` delays, spread evenly between its knots.

        Args:
            run_id: the run.
            started_at: when it began.
            knots: type-7 percentiles of the delivered delays at evenly spaced shares, minimum and maximum included.
            delivered: how many delays they stand for.
            missing: probes that were never delivered.
        """
        places = np.linspace(0, len(knots) - 1, delivered)
        return cls(run_id, started_at, np.interp(places, np.arange(len(knots)), knots), missing)

    @property
    def n_packets(self) -> int:
        """The denominator: probes delivered or missing."""
        return len(self.delays) + self.missing

    @property
    def median_s(self) -> float | None:
        """The run's median delay; None where it falls on a missing probe."""
        return percentiles(self.delays, (0.5,), missing=self.missing)[0]


def run_medians(samples: Iterable[RunSample]) -> NDArray[np.float64]:
    """The median delay of each run in seconds, infinite where it falls on a missing probe."""
    found = (sample.median_s for sample in samples)
    return np.array([inf if median is None else median for median in found])
