from dataclasses import astuple
from fractions import Fraction
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.distribution import BURST_GAP_S, Distribution, burst_period_s, bursts

DELAYS = st.lists(st.integers(-(10**9), 10**10), min_size=1, max_size=300).map(
    lambda micros: [each / 1_000_000 for each in micros]
)
INSTANTS = st.lists(st.integers(0, 10**10), max_size=60)


def type_7(values: list[float], percent: int) -> Fraction:
    """The linear percentile, exactly: between the two values around rank (n - 1) * percent / 100."""
    ordered = sorted(map(Fraction, values))
    rank = Fraction(percent * (len(ordered) - 1), 100)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


@given(DELAYS)
def test_percentiles_are_type_7_of_the_raw_values(values: list[float]) -> None:
    found = astuple(Distribution.of(values))
    exact = [float(type_7(values, percent)) for percent in (0, 50, 90, 95, 99, 100)]
    assert found == pytest.approx(exact, rel=1e-12, abs=6e-7)  # to the microsecond


@given(DELAYS, st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values: list[float], random: object) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert Distribution.of(shuffled) == Distribution.of(values)


@given(DELAYS)
def test_minimum_and_maximum_are_values_and_the_rest_lies_between(values: list[float]) -> None:
    found = Distribution.of(values)
    assert (found.min, found.max) == (min(values), max(values))
    in_order = list(astuple(found))
    assert in_order == sorted(in_order)


def test_a_hundred_and_one_whole_seconds_are_their_own_percentiles() -> None:
    assert Distribution.of(range(101)) == Distribution(0, 50, 90, 95, 99, 100)


def test_one_value_is_its_own_distribution() -> None:
    assert Distribution.of([18.315]) == Distribution(*[18.315] * 6)


def test_equal_values_are_their_own_percentiles_to_the_last_bit() -> None:
    assert Distribution.of([0.9] * 7) == Distribution(*[0.9] * 6)


def test_no_values_have_no_distribution() -> None:
    assert Distribution.of([]) is None


@given(INSTANTS, st.integers(1, 10**9))
def test_every_instant_is_in_one_burst_and_only_gaps_divide_bursts(ingested: list[int], gap: int) -> None:
    groups = bursts(ingested, gap / 1_000_000)
    assert list(chain.from_iterable(groups)) == sorted(set(ingested))
    assert all(later - earlier < gap for group in groups for earlier, later in pairwise(group))
    assert all(later[0] - earlier[-1] >= gap for earlier, later in pairwise(groups))


def test_deliveries_half_a_minute_apart_are_two_bursts_and_a_microsecond_less_is_one() -> None:
    assert BURST_GAP_S == 30
    assert bursts([30_000_000, 0, 0]) == [[0], [30_000_000]]
    assert bursts([29_999_999, 0, 0]) == [[0, 29_999_999]]


def test_the_period_of_bursts_is_the_median_between_their_beginnings() -> None:
    ingested = [0, 1_400_000, 600_000_000, 601_000_000, 1_200_500_000, 3_000_000_000]
    assert burst_period_s(bursts(ingested)) == 600.5


@pytest.mark.parametrize("ingested", [[], [5], [5, 6]])
def test_one_burst_has_no_period(ingested: list[int]) -> None:
    assert burst_period_s(bursts(ingested)) is None
