from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowlag_stats.permutations import in_order, p_value, ranks
from tests.stats.runs import run


@given(st.lists(st.sampled_from([1.0, 2.5, 7.0, 8.0, np.inf]), min_size=1, max_size=30))
def test_equal_values_share_their_ranks(values: list[float]) -> None:
    assert ranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


def test_runs_are_put_in_order_of_time_and_of_their_ids_at_one_time() -> None:
    samples = [run([1], 3), run([1], 1, hour=48), run([1], 1, hour=1), run([1], 2)]
    assert [each.run_id for each in in_order(samples)] == ["run-1", "run-2", "run-1", "run-3"]
    assert in_order(reversed(samples))[2].run_id == "run-1"


def first_minus_last(rows: np.ndarray) -> np.ndarray:
    return np.abs(rows[:, 0] - rows[:, -1])


@pytest.mark.parametrize("values", [[1.0, 5.0, 2.0, 9.0], [3.0, 3.0, 4.0, 4.0, 8.0], [2.0, 2.0, 2.0]])
def test_the_p_value_is_the_share_of_all_orders(values: list[float]) -> None:
    rows = np.array(list(permutations(values)))
    observed = first_minus_last(np.array([values]))
    expected = (first_minus_last(rows) >= observed).mean()
    assert p_value(np.array(values), first_minus_last) == pytest.approx(expected, abs=0.02)


def test_chance_is_the_same_each_time_and_never_says_never() -> None:
    values = np.arange(30.0)
    found = p_value(values, lambda rows: (rows[:, :-1] < rows[:, 1:]).sum(axis=1).astype(float))
    assert found == 1 / 10_000
    assert p_value(values, first_minus_last) == p_value(values, first_minus_last)
