"""What a detection rule would miss that runs every E seconds and looks back over W: `flowlag lookback` on profiles.

A record with the delay d is seen with the probability (W - d) / E, cut to 0 and 1, as the rule's phase is chance.
Between two knots delays are spread evenly, so that the mean of it is exact there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from flowlag_report.profile import SHARES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from flowlag_report.profile import Profile

_RESOLUTION_S: Final = 0.001


def missed_share(profiles: Sequence[Profile], every_s: float, within_s: float) -> float:
    """The share of all sent probes that the rule misses; at least one was sent."""
    return _Delays(profiles).missed(every_s, within_s)


def needed_s(profiles: Sequence[Profile], every_s: float, seen: float) -> float | None:
    """The shortest look-back with which the rule sees a share of all probes; None if none does."""
    delays = _Delays(profiles)
    low, high = 0.0, delays.longest_s + every_s
    if delays.missed(every_s, high) > 1 - seen + 1e-9:
        return None
    while high - low > _RESOLUTION_S / 2:
        middle = (low + high) / 2
        low, high = (middle, high) if delays.missed(every_s, middle) > 1 - seen + 1e-9 else (low, middle)
    return round(high, 3)


class _Delays:
    """Delays as pieces between knots: where each begins and ends, and how many probes it is."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        knots = np.array([each.knots for each in profiles if each.knots]).reshape(-1, len(SHARES))
        delivered = np.array([each.delivered for each in profiles if each.knots], np.float64)
        self._begins, self._ends = knots[:, :-1], knots[:, 1:]
        self._weights = delivered[:, np.newaxis] * np.diff(SHARES)
        self._total = float(delivered.sum()) + sum(each.undelivered for each in profiles)

    @property
    def longest_s(self) -> float:
        return float(self._ends.max(initial=0.0))

    def missed(self, every_s: float, within_s: float) -> float:
        width = self._ends - self._begins
        apart = np.where(width > 0, width, 1)
        area = _seen_up_to(within_s - self._begins, every_s) - _seen_up_to(within_s - self._ends, every_s)
        at_once = np.clip((within_s - self._begins) / every_s, 0, 1)
        seen = np.where(width > 0, area / apart, at_once)
        return float(1 - (seen * self._weights).sum() / self._total)


def _seen_up_to(left_s: NDArray[np.float64], every_s: float) -> NDArray[np.float64]:
    """The integral of the probability to be seen, from none left of the look-back to so much."""
    inside = np.clip(left_s, 0, every_s)
    area: NDArray[np.float64] = inside * inside / (2 * every_s) + np.maximum(left_s - every_s, 0)
    return area
