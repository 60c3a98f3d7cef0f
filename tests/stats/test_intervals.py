import numpy as np
import pytest
from scipy import stats

from flowlag_stats.intervals import RUNS_FOR_INTERVAL, percentile_interval
from flowlag_stats.samples import RunSample
from tests.stats.runs import run


def sawtooths(lags: np.ndarray, period: float = 600) -> list[RunSample]:
    return [run(lag + np.linspace(0, period, 601), number) for number, lag in enumerate(lags)]


@pytest.mark.parametrize("n", range(RUNS_FOR_INTERVAL))
def test_below_five_runs_there_is_no_interval(n: int) -> None:
    assert percentile_interval(sawtooths(np.arange(n)), 0.5) is None


def test_five_runs_have_one() -> None:
    interval = percentile_interval(sawtooths(np.arange(5.0)), 0.5)
    assert interval.n_runs == 5
    assert interval.low < 302 < interval.high


@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize(("n", "period"), [(5, 600), (7, 60), (12, 10)])
def test_it_is_the_larger_one_of_two_standard_errors_with_students_t(n: int, period: float, share: float) -> None:
    samples = sawtooths(np.random.default_rng(n).uniform(0, 60, n), period)
    delays = np.array([sample.delays for sample in samples])
    without = np.array([np.quantile(np.delete(delays, number, axis=0), share) for number in range(n)])
    jackknife = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    own = np.quantile(delays, share, axis=1).std(ddof=1) / np.sqrt(n)
    half = stats.t.ppf(0.975, n - 2) * max(jackknife, own)
    pooled = np.quantile(delays, share)
    interval = percentile_interval(samples, share)
    assert (interval.low, interval.high) == pytest.approx((pooled - half, pooled + half))


def test_where_leaving_out_a_run_tells_more_the_jackknife_counts() -> None:
    """One run is nearly all of the pool: without it the percentile is another, though runs' own are alike."""
    large = run(np.linspace(0, 100, 10_001))
    small = [run([49.0, 50.0, 51.0], number) for number in range(1, 6)]
    interval = percentile_interval([large, *small], 0.95)
    own = np.array([95, *[50.9] * 5]).std(ddof=1) / np.sqrt(6) * stats.t.ppf(0.975, 4)
    assert interval.high - interval.low > 2 * own * 1.05


def test_identical_runs_leave_no_doubt() -> None:
    interval = percentile_interval(sawtooths(np.full(6, 20.0)), 0.95)
    assert (interval.low, interval.high) == pytest.approx((590, 590), abs=0.2)


def test_a_higher_level_is_wider() -> None:
    samples = sawtooths(np.arange(0.0, 60.0, 6))
    usual, wide = percentile_interval(samples, 0.5), percentile_interval(samples, 0.5, level=0.99)
    assert wide.low < usual.low < usual.high < wide.high


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ([601, 0, 0, 0, 0], "a run's own median"),
        ([30] * 5, "no median, but a p99"),
    ],
)
def test_where_a_percentile_was_never_delivered_there_is_no_interval(missing: list[int], why: str) -> None:
    share = 0.99 if "p99" in why else 0.5
    samples = [run(np.linspace(0, 600, 601), number, missing=lost) for number, lost in enumerate(missing)]
    assert percentile_interval(samples, share) is None
    assert percentile_interval(samples, 0.25) is not None


def test_it_covers_the_truth_of_uniform_lags() -> None:
    """A small calibration; benchmarks/calibration.py has the large one, of the delivery model."""
    chance = np.random.default_rng(600)
    within = 0
    for _ in range(400):
        interval = percentile_interval(sawtooths(chance.uniform(0, 60, 5), period=60), 0.5)
        within += interval.low <= 60 <= interval.high
    assert 0.92 <= within / 400 <= 0.98
