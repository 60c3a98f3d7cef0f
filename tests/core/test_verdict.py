from hypothesis import given
from hypothesis import strategies as st

from flowlag.reconcile import EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED, Counts
from flowlag.verdict import COMPLETE, PARTIAL, VOID, Verdict, judge

NUMBERS = st.integers(0, 2_000)


def counts(observed: int, **missing: int) -> Counts:
    return Counts(
        ledger_ticks=observed + sum(missing.values()),
        observed=observed,
        missing=missing,
        before_first_record=0,
        duplicates=0,
        not_in_ledger=0,
        stale=0,
        foreign=0,
        nodata=0,
        skipdata=0,
        unparsable=0,
    )


ARMS = st.dictionaries(
    st.sampled_from(["cloudwatch-60", "cloudwatch-600"]),
    st.none() | st.builds(counts, NUMBERS, **{NEVER_SENT: NUMBERS, LOST_ON_WIRE: NUMBERS, NOT_RECORDED: NUMBERS}),
    min_size=1,
)
REASONS = st.lists(st.text(min_size=1), max_size=2)


def test_a_run_whose_every_tick_was_observed_is_complete() -> None:
    assert judge({"cloudwatch-600": counts(3_600)}) == Verdict(COMPLETE, ())


def test_lost_records_are_a_result_and_leave_a_run_complete() -> None:
    lossy = counts(10, **{LOST_ON_WIRE: 500, NOT_RECORDED: 500, EXPECTED_MISSING: 1})
    assert judge({"cloudwatch-600": lossy}) == Verdict(COMPLETE, ())


def test_a_sender_may_miss_one_tick_in_a_hundred_and_not_more() -> None:
    assert judge({"cloudwatch-600": counts(99, never_sent=1)}) == Verdict(COMPLETE, ())
    assert judge({"cloudwatch-600": counts(98, never_sent=2)}) == Verdict(
        PARTIAL, ("cloudwatch-600: the sender missed 2 of 100 ticks",)
    )


def test_a_sender_that_was_cut_short_makes_a_run_partial() -> None:
    assert judge({"cloudwatch-600": counts(60)}, ledger_closed=False) == Verdict(
        PARTIAL, ("the sender was cut short",)
    )


def test_a_capture_that_was_cut_short_makes_a_run_partial() -> None:
    reason = "the capture was cut short, so that some loss on the wire may count as not recorded"
    assert judge({"cloudwatch-600": counts(60)}, capture_closed=False) == Verdict(PARTIAL, (reason,))


def test_a_failed_step_makes_a_run_partial_in_its_own_words() -> None:
    verdict = judge({"cloudwatch-600": counts(60)}, failures=["StopTraffic: the command timed out"])
    assert verdict == Verdict(PARTIAL, ("StopTraffic: the command timed out",))


def test_one_arm_without_observations_makes_a_run_partial_and_is_named() -> None:
    verdict = judge({"cloudwatch-60": counts(60), "cloudwatch-600": counts(0, not_recorded=60)})
    assert verdict == Verdict(PARTIAL, ("cloudwatch-600: no probe was observed",))


def test_a_late_first_delivery_makes_a_run_partial_and_is_named() -> None:
    verdict = judge({"cloudwatch-600": counts(60)}, censored=["cloudwatch-600"])
    assert verdict == Verdict(PARTIAL, ("cloudwatch-600: no first delivery before the deadline",))


def test_a_run_without_any_observation_is_void_with_every_reason() -> None:
    verdict = judge(
        {"cloudwatch-60": None, "cloudwatch-600": counts(0, never_sent=60)},
        failures=["StartTraffic: the instance is not managed"],
        censored=["cloudwatch-60"],
        ledger_closed=False,
    )
    assert verdict == Verdict(
        VOID,
        (
            "StartTraffic: the instance is not managed",
            "cloudwatch-60: the arm was not reconciled",
            "cloudwatch-600: no probe was observed",
            "cloudwatch-60: no first delivery before the deadline",
            "cloudwatch-600: the sender missed 60 of 60 ticks",
        ),
    )


def test_an_arm_that_was_not_reconciled_spoils_a_run_but_not_the_other_arm() -> None:
    assert judge({"cloudwatch-60": None, "cloudwatch-600": counts(60)}).verdict == PARTIAL


@given(arms=ARMS, failures=REASONS, ledger_closed=st.booleans(), censored=REASONS)
def test_a_run_is_void_without_observations_complete_without_reasons_and_else_partial(
    *, arms: dict[str, Counts | None], failures: list[str], ledger_closed: bool, censored: list[str]
) -> None:
    verdict = judge(arms, failures=failures, ledger_closed=ledger_closed, censored=censored)
    observed = any(each and each.observed for each in arms.values())
    assert (verdict.verdict == VOID) == (not observed)
    assert (verdict.verdict == COMPLETE) == (not verdict.reasons)
    assert verdict.reasons[: len(failures)] == tuple(failures)
