"""How records were delivered: capture windows, deliveries and bursts, over all flow logs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Self

import numpy as np

from local.analysis.spread import MICROS, Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.analysis.flow_log import FlowLog
    from local.sources import Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How records were delivered. `capture_windows` are known from every source; None: no ingestion times.

    Attributes:
        capture_windows: distinct window labels of each flow log.
        capture_window_spacing_s: from one label to the next.
        deliveries: distinct ingestion times of each flow log.
        capture_windows_per_delivery: how many windows became visible together.
        deliveries_per_burst: how many deliveries came less than the burst gap apart.
        n_bursts: how many bursts there were.
        burst_period_s: from one burst to the next: the median over flow logs of each one's median.
        burst_spacing_s: the same, from all bursts.
    """

    capture_windows: int
    capture_window_spacing_s: Spread | None
    deliveries: int | None
    capture_windows_per_delivery: Spread | None
    deliveries_per_burst: Spread | None
    n_bursts: int | None
    burst_period_s: float | None
    burst_spacing_s: Spread | None

    @classmethod
    def of(cls, flow_logs: Sequence[FlowLog]) -> Self:
        """The cadence of all `flow_logs`."""
        delivered = [each for each in flow_logs if each.n_bursts]
        spacings = [_spacings_s(each.bursts) for each in delivered]
        return cls(
            capture_windows=sum(len(each.windows) for each in flow_logs),
            capture_window_spacing_s=_spread(_spacings_s(each.windows) for each in flow_logs),
            deliveries=sum(len(each.deliveries) for each in delivered) if delivered else None,
            capture_windows_per_delivery=_spread(each.windows_per_delivery.tolist() for each in delivered),
            deliveries_per_burst=_spread(each.deliveries_per_burst.tolist() for each in delivered),
            n_bursts=sum(each.n_bursts for each in delivered) if delivered else None,
            burst_period_s=median(map(median, filter(None, spacings))) if any(spacings) else None,
            burst_spacing_s=_spread(spacings),
        )


def _spacings_s(instants: Whole) -> list[float]:
    """From one instant to the next, in seconds."""
    spacings: list[float] = (np.diff(instants) / MICROS).tolist()
    return spacings


def _spread(values: Iterable[Iterable[float]]) -> Spread | None:
    return Spread.of(list(chain.from_iterable(values)))
