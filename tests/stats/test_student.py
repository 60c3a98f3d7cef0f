import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowlag_stats import student

DEGREES = st.one_of(st.integers(1, 1_000), st.floats(1, 1_000))


@given(st.floats(-1_000, 1_000), DEGREES)
def test_probabilities_are_scipys(t: float, degrees: float) -> None:
    assert student.two_sided_p(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-9, abs=1e-12)


@given(st.floats(0.01, 0.9999), DEGREES)
def test_quantiles_are_scipys(level: float, degrees: float) -> None:
    assert student.quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=1e-7)


def test_the_ends() -> None:
    assert student.two_sided_p(0, 4) == 1
    assert student.two_sided_p(float("inf"), 4) == 0
    assert student.quantile(0.95, 3) == pytest.approx(3.182446305284263, rel=1e-12)
