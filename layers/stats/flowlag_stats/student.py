"""Student's t distribution, which neither the standard library nor NumPy has."""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, isinf, lgamma, log, sqrt

_PRECISION = 1e-15


def two_sided_p(t: float, degrees: float) -> float:
    """The probability that |T| is at least |t|, for T of Student's t distribution.

    It is the regularised incomplete beta function I_x(degrees / 2, 1 / 2) at x = degrees / (degrees + t^2).
    """
    squared = t * t
    if isinf(squared):
        return 0.0
    return _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + squared), squared / (degrees + squared))


@lru_cache
def quantile(level: float, degrees: float) -> float:
    """The t that |T| stays below with probability `level`, by halving x of `two_sided_p`."""
    low, high = 0.0, 1.0
    while low < (x := (low + high) / 2) < high:
        if _incomplete_beta(degrees / 2, 0.5, x, 1 - x) < 1 - level:
            low = x
        else:
            high = x
    return sqrt(degrees * (1 - high) / high)


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """I_x(a, b) by its continued fraction (https://dlmf.nist.gov/8.17#v), on the side where that converges fast.

    `y` is 1 - x as the caller knows it: beside 1, x has lost the digits that the answer is made of.
    """
    if not x or not y:
        return x
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, y, x)
    front = exp(a * log(x) + b * log(y) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a
    return front * _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1 / (1 + d1 / (1 + d2 / ...)) by Lentz's method: a product of ratios until the next one is 1."""
    value, numerator, denominator, ratio, step = 1.0, inf, 1.0, 0.0, 0
    while abs(ratio - 1) > _PRECISION:
        step += 1
        m, is_odd = divmod(step, 2)
        up = -(a + m) * (a + b + m) if is_odd else m * (b - m)
        term = up * x / ((a + step - 1) * (a + step))
        numerator = 1 + term / numerator
        denominator = 1 / (1 + term * denominator)
        ratio = numerator * denominator
        value *= ratio
    return value
