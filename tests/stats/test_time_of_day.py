import numpy as np
import pytest

from flowlag_stats.samples import RunSample
from flowlag_stats.time_of_day import by_hour
from tests.stats.runs import run


def test_only_hours_with_enough_runs_are_spoken_of() -> None:
    samples = [run([100 + number], number, hour=3) for number in range(5)]
    samples += [run([500], number, hour=22) for number in range(5, 9)]
    found = by_hour(samples)
    assert found.cells == [(3, 5, 102), (22, 4, None)]
    assert found.p_value is None


def test_a_run_belongs_to_the_hour_in_which_it_began() -> None:
    at = 23 * 3_600_000_000
    samples = [
        RunSample(str(at), at, np.array([1.0])) for at in (at - 1, at, at + 3_599_999_999, at + 3_600_000_000)
    ]
    assert [(cell.hour, cell.n_runs) for cell in by_hour(samples).cells] == [(0, 1), (22, 1), (23, 2)]


def at_two_hours(noon: list[float], night: list[float]) -> list[RunSample]:
    return [
        *(
            run([], n, hour=12, missing=1) if np.isinf(each) else run([each], n, hour=12)
            for n, each in enumerate(noon)
        ),
        *(run([each], n, hour=2) for n, each in enumerate(night)),
    ]


def test_hours_that_differ() -> None:
    found = by_hour(at_two_hours([30, 31, 32, 33, 34, 35], [10, 11, 12, 13, 14, 15]))
    assert [cell.median_s for cell in found.cells] == [12.5, 32.5]
    assert found.p_value < 0.01


def test_hours_that_do_not() -> None:
    found = by_hour(at_two_hours([1, 4, 5, 8, 9, 12], [2, 3, 6, 7, 10, 11]))
    assert found.p_value > 0.9


def test_a_third_hour_with_too_few_runs_does_not_count_in_the_test() -> None:
    samples = at_two_hours([1, 4, 5, 8, 9, 12], [2, 3, 6, 7, 10, 11])
    assert by_hour([*samples, *(run([999], n, hour=7) for n in range(4))]).p_value == by_hour(samples).p_value


def test_runs_that_were_not_delivered_count_as_the_latest() -> None:
    found = by_hour(at_two_hours([np.inf] * 6, [10, 11, 12, 13, 14, 15]))
    assert [cell.median_s for cell in found.cells] == [12.5, None]
    assert found.p_value < 0.01


def test_the_order_of_reading_does_not_matter() -> None:
    samples = at_two_hours([1, 4, 5, 18, 9, 12], [2, 3, 6, 7, 10, 11])
    assert by_hour(samples[::-1]) == by_hour(samples)


def test_no_runs_have_no_hours() -> None:
    assert by_hour([]) == ([], None)


def test_equal_hours_are_called_different_as_often_as_the_p_value_says() -> None:
    chance = np.random.default_rng(600)
    p_values = [by_hour(at_two_hours(list(chance.random(6)), list(chance.random(6)))).p_value for _ in range(100)]
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.06)
