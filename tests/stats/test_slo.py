from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowlag_stats.samples import RunSample
from flowlag_stats.slo import bound, largest_share, runs_needed
from tests.stats.runs import run, runs

SHARES = st.floats(0.05, 0.999)


@pytest.mark.parametrize(
    ("share", "confidence", "needed"),
    [(0.95, 0.95, 59), (0.95, 0.99, 90), (0.99, 0.95, 299), (0.99, 0.99, 459), (0.999, 0.95, 2_995), (0.1, 0.9, 1)],
)
def test_runs_needed(share: float, confidence: float, needed: int) -> None:
    assert runs_needed(share, confidence) == needed


@given(SHARES, SHARES)
def test_with_fewer_runs_the_latest_probe_is_no_bound(share: float, confidence: float) -> None:
    n = runs_needed(share, confidence)
    assert 1 - share**n >= confidence - 1e-9
    assert n == 1 or 1 - share ** (n - 1) < confidence


@given(st.integers(1, 3_000), SHARES)
def test_the_largest_share_needs_just_these_runs(n: int, confidence: float) -> None:
    share = largest_share(n, confidence)
    assert runs_needed(share, confidence) in (n, n + 1)  # a share is rounded
    assert runs_needed(share - 1e-9, confidence) <= n


@pytest.mark.parametrize("n", [58, 59, 92, 93, 123, 124, 500])
def test_the_bound_is_the_smallest_order_statistic_that_suffices(n: int) -> None:
    found = bound(runs(*range(1, n + 1)), 0.95, 0.95)
    if n < 59:
        assert (found.bound_s, found.runs_missing) == (None, 1)
    else:
        order = int(stats.binom.ppf(0.95, n, 0.95)) + 1
        assert stats.binom.cdf(order - 1, n, 0.95) >= 0.95 > stats.binom.cdf(order - 2, n, 0.95)
        assert (found.bound_s, found.runs_missing) == (order, 0)


@given(st.integers(1, 300), SHARES, st.floats(0.5, 0.99))
def test_the_order_statistic_is_right_in_whole_numbers(n: int, share: float, confidence: float) -> None:
    found = bound(runs(*range(1, n + 1)), share, confidence)
    at_most = np.cumsum([comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)])
    enough = [m for m in range(1, n + 1) if at_most[m - 1] >= confidence + 1e-9]
    nearly = [m for m in range(1, n + 1) if at_most[m - 1] >= confidence - 1e-9]
    assert found.bound_s in {min(each, default=None) for each in (enough, nearly)}


def test_a_probe_that_was_never_delivered_is_later_than_everything() -> None:
    medians = [*range(1, 94), np.inf]
    found = bound(runs(*medians), 0.95, 0.95)  # of 94 probes, the second latest
    assert (found.bound_s, found.undelivered) == (93, 1)
    found = bound(runs(*medians[1:], np.inf), 0.95, 0.95)
    assert (found.bound_s, found.undelivered, found.runs_missing) == (None, 2, 0)
    assert found.sentence == (
        "within what time 95 % of flows are visible cannot be stated with 95 % confidence: "
        "of 94 random probes, one of each run, 2 did not come by the deadline"
    )


def test_the_random_probe_is_chosen_by_the_runs_id_alone() -> None:
    delays = np.linspace(0, 600, 10_801)
    first = [run(delays, number) for number in range(90)]
    again = [RunSample(each.run_id, 7, delays + 1000) for each in reversed(first)]
    assert bound(again, 0.95, 0.99).bound_s == pytest.approx(bound(first, 0.95, 0.99).bound_s + 1000)


def test_probes_are_chosen_evenly_among_delivered_and_missing_ones() -> None:
    """One bound of one run is its random probe."""
    samples = [run(np.arange(9.0), number, missing=3) for number in range(2_000)]
    probes = [bound([sample], 0.1, 0.5).bound_s for sample in samples]
    chosen = [probes.count(each) for each in [*range(9), *[None]]]
    expected = [2_000 / 12] * 9 + [2_000 * 3 / 12]
    assert stats.chisquare(chosen, expected).pvalue > 0.001


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(611.2, "10 min 12 s"), (600, "10 min"), (18.3, "19 s"), (3_661, "1 h 1 min 1 s"), (0, "0 s"), (-1.5, "-1 s")],
)
def test_the_sentence(seconds: float, words: str) -> None:
    found = bound(runs(*[seconds] * 90), 0.95, 0.99)
    assert found.n_runs == 90
    assert found.sentence == f"with 99 % confidence, 95 % of flows are visible within {words}"


@pytest.mark.parametrize(("n", "more"), [(59, "31 more runs are"), (89, "1 more run is")])
def test_the_sentence_says_how_many_runs_are_missing(n: int, more: str) -> None:
    assert bound(runs(*range(n)), 0.95, 0.99).sentence == (
        f"within what time 95 % of flows are visible cannot be stated with 99 % confidence yet: {more} needed"
    )


def test_a_confidence_that_a_float_cannot_hold_is_meant() -> None:
    """One run is enough for 10 % of flows with 90 % confidence, though 1 - 0.9 is less than 0.1 in floats."""
    assert bound(runs(5), 0.1, 0.9).bound_s == 5


def test_no_run_is_the_longest_way() -> None:
    found = bound([], 0.999, 0.95)
    assert (found.n_runs, found.runs_missing, found.bound_s) == (0, 2_995, None)
    assert "99.9 % of flows" in found.sentence
