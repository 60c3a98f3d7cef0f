import json
from collections.abc import Callable

import pytest

from flowlag.first_delivery import DELIVERED, EXPIRED, WAITING, FirstDelivery, t0
from flowlag.plan import RunPlan
from flowlag.probe import Event

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
    return before.looked(plan, T0, found, asked_at=asked_at, answered_at=asked_at + SECOND // 2)


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
    before = FirstDelivery().looked(plan, T0, [], asked_at=deadline - 2, answered_at=deadline - 1)
    after = before.looked(plan, T0, [], asked_at=deadline - 1, answered_at=deadline)
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
