"""Runs to compute statistics of."""

from collections.abc import Sequence

import numpy as np

from flowlag_stats.samples import RunSample

HOUR = 3_600_000_000


def run(delays: Sequence[float], number: int = 0, *, hour: int = 0, missing: int = 0) -> RunSample:
    """The run of a number, begun so many days and hours into 1970."""
    begun = (24 * number + hour) * HOUR
    return RunSample(f"run-{number}", begun, np.sort(np.array(delays, np.float64)), missing)


def runs(*medians: float) -> list[RunSample]:
    """Runs of one probe each, a day apart; one that is infinite was not delivered."""
    return [
        run([], number, missing=1) if np.isinf(median) else run([median], number)
        for number, median in enumerate(medians)
    ]
