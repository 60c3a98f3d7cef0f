from dataclasses import astuple
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.distribution import Distribution
from flowlag_stats.percentiles import kaplan_meier, percentiles

SHARES = (0, 0.5, 0.9, 0.95, 0.99, 1)
MICROSECONDS = st.integers(-(10**9), 10**10).map(lambda micros: micros / 1_000_000)
DELAYS = st.lists(MICROSECONDS, min_size=1, max_size=200).map(np.array)
SOME_SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=5)


@given(DELAYS)
def test_percentiles_are_those_of_the_core(delays: np.ndarray) -> None:
    of_the_core = astuple(Distribution.of(delays.tolist()))
    assert percentiles(delays, SHARES) == pytest.approx(of_the_core, abs=1.001e-6)  # both round to the microsecond
    assert kaplan_meier(delays, np.array([]), SHARES) == pytest.approx(of_the_core, abs=1.001e-6)


@given(DELAYS, SOME_SHARES)
def test_percentiles_are_numpys_linear_ones(delays: np.ndarray, shares: list[float]) -> None:
    assert percentiles(delays, shares) == pytest.approx(np.quantile(delays, shares), rel=1e-9, abs=1e-5)


@given(DELAYS, st.integers(0, 50), SOME_SHARES)
def test_what_is_missing_is_later_than_everything(delays: np.ndarray, missing: int, shares: list[float]) -> None:
    everything = [*sorted(delays), *[np.inf] * missing]
    for share, found in zip(shares, percentiles(delays, shares, missing=missing), strict=True):
        place = round(share * (len(everything) - 1), 9)
        low, high = everything[floor(place)], everything[ceil(place)]
        if np.isinf(high):
            assert found is None
        else:
            assert low - 1e-6 <= found <= high + 1e-6


def test_between_the_last_delivered_and_a_missing_one_there_is_no_percentile() -> None:
    delays = np.arange(1.0, 96.0)
    assert percentiles(delays, (0.94, 0.95, 0.96), missing=6) == [95, None, None]  # places 94, 95, 96 from 0


@pytest.mark.parametrize(("n", "share"), [(101, 0.57), (101, 0.07), (51, 0.14)])
def test_a_place_that_is_a_values_own_but_for_its_last_bit_does_not_reach_the_next_one(
    n: int, share: float
) -> None:
    last = round(share * (n - 1))
    delays = np.arange(last + 1.0)
    assert percentiles(delays, [share], missing=n - len(delays)) == [last]


def test_nothing_has_no_percentile() -> None:
    nothing = np.array([])
    assert percentiles(nothing, SHARES) == [None] * 6
    assert percentiles(nothing, SHARES, missing=3) == [None] * 6
    assert kaplan_meier(nothing, np.array([1.0, 2.0]), SHARES) == [None] * 6
    assert kaplan_meier(nothing, nothing, SHARES) == [None] * 6


# ---------------------------------------------------------------- censoring
@given(DELAYS, st.integers(0, 50), SOME_SHARES)
def test_probes_that_were_watched_longer_than_any_delay_are_missing(
    delays: np.ndarray, missing: int, shares: list[float]
) -> None:
    censored = np.full(missing, delays.max())  # at the same instant the delivered one is first
    assert kaplan_meier(delays, censored, shares) == percentiles(delays, shares, missing=missing)


def redistributed(delays: np.ndarray, censored: np.ndarray) -> list[tuple[float, float]]:
    """Places and values of the delivered, one censored probe after the other, by Efron's words."""
    ordered = sorted([(at, 0) for at in delays] + [(at, 1) for at in censored])
    weights = [1.0] * len(ordered)
    last = max(number for number, (_, is_censored) in enumerate(ordered) if not is_censored)
    for number in range(last):
        if ordered[number][1]:
            after = len(ordered) - number - 1
            weights[number + 1 :] = [each + weights[number] / after for each in weights[number + 1 :]]
            weights[number] = 0
    return [(sum(weights[:n]), at) for n, (at, is_censored) in enumerate(ordered) if not is_censored]


@given(DELAYS, DELAYS, SOME_SHARES)
def test_the_weight_of_a_censored_probe_goes_to_all_after_it(
    delays: np.ndarray, censored: np.ndarray, shares: list[float]
) -> None:
    places, values = zip(*redistributed(delays, censored), strict=True)
    n = len(delays) + len(censored)
    tail = int((censored >= delays.max()).sum())
    last_weight = (n - places[-1]) / (tail + 1)
    for share, found in zip(shares, kaplan_meier(delays, censored, shares), strict=True):
        place = share * (n - last_weight)
        if not tail or place < places[-1] - 1e-6:
            assert found == pytest.approx(np.interp(place, places, values), rel=1e-6, abs=1e-4)
        elif place > places[-1] + 1e-6:
            assert found is None


def test_a_probe_watched_for_a_short_time_says_little() -> None:
    """Four of five come within 4 s; the fifth was watched for 1.5 s. It is as likely to be like any later one."""
    delays, censored = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5])
    assert kaplan_meier(delays, censored, (0, 1)) == [1, 4]
    (median,) = kaplan_meier(delays, censored, (0.5,))
    # Weights 1, 0, 4/3, 4/3, 4/3: places 0, 1, 7/3, 11/3, and half of 11/3 is 5/8 of the way from 2 to 3.
    assert median == pytest.approx(2 + 5 / 8, abs=1e-6)
