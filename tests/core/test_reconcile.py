from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.ledger import FAILED, MISSED, SENT, SKIPPED, Ledger, LedgerEntry
from flowlag.plan import RunPlan
from flowlag.probe import Event, ProbeFilter, Sifted, Unparsable
from flowlag.reconcile import Evidence, Reconciled, reconcile
from flowlag.stamp import encode

type FlowLine = Callable[..., str]

WRAP = 1_646_395_392
"""A tick whose source port is 0."""
FIRST = WRAP - 12
DELIVERED_AT = (WRAP + 900) * 1_000_000
SINCE = FIRST * 1_000_000
"""When the flow log was created."""
FATES = ("recorded", "recorded twice", "recorded, not seen", "lost on wire", "not recorded", MISSED, FAILED)
RECORDED = FATES[:3]
SEEN = ("recorded", "recorded twice", "not recorded")
STRAYS = ("foreign", "nodata", "skipdata", "stale", "unparsable", "not in ledger")
CAPTURES = ("none", "closed", "cut short")


@dataclass(frozen=True)
class Run:
    """What really became of each tick of a run, and what its records come mixed with.

    A sender that is killed after a tick writes down no later one. A capture that is cut short at a tick
    has seen it, if it arrived, and no later one.
    """

    fates: dict[int, str]
    killed_after: int | None = None
    capture: str = "closed"
    cut_at: int = FIRST
    strays: tuple[str, ...] = ()

    @property
    def lived(self) -> list[int]:
        """The ticks that the sender lived to write down."""
        return [tick for tick in self.fates if self.killed_after is None or tick <= self.killed_after]

    @property
    def seen(self) -> dict[int, int] | None:
        """What the capture has."""
        if self.capture == "none":
            return None
        until = self.cut_at if self.capture == "cut short" else max(self.fates)
        return {tick: seen_at(tick) for tick, fate in self.fates.items() if fate in SEEN and tick <= until}


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Two dozen ticks around the wrap, each with a fate of its own; sender and capture may be killed on the way."""
    fates = dict(enumerate(draw(st.lists(st.sampled_from(FATES), min_size=1, max_size=24)), start=FIRST))
    if WRAP in fates:
        fates[WRAP] = SKIPPED
    killed_after = draw(st.none() | st.sampled_from(sorted(fates)))
    for tick in fates:
        if killed_after is not None and tick > killed_after:
            fates[tick] = SKIPPED if tick == WRAP else MISSED
    return Run(
        fates,
        killed_after,
        draw(st.sampled_from(CAPTURES)),
        draw(st.sampled_from(sorted(fates))),
        tuple(draw(st.lists(st.sampled_from(STRAYS), max_size=6))),
    )


def run_of(*fates: str, **changed: Any) -> Run:
    return Run(dict(enumerate(fates, start=FIRST)), **changed)


def ledger_of(run: Run) -> Ledger:
    entries = []
    for tick in run.lived:
        outcome = run.fates[tick] if run.fates[tick] in (MISSED, FAILED, SKIPPED) else SENT
        entries.append(LedgerEntry(tick, encode(tick), sent_ns(tick) if outcome == SENT else None, outcome))
    return Ledger(tuple(entries), closed=run.killed_after is None)


def sent_ns(tick: int) -> int:
    return tick * 1_000_000_000 + 250_999


def seen_at(tick: int) -> int:
    return tick * 1_000_000 + 900


def deliveries_of(run: Run, flow_line: FlowLine) -> list[Event]:
    lines = [flow_line(tick) for tick, fate in run.fates.items() if fate in RECORDED]
    lines += [flow_line(tick) for tick, fate in run.fates.items() if fate == "recorded twice"]
    absent = dict.fromkeys(("srcport", "dstport", "protocol", "packets", "bytes"))
    of_stray = {
        "foreign": flow_line(WRAP, dstport=443),
        "nodata": flow_line(WRAP, log_status="NODATA", **absent),
        "skipdata": flow_line(WRAP, log_status="SKIPDATA", **absent),
        "stale": flow_line(FIRST, start=FIRST - 61),
        "unparsable": "torn",
        "not in ledger": flow_line(FIRST - 1),
    }
    lines += [of_stray[stray] for stray in run.strays]
    return [Event(f"event-{number}", line, DELIVERED_AT + number // 2) for number, line in enumerate(lines)]


def evidence_of(run: Run) -> Evidence:
    """From every side but the destination's."""
    return Evidence(
        ledger=ledger_of(run),
        seen=run.seen,
        capture_closed=run.capture == "closed",
        delivered=Sifted(),
        stop_requested_at=max(run.fates) * 1_000_000 + 999_999,
    )


def reason_of(tick: int, run: Run) -> str:
    fate = run.fates[tick]
    if fate == "lost on wire":
        watched = run.capture == "closed" or (run.capture == "cut short" and tick < max(run.seen or (), default=0))
        return "lost_on_wire" if watched else "not_recorded"
    return {
        MISSED: "never_sent",
        FAILED: "never_sent",
        SKIPPED: "expected_missing",
        "not recorded": "not_recorded",
    }[fate]


def close(plan: RunPlan, evidence: Evidence, delivered: Iterable[Event]) -> Reconciled:
    sifted = ProbeFilter.of(plan, since=SINCE).sift(delivered)
    return reconcile(plan, plan.arms[0], replace(evidence, delivered=sifted))


@given(runs())
def test_every_tick_is_observed_or_missing_for_its_true_reason(
    plan: RunPlan, flow_line: FlowLine, run: Run
) -> None:
    result = close(plan, evidence_of(run), deliveries_of(run, flow_line))
    counts = result.counts
    recorded = [tick for tick, fate in run.fates.items() if fate in RECORDED]
    in_range = [tick for tick in run.fates if tick >= min(recorded, default=FIRST)]
    assert counts.ledger_ticks == counts.observed + sum(counts.missing.values())
    assert counts.ledger_ticks == len(in_range)
    assert counts.before_first_record == len(run.fates) - len(in_range)
    assert [observation.tick for observation in result.observations] == recorded
    assert counts.observed == len(recorded)
    assert counts.missing == Counter(reason_of(tick, run) for tick in in_range if tick not in recorded)
    assert counts.duplicates == list(run.fates.values()).count("recorded twice")
    strays = Counter(run.strays)
    assert [getattr(counts, stray.replace(" ", "_")) for stray in STRAYS] == [strays[stray] for stray in STRAYS]


@given(runs())
def test_an_observation_takes_each_instant_from_the_side_that_knows_it(
    plan: RunPlan, flow_line: FlowLine, run: Run
) -> None:
    evidence, deliveries = evidence_of(run), deliveries_of(run, flow_line)
    received = {event.event_id: event.delivered_at + 7 for event in deliveries[::2]}
    delivered = {event.event_id: event for event in deliveries}
    result = close(plan, replace(evidence, received=received, flow_log_id="fl-1"), deliveries)
    for observation in result.observations:
        tick, event = observation.tick, delivered[observation.event_id]
        assert event.message == flow_line(tick)
        assert observation.sent_at == sent_ns(tick) // 1_000
        assert observation.seen_at == (evidence.seen or {}).get(tick)
        assert observation.ingested_at == event.delivered_at
        assert observation.received_at == received.get(event.event_id)
        assert observation.flow_log_id == "fl-1"


@given(runs(), st.randoms(use_true_random=False))
def test_the_same_evidence_gives_the_same_result_in_any_order(
    plan: RunPlan, flow_line: FlowLine, run: Run, random: Random
) -> None:
    evidence, deliveries = evidence_of(run), deliveries_of(run, flow_line)
    shuffled = random.sample(deliveries, len(deliveries))
    seen = evidence.seen and dict(random.sample(list(evidence.seen.items()), len(evidence.seen)))
    assert close(plan, replace(evidence, seen=seen), shuffled) == close(plan, evidence, deliveries)


@given(runs(), st.randoms(use_true_random=False))
def test_what_was_sifted_object_by_object_gives_the_same_result_as_all_at_once(
    plan: RunPlan, flow_line: FlowLine, run: Run, random: Random
) -> None:
    evidence, deliveries = evidence_of(run), deliveries_of(run, flow_line)
    by_object = Sifted()
    for event in random.sample(deliveries, len(deliveries)):
        by_object.add(ProbeFilter.of(plan, since=SINCE).sift([event]))
    together = close(plan, evidence, deliveries)
    assert reconcile(plan, plan.arms[0], replace(evidence, delivered=by_object)) == together


def test_two_records_under_one_event_id_give_the_same_result_in_any_order(
    plan: RunPlan, flow_line: FlowLine
) -> None:
    ledger = Ledger((LedgerEntry(FIRST, encode(FIRST), sent_ns(FIRST), SENT),), closed=True)
    twins = [Event("same", flow_line(FIRST, start=FIRST + error), DELIVERED_AT) for error in (0, 60)]
    evidence = Evidence(ledger=ledger, seen=None, delivered=Sifted())
    results = [close(plan, evidence, each) for each in (twins, twins[::-1])]
    assert results[0] == results[1]


def test_of_two_records_of_a_probe_the_one_delivered_first_counts(plan: RunPlan, flow_line: FlowLine) -> None:
    late, early = (Event(name, flow_line(FIRST), DELIVERED_AT + at) for name, at in (("a", 5), ("b", 4)))
    result = close(plan, evidence_of(run_of("recorded")), [late, early])
    assert [observation.event_id for observation in result.observations] == ["b"]
    assert result.counts.duplicates == 1


def close_of(plan: RunPlan, flow_line: FlowLine, run: Run, **changed: Any) -> Reconciled:
    return close(plan, replace(evidence_of(run), **changed), deliveries_of(run, flow_line))


# ---------------------------------------------------------------- the capture
def test_without_a_capture_a_loss_on_the_wire_cannot_be_told(plan: RunPlan, flow_line: FlowLine) -> None:
    fates = ("recorded", "lost on wire", "not recorded")
    with_capture = close_of(plan, flow_line, run_of(*fates)).counts
    without = close_of(plan, flow_line, run_of(*fates, capture="none")).counts
    assert with_capture.missing == {"lost_on_wire": 1, "not_recorded": 1}
    assert without.missing == {"not_recorded": 2}


def test_a_capture_that_saw_nothing_is_not_the_lack_of_one(plan: RunPlan, flow_line: FlowLine) -> None:
    counts = close_of(plan, flow_line, run_of("recorded", "not recorded"), seen={}).counts
    assert counts.missing == {"lost_on_wire": 1}


def test_a_capture_that_was_cut_short_says_nothing_about_what_came_later(
    plan: RunPlan, flow_line: FlowLine
) -> None:
    fates = ("recorded", "lost on wire", "recorded", "lost on wire", "not recorded", "lost on wire")
    cut = close_of(plan, flow_line, run_of(*fates, capture="cut short", cut_at=FIRST + 3)).counts
    assert cut.missing == {"lost_on_wire": 1, "not_recorded": 3}
    nothing = close_of(plan, flow_line, run_of(*fates), seen={}, capture_closed=False).counts
    assert nothing.missing == {"not_recorded": 4}


# ---------------------------------------------------------------- the range
def test_ticks_before_the_first_record_are_counted_apart(plan: RunPlan, flow_line: FlowLine) -> None:
    counts = close_of(plan, flow_line, run_of("not recorded", MISSED, "recorded", "not recorded")).counts
    assert (counts.before_first_record, counts.ledger_ticks, counts.observed) == (2, 2, 1)
    assert counts.missing == {"not_recorded": 1}


def test_an_arm_that_recorded_nothing_misses_every_tick(plan: RunPlan, flow_line: FlowLine) -> None:
    result = close_of(plan, flow_line, run_of("not recorded", MISSED))
    assert result.observations == ()
    assert (result.counts.ledger_ticks, result.counts.before_first_record) == (2, 0)
    assert result.counts.missing == {"never_sent": 1, "not_recorded": 1}


def test_an_empty_ledger_has_nothing_to_miss(plan: RunPlan) -> None:
    empty = Evidence(ledger=Ledger((), closed=False), seen=None, delivered=Sifted(), stop_requested_at=DELIVERED_AT)
    counts = close(plan, empty, []).counts
    assert (counts.ledger_ticks, counts.observed, counts.missing, counts.before_first_record) == (0, 0, {}, 0)


def test_a_probe_that_an_older_flow_log_reports_is_neither_observed_nor_where_the_range_begins(
    plan: RunPlan, flow_line: FlowLine
) -> None:
    counts = close_of(plan, flow_line, run_of("not recorded", "recorded", strays=("stale",))).counts
    assert (counts.stale, counts.observed, counts.before_first_record) == (1, 1, 1)


# ---------------------------------------------------------------- a sender that was killed
@pytest.mark.parametrize(("closed", "expected"), [(True, 1), (False, 4)])
def test_a_killed_sender_owes_every_tick_until_the_traffic_was_to_end(
    plan: RunPlan, flow_line: FlowLine, *, closed: bool, expected: int
) -> None:
    run = run_of("recorded", MISSED, MISSED, MISSED, killed_after=FIRST)
    counts = close_of(plan, flow_line, run, ledger=Ledger(ledger_of(run).entries, closed)).counts
    assert counts.ledger_ticks == expected
    assert counts.missing == ({} if closed else {"never_sent": 3})


def test_without_the_instant_of_the_stop_a_killed_senders_ticks_end_with_its_ledger(
    plan: RunPlan, flow_line: FlowLine
) -> None:
    run = run_of("recorded", MISSED, killed_after=FIRST)
    assert close_of(plan, flow_line, run, stop_requested_at=None).counts.ledger_ticks == 1


def test_a_probe_sent_in_the_killed_senders_last_moment_is_observed_at_its_due_instant(
    plan: RunPlan, flow_line: FlowLine
) -> None:
    result = close_of(plan, flow_line, run_of("recorded", "recorded", killed_after=FIRST))
    assert (result.counts.ledger_ticks, result.counts.observed, result.counts.missing) == (2, 2, {})
    assert result.observations[1].sent_at == (FIRST + 1) * 1_000_000


# ---------------------------------------------------------------- what is left over
def test_source_port_0_is_expected_to_be_missing(plan: RunPlan, flow_line: FlowLine) -> None:
    counts = close_of(plan, flow_line, Run({WRAP - 1: "recorded", WRAP: SKIPPED, WRAP + 1: "recorded"})).counts
    assert (counts.observed, counts.missing) == (2, {"expected_missing": 1})


def test_what_cannot_be_read_is_handed_on_whole(plan: RunPlan, flow_line: FlowLine) -> None:
    run = run_of("recorded")
    alias = Event("alias", flow_line(FIRST), DELIVERED_AT + 65_536_000_000)
    delivered = [*deliveries_of(run, flow_line), Event("torn", "5 -", 1), alias]
    result = close(plan, evidence_of(run), delivered)
    old, torn = result.unparsable
    assert torn == Unparsable("torn", "5 -", "the line has 2 fields where its format has 20")
    assert old[:2] == ("alias", flow_line(FIRST))
    assert "1 horizons apart" in old.reason
    assert (result.counts.observed, result.counts.unparsable) == (1, 2)
