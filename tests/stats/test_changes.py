import numpy as np
import pytest

from flowlag_stats.changes import changes
from tests.stats.runs import HOUR, runs

WOBBLE = [0, 3, 1, 4, 2]


def level(seconds: float, n: int) -> list[float]:
    """Run medians around a level."""
    return [seconds + WOBBLE[number % 5] + number / 1_000 for number in range(n)]


def test_a_step_is_found_where_it_is() -> None:
    (found,) = changes(runs(*level(300, 12), *level(360, 8)))
    assert (found.run_id, found.at) == ("run-12", 12 * 24 * HOUR)
    assert (found.before_s, found.after_s) == pytest.approx((302, 362), abs=0.6)
    assert (found.n_before, found.n_after) == (12, 8)
    assert found.p_value <= 0.01


def test_steps_are_told_in_order_of_time_each_against_its_neighbours() -> None:
    found = changes(runs(*level(300, 10), *level(200, 10), *level(400, 10)))
    assert [each.run_id for each in found] == ["run-10", "run-20"]
    assert [each.before_s for each in found] == pytest.approx([302, 202], abs=0.1)
    assert [each.after_s for each in found] == pytest.approx([202, 402], abs=0.1)
    assert [(each.n_before, each.n_after) for each in found] == [(10, 10), (10, 10)]


def test_five_runs_on_either_side_are_needed() -> None:
    assert changes([]) == []
    assert changes(runs(*level(300, 4), *level(900, 5))) == []
    assert changes(runs(*level(300, 30), *level(900, 4)))[-1:] != []  # found, but five runs are put after it
    (found,) = changes(runs(*level(300, 5), *level(900, 5)))
    assert (found.n_before, found.n_after) == (5, 5)


def test_one_odd_run_is_no_change() -> None:
    medians = level(300, 30)
    medians[17] = 90_000
    assert changes(runs(*medians)) == []


def test_equal_runs_never_change() -> None:
    assert changes(runs(*[300] * 30)) == []


def test_runs_that_are_not_delivered_any_more_are_a_change_to_never() -> None:
    (found,) = changes(runs(*level(300, 10), *[np.inf] * 6))
    assert (found.run_id, found.after_s, found.n_after) == ("run-10", None, 6)


def test_the_order_of_reading_does_not_matter() -> None:
    samples = runs(*level(300, 12), *level(360, 8))
    assert changes(samples[::-1]) == changes(samples)


def test_false_alarms_are_as_rare_as_was_asked_for() -> None:
    chance = np.random.default_rng(600)
    looks = [changes(runs(*chance.random(12)), false_alarms=0.1) for _ in range(100)]
    assert np.mean([bool(each) for each in looks]) == pytest.approx(0.1, abs=0.06)
    assert sum(0 < each.p_value <= 0.01 for look in looks for each in look) <= 4
