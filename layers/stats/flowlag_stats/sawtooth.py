"""The sawtooth of a flow log: when its bursts come, how old their newest packet is, and how that changes.

Inside a run the delay of a packet is no random number. Bursts come at a fixed period, and a packet waits for the
first one that takes its capture window. So delays rise and fall as a sawtooth between the lag (the age of a burst's
newest packet) and the lag plus one period. Capture windows know nothing of that period: from burst to burst the lag
slides, and at the end of its range it jumps by the width of a window.

Slopes are those of Theil and Sen, the median over all pairs of points (Sen, "Estimates of the Regression
Coefficient Based on Kendall's Tau", 1968): bursts that are missing or late hardly move them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from flowlag.distribution import BURST_GAP_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flowlag.instants import Micros

type _Whole = NDArray[np.int64]
type _Real = NDArray[np.float64]

BURSTS_FOR_FIT: Final = 4
"""Of a slope through fewer no one can say whether it is one. The lag of the last one is not known."""

_POINTS_AT_MOST: Final = 400
"""Pairs are two hundred times as many. Of more points this many are taken, evenly."""

_SHARES: Final = np.arange(0.01, 1, 0.01)
"""Where shapes are compared: beyond, a single late record would decide."""

_RESOLUTION_S: Final = 0.001
"""Of ingestion times. The newest packet of a burst is as old as the lag, and no fit is exacter than this."""

_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sawtooth:
    """The fit of one flow log in one run.

    Attributes:
        n_bursts: bursts that brought newer packets than all before.
        period_s: from one burst to the next.
        jitter_s: half of the bursts began at most this far from where the fit has them.
        phase_s: when bursts come: seconds since the epoch, of the burst in the middle, modulo the period in whole
            seconds. Modulo the fitted period it would say nothing, as its last decimals move that by minutes.
        last_burst_at: the last burst, where the fit has it.
        lag_first_s: from the newest packet of the first burst to the burst's beginning.
        lag_last_s: the same of the last burst of which it is known: after it there were still packets to deliver.
        drift_s_per_h: how fast the lag changes between its jumps.
        shape_distance_s: how well that is all there is to say: the largest distance between the percentiles 1 to 99
            of the delays and of those that the fit gives to the same packets.
    """

    n_bursts: int
    period_s: float
    jitter_s: float
    phase_s: float
    last_burst_at: Micros
    lag_first_s: float
    lag_last_s: float
    drift_s_per_h: float
    shape_distance_s: float

    def next_after(self, at: Micros) -> Micros:
        """When the first burst after `at` is due, if the flow log goes on as it did."""
        every = round(self.period_s * _SECOND)
        return at + every - (at - self.last_burst_at) % every


class _Bursts(NamedTuple):
    """Bursts in order: when each began, and its newest packet."""

    at: _Whole
    newest: _Whole


class _Line(NamedTuple):
    """A robust line."""

    slope: float
    intercept: float

    def __call__(self, x: _Real | _Whole) -> _Real:
        return np.asarray(self.slope * x + self.intercept, np.float64)


def fit(
    sent_at: _Whole, window_start: _Whole, ingested_at: _Whole, *, burst_gap_s: float = BURST_GAP_S
) -> Sawtooth | None:
    """Fit the sawtooth of one flow log in one run.

    Args:
        sent_at: when each delivered probe was sent, in microseconds, shape (n,), in any order.
        window_start: the labels of their capture windows.
        ingested_at: when they were delivered.
        burst_gap_s: deliveries less than this apart are one burst.

    Returns:
        The fit; None below BURSTS_FOR_FIT bursts.
    """
    if not len(sent_at):
        return None
    bursts = _bursts(sent_at, ingested_at, round(burst_gap_s * _SECOND))
    if len(bursts.at) < BURSTS_FOR_FIT:
        return None
    begin, began_s = bursts.at[0], (bursts.at - bursts.at[0]) / _SECOND
    numbers = _numbers(began_s)
    rhythm = _line(numbers, began_s)
    lags = (bursts.at - bursts.newest)[:-1] / _SECOND
    jumps = _jumps(lags, window_start)
    drift = _line(numbers[:-1], lags - jumps)

    every = np.arange(numbers[-1] + 1)
    due = rhythm(every)
    jumped = jumps[np.minimum(np.searchsorted(numbers, every), len(jumps) - 1)]
    expected = _delays((sent_at - begin) / _SECOND, due, drift(every) + jumped)
    return Sawtooth(
        n_bursts=len(numbers),
        period_s=rhythm.slope,
        jitter_s=float(np.median(np.abs(began_s - rhythm(numbers)))),
        phase_s=float((begin / _SECOND + due[len(due) // 2]) % max(1, round(rhythm.slope))),
        last_burst_at=int(begin) + round(float(due[-1]) * _SECOND),
        lag_first_s=float(lags[0]),
        lag_last_s=float(lags[-1]),
        drift_s_per_h=drift.slope / rhythm.slope * 3_600,
        shape_distance_s=_distance((ingested_at - sent_at) / _SECOND, expected),
    )


def _bursts(sent_at: _Whole, ingested_at: _Whole, gap: int) -> _Bursts:
    """The bursts that brought newer packets than all before; others are stragglers of earlier ones."""
    # Records of one delivery mostly lie side by side: then few are left to put in order.
    changes = np.flatnonzero(np.diff(ingested_at, prepend=ingested_at[0] - 1))
    at, newest = ingested_at[changes], np.maximum.reduceat(sent_at, changes)
    order = np.argsort(at, kind="stable")
    at, newest = at[order], newest[order]
    begins = np.flatnonzero(np.diff(at, prepend=at[0] - gap) >= gap)
    at, newest = at[begins], np.maximum.reduceat(newest, begins)
    brings = np.diff(np.maximum.accumulate(newest), prepend=newest[0] - 1) > 0
    return _Bursts(at[brings], newest[brings])


def _numbers(began_s: _Real) -> _Whole:
    """The number of each burst, in a count that has the missing ones too."""
    apart = np.diff(began_s)
    return np.concatenate(([0], np.cumsum(np.rint(apart / np.median(apart)).astype(np.int64))))


def _jumps(lags: _Real, window_start: _Whole) -> _Real:
    """By how much the lag had jumped until each burst: by whole capture windows."""
    windows = np.unique(window_start[np.diff(window_start, prepend=window_start[0] - 1) != 0])
    if len(windows) == 1:
        return np.zeros(len(lags))
    width = float(np.median(np.diff(windows))) / _SECOND
    return np.concatenate(([0.0], np.cumsum(np.rint(np.diff(lags) / width) * width)))


def _line(x: _Whole, y: _Real) -> _Line:
    """The line of Theil and Sen: the median slope, and through the middle of what it leaves."""
    taken = np.linspace(0, len(x) - 1, min(len(x), _POINTS_AT_MOST)).astype(np.int64)
    earlier, later = np.triu_indices(len(taken), 1)
    run = x[taken][later] - x[taken][earlier]
    rise = y[taken][later] - y[taken][earlier]
    slope = float(np.median(rise[run > 0] / run[run > 0]))
    return _Line(slope, float(np.median(y - slope * x)))


def _delays(sent: _Real, due: _Real, lags: _Real) -> _Real:
    """How late packets would be: each is delivered by the first burst at which it is as old as the burst's lag."""
    burst = np.searchsorted(np.maximum.accumulate(due - lags + _RESOLUTION_S), sent)
    return due[np.minimum(burst, len(due) - 1)] - sent


def _distance(observed: _Real, expected: _Real) -> float:
    """The largest distance between percentiles; the arrays are not used afterwards."""
    ours, theirs = (np.quantile(each, _SHARES, overwrite_input=True) for each in (expected, observed))
    return float(np.abs(ours - theirs).max())
