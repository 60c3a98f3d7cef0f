import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.first_delivery import DELIVERED, EXPIRED, WAITING, FirstDelivery, t0
from flowlag.plan import RunPlan, RunRequest
from flowlag.probe import Event, ProbeFilter

type FlowLine = Callable[..., str]

SECOND = 1_000_000
T0 = 1_646_334_000 * SECOND
TICK = 1_646_334_040


@pytest.fixture
def stray(flow_line: FlowLine) -> Event:
    return Event("stray", flow_line(TICK, dstport=443), T0 + 60 * SECOND)


@pytest.fixture
def probes(flow_line: FlowLine) -> list[Event]:
    return [Event(f"probe-{late}", flow_line(TICK), T0 + late * SECOND) for late in (125, 121, 130)]


def looked(plan: RunPlan, before: FirstDelivery, second: int, *found: Event) -> FirstDelivery:
    """Look at a second after T0; the answer takes half a second."""
    asked_at = T0 + second * SECOND
    return look(plan, before, *found, asked_at=asked_at, answered_at=asked_at + SECOND // 2)


def look(plan: RunPlan, before: FirstDelivery, *found: Event, asked_at: int, answered_at: int) -> FirstDelivery:
    sifted = ProbeFilter.of(plan).sift(found)
    sifted.first_record_at = min((event.delivered_at for event in found), default=None)  # the destination's to know
    return before.looked(plan.request, T0, sifted, asked_at=asked_at, answered_at=answered_at)


def test_before_the_first_look_nothing_is_known() -> None:
    assert FirstDelivery.of_json({}) == FirstDelivery(polls=0, status=WAITING)


def test_a_look_that_finds_nothing_is_a_miss(plan: RunPlan) -> None:
    assert looked(plan, FirstDelivery(), 30) == FirstDelivery(polls=1, last_miss_at=T0 + 30 * SECOND)


def test_a_record_that_is_no_probe_is_a_first_record_and_still_a_miss(plan: RunPlan, stray: Event) -> None:
    assert looked(plan, FirstDelivery(), 90, stray) == FirstDelivery(
        polls=1, last_miss_at=T0 + 90 * SECOND, first_record_at=T0 + 60 * SECOND
    )


def test_polling_brackets_the_first_delivery_and_the_service_times_it(
    plan: RunPlan, stray: Event, probes: list[Event]
) -> None:
    missed = looked(plan, looked(plan, FirstDelivery(), 30), 90, stray)
    assert looked(plan, missed, 150, stray, *probes) == FirstDelivery(
        polls=3,
        status=DELIVERED,
        last_miss_at=T0 + 90 * SECOND,
        first_hit_at=T0 + 150 * SECOND + SECOND // 2,
        first_record_at=T0 + 60 * SECOND,
        first_probe_at=T0 + 121 * SECOND,
    )


def test_a_first_look_that_finds_a_probe_has_no_miss_before_it(plan: RunPlan, probes: list[Event]) -> None:
    found = looked(plan, FirstDelivery(), 150, *probes)
    assert (found.status, found.last_miss_at) == (DELIVERED, None)


def test_the_wait_expires_with_the_first_miss_answered_at_the_deadline(plan: RunPlan) -> None:
    deadline = T0 + plan.request.first_delivery_timeout_s * SECOND
    before = look(plan, FirstDelivery(), asked_at=deadline - 2, answered_at=deadline - 1)
    after = look(plan, before, asked_at=deadline - 1, answered_at=deadline)
    assert (before.status, after.status) == (WAITING, EXPIRED)
    assert (after.polls, after.last_miss_at) == (2, deadline - 1)


def test_a_probe_found_after_the_deadline_was_delivered_all_the_same(plan: RunPlan, probes: list[Event]) -> None:
    assert looked(plan, FirstDelivery(), 10_000, *probes).status == DELIVERED


def test_what_was_seen_survives_json(plan: RunPlan, stray: Event, probes: list[Event]) -> None:
    for found in ([], [stray], [stray, *probes]):
        state = looked(plan, FirstDelivery(), 150, *found)
        assert FirstDelivery.of_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (T0 + 300_000, T0),  # the usual order
        (T0 - 900_000, T0),  # the service counts whole seconds, or the clocks differ a little
        (T0 - 60 * SECOND, T0 - 60 * SECOND),  # a retried step got the flow log of its first try
        (None, T0),  # not described yet
    ],
)
def test_t0_is_our_clock_unless_the_flow_log_is_older_than_the_call(service: int | None, expected: int) -> None:
    assert t0({"t0_before_call": T0, "t0_service": service}) == expected


# ---------------------------------------------------------------- when to look next
def looks_of(request: RunRequest) -> list[int]:
    """The waits before every look until the deadline, in seconds, if looking takes no time."""
    waits: list[int] = []
    while sum(waits) < request.first_delivery_timeout_s:
        waits.append(FirstDelivery(polls=len(waits)).next_look_s(request))
    return waits


def test_the_first_look_comes_after_the_poll_interval_and_each_one_half_as_late_again() -> None:
    waits = looks_of(RunRequest(poll_interval_s=20, longest_poll_interval_s=240))
    assert waits[:8] == [20, 30, 45, 68, 101, 152, 228, 240]
    assert set(waits[8:]) == {240}


def test_forty_five_minutes_of_waiting_are_under_twenty_looks() -> None:
    waits = looks_of(RunRequest())
    assert sum(waits) >= 2_700
    assert len(waits) < 20


def test_a_request_that_wants_no_back_off_has_none() -> None:
    request = RunRequest(poll_interval_s=5, longest_poll_interval_s=5, first_delivery_timeout_s=60)
    assert looks_of(request) == [5] * 12


@given(st.integers(1, 600), st.integers(0, 600), st.integers(0, 10_000))
def test_however_often_one_has_looked_the_next_look_is_neither_sooner_nor_beyond_the_longest(
    shortest: int, longer: int, polls: int
) -> None:
    longest = min(600, shortest + longer)
    request = RunRequest(poll_interval_s=shortest, longest_poll_interval_s=longest)
    wait, next_wait = (FirstDelivery(polls=each).next_look_s(request) for each in (polls, polls + 1))
    assert shortest <= wait <= next_wait <= longest
    assert polls < 16 or wait == longest
    assert isinstance(wait, int)
