import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowlag_stats.comparison import Delivered, RunDifference, on_same_ticks, paired, unpaired
from tests.stats.runs import runs

MEDIANS = st.lists(st.integers(0, 1_000_000).map(lambda each: each / 1_000), min_size=5, max_size=40)


def differences(*means: float) -> list[RunDifference]:
    return [RunDifference(f"run-{number}", mean_s, 100) for number, mean_s in enumerate(means)]


# ---------------------------------------------------------------- one run
def test_arms_are_compared_on_the_ticks_that_both_delivered() -> None:
    first = Delivered(np.array([5, 3, 4, 9]), np.array([50.0, 30.0, 40.0, 999.0]))
    second = Delivered(np.array([4, 5, 3, 1]), np.array([41.0, 52.0, 33.0, 0.0]))
    assert on_same_ticks("a", first, second) == ("a", 2.0, 3)


def test_arms_without_a_common_tick_cannot_be_compared() -> None:
    delivered = [Delivered(np.array(ticks, np.int64), np.zeros(len(ticks))) for ticks in ([1, 2], [3], [])]
    assert on_same_ticks("a", delivered[0], delivered[1]) is None
    assert on_same_ticks("a", delivered[2], delivered[1]) is None


@given(st.integers(0, 599), st.integers(0, 599), st.integers(-60, 60))
def test_in_the_mean_of_whole_periods_the_phases_of_sawtooths_cancel(first: int, second: int, later: int) -> None:
    ticks = np.arange(10_800)
    arms = [
        Delivered(ticks, lag + 600.0 - (ticks - phase) % 600) for phase, lag in ((first, 20), (second, 20 + later))
    ]
    found = on_same_ticks("a", *arms)
    assert found.mean_s == pytest.approx(later, abs=1e-9)
    if first != second:  # whereas the median is as far off as the phases are apart
        apart = (second - first) % 600
        assert np.median(arms[1].delays - arms[0].delays) - later in {apart, apart - 600, apart - 300}


# ---------------------------------------------------------------- arms
@given(MEDIANS)
def test_paired_is_students_test(means: list[float]) -> None:
    found = paired(differences(*means))
    assert found.difference_s == pytest.approx(np.mean(means))
    assert found.interval.n_runs == len(means)
    if np.ptp(means) > 0.001:
        expected = stats.ttest_1samp(means, 0)
        interval = expected.confidence_interval(0.95)
        assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), abs=1e-6)
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_arms_that_never_differ_are_equal_and_arms_that_always_do_are_not() -> None:
    assert paired(differences(0, 0, 0, 0, 0)) == (0, (0, 0, 5), 1)
    assert paired(differences(3, 3, 3, 3, 3)) == (3, (3, 3, 5), 0)


def test_a_level_is_that_of_the_interval() -> None:
    means = (1.0, 2.0, 4.0, 8.0, 16.0)
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.8)
    assert paired(differences(*means), level=0.8).interval[:2] == pytest.approx(tuple(interval))


# ---------------------------------------------------------------- campaigns
@given(MEDIANS, MEDIANS)
def test_unpaired_is_welchs_test(first: list[float], second: list[float]) -> None:
    found = unpaired(runs(*first), runs(*second))
    assert found.difference_s == pytest.approx(np.mean(second) - np.mean(first))
    assert found.interval.n_runs == len(first) + len(second)
    if np.ptp(first) > 0.01 and np.ptp(second) > 0.01:
        expected = stats.ttest_ind(second, first, equal_var=False)
        interval = expected.confidence_interval(0.95)
        assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), abs=1e-6)
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_campaigns_without_any_spread() -> None:
    assert unpaired(runs(*[7] * 5), runs(*[7] * 6)) == (0, (0, 0, 11), 1)
    assert unpaired(runs(*[7] * 5), runs(*[9] * 6)) == (2, (2, 2, 11), 0)


@pytest.mark.parametrize("n", range(5))
def test_below_five_runs_nothing_is_compared(n: int) -> None:
    assert paired(differences(*range(n))) is None
    assert unpaired(runs(*range(n)), runs(*range(5))) is None
    assert unpaired(runs(*range(5)), runs(*range(n))) is None


def test_campaigns_with_a_run_that_has_no_median_are_not_compared() -> None:
    assert unpaired(runs(1, 2, 3, 4, np.inf), runs(*range(5))) is None
    assert unpaired(runs(*range(5)), runs(1, 2, 3, 4, np.inf)) is None
