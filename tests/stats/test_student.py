import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from flowlag_stats import student

DEGREES = st.one_of(st.integers(1, 1_000), st.floats(1, 1_000))


@given(st.floats(-1_000, 1_000), DEGREES)
def test_probabilities_are_scipys(t: float, degrees: float) -> None:
    """Not by `stats.t.sf`, which beside t = 0 is off by up to 5e-9 (SciPy 1.18)."""
    theirs = special.betaincc(0.5, degrees / 2, t * t / (degrees + t * t))
    assert student.two_sided_p(t, degrees) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("t", [1e-300, 1e-12, 3.656099611233195e-08, 1e-4])
def test_the_probability_of_a_t_beside_zero_keeps_its_digits(t: float) -> None:
    """There it is 1 - 2 t f(0), and f(0) of four degrees of freedom is 3/8."""
    assert student.two_sided_p(t, 4) == pytest.approx(1 - 0.75 * t, rel=1e-12)


@given(st.floats(0.01, 0.9999), DEGREES)
def test_quantiles_are_scipys(level: float, degrees: float) -> None:
    assert student.quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=1e-7)


def test_the_ends() -> None:
    assert student.two_sided_p(0, 4) == 1
    assert student.two_sided_p(float("inf"), 4) == 0
    assert student.two_sided_p(1e200, 4) == 0
    assert student.quantile(0.95, 3) == pytest.approx(3.182446305284263, rel=1e-12)
