import numpy as np
import pytest

from flowlag_stats.percentiles import percentiles
from flowlag_stats.samples import RunSample, run_medians
from tests.stats.runs import run, runs


def test_missing_probes_are_in_the_denominator_and_later_than_everything() -> None:
    sample = run([1, 2, 3], missing=2)
    assert sample.n_packets == 5
    assert sample.median_s == 3
    assert run([1, 2, 3], missing=3).median_s is None


def test_a_run_whose_median_was_never_delivered_is_the_latest_of_all() -> None:
    assert run_medians(runs(3, np.inf, 1)).tolist() == [3, np.inf, 1]


def test_a_run_without_any_probe_is_refused() -> None:
    with pytest.raises(ValueError, match="run run-0 has no probe"):
        run([])


@pytest.mark.parametrize("delays", [[2.0, 1.0], [1.0, np.nan]])
def test_delays_that_do_not_ascend_are_refused(delays: list[float]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        RunSample("a", 0, np.array(delays))


def test_knots_stand_for_as_many_delays_as_were_delivered_and_keep_their_percentiles() -> None:
    shares = np.linspace(0, 1, 201)
    delays = np.sort(np.random.default_rng(1).gamma(2, 100, 10_800))
    knots = np.quantile(delays, shares)
    sample = RunSample.of_knots("a", 5, knots, delivered=10_801, missing=3)
    assert (sample.run_id, sample.started_at, sample.missing, sample.n_packets) == ("a", 5, 3, 10_804)
    assert percentiles(sample.delays, shares.tolist()) == pytest.approx(knots, abs=1e-6)
    between = np.linspace(0, 0.99, 1_000)  # the last knots of a long tail are far apart
    assert percentiles(sample.delays, between.tolist()) == pytest.approx(np.quantile(delays, between), abs=3)


def test_a_single_delivered_delay_is_the_earliest_knot() -> None:
    assert RunSample.of_knots("a", 0, np.array([7.0, 7.0]), delivered=1).delays.tolist() == [7]
