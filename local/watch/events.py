"""What has happened in a run so far, one event for each thing, to be told once.

An event is plain JSON values: `event` (what happened), `at` (when, ISO 8601), and what belongs to it. `told` gives
the same one as a line for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.durations import in_units
from local.instants import iso, of_iso
from local.watch.arms import DELIVERED, EXPIRED, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flowlag.instants import Micros
    from local.watch.arms import ArmSeen
    from local.watch.reading import Seen

type Event = Mapping[str, Any]


def events_of(seen: Seen) -> list[Event]:
    """All that has happened in a run, in order. Of deliveries, only the last burst that was seen."""
    found = [_run(seen), *_planned(seen), *_states(seen)]
    for arm in seen.arms:
        found += _arm(arm)
    return sorted(found, key=lambda each: of_iso(each["at"]))


class Telling:
    """Tells each event once."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._told: set[tuple[Any, ...]] = set()

    def show(self, seen: Seen) -> None:
        """Tell what is new."""
        for event in events_of(seen):
            key = tuple(event.get(name) for name in ("event", "at", "state", "arm", "n_packets"))
            if key not in self._told:
                self._told.add(key)
                self._tell(event)


# ---------------------------------------------------------------- the run
def _event(event: str, at: Micros, **more: Any) -> Event:  # noqa: ANN401 - plain JSON values
    return {"event": event, "at": iso(at), **more}


def _run(seen: Seen) -> Event:
    about = {"stack": seen.stack, "region": seen.region, "execution": seen.execution}
    return _event("started", seen.began_at, run_id=seen.run_id, **about)


def _planned(seen: Seen) -> Iterator[Event]:
    if seen.plan:
        request = seen.plan.request
        yield _event(
            "planned",
            seen.plan.planned_at,
            source=seen.plan.source,
            arms=[arm.name for arm in seen.plan.arms],
            traffic_s=request.traffic_s,
            drain_s=request.drain_s,
        )


def _states(seen: Seen) -> Iterator[Event]:
    for visit in seen.history.states:
        yield _event("entered", visit.entered_at, state=visit.state)
        for failure in visit.failures:
            yield _event("attempt_failed", failure.at, state=visit.state, failure=failure.why)
        if visit.left_at is not None:
            yield _event(
                "left",
                visit.left_at,
                state=visit.state,
                ending=visit.ending,
                seconds=_rounded(visit.seconds(visit.left_at)),
            )


# ---------------------------------------------------------------- its arms
def _arm(arm: ArmSeen) -> Iterator[Event]:
    if arm.created_at is not None:
        yield _event("created", arm.created_at, arm=arm.name, flow_log_id=arm.flow_log_id)
    yield from _looks(arm)
    if arm.failure:
        yield _event("arm_failed", arm.failure.at, arm=arm.name, failure=arm.failure.why)
    yield from _deliveries(arm)


def _looks(arm: ArmSeen) -> Iterator[Event]:
    """What the newest look for the first delivery has shown."""
    looks = arm.looks
    at = looks.first_record_at if looks.status == DELIVERED else looks.last_miss_at
    if at is not None:
        seconds = _rounded(arm.waited_s(at))
        yield _event(_LOOKED[looks.status], at, arm=arm.name, seconds=seconds, polls=looks.polls)


_LOOKED: Final[Mapping[str, str]] = {WAITING: "nothing_yet", DELIVERED: "first_delivery", EXPIRED: "expired"}


def _deliveries(arm: ArmSeen) -> Iterator[Event]:
    if arm.unread:
        yield _event("unread", arm.unread.at, arm=arm.name, why=arm.unread.why)
    seen = arm.outlook
    if seen is None:
        return
    yield _event(
        "delivered",
        seen.burst_at,
        arm=arm.name,
        n_packets=seen.n_packets,
        n_bursts=seen.n_bursts,
        period_s=_rounded(seen.sawtooth.period_s) if seen.sawtooth else None,
        next_due_at=iso(seen.due_at) if seen.due_at else None,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


# ---------------------------------------------------------------- in words
def told(event: Event) -> str:
    """An event as a line."""
    return f"{event['at'][:19]}Z  {_WORDS[event['event']](event)}"


def _delivered(event: Event) -> str:
    due = event["next_due_at"]
    so_far = f"{event['arm']}: {event['n_packets']:,} packets in {count(event['n_bursts'], 'burst')}"
    if due is None:
        return f"{so_far}; too few to tell when the next delivery is due"
    return f"{so_far}; the next delivery is due at {due[:19]}Z"


def count(number: int, what: str) -> str:
    """One look, two looks."""
    return f"{number} {what}{'' if number == 1 else 's'}"


_WORDS: Final[Mapping[str, Callable[[Event], str]]] = {
    "started": lambda each: f"run {each['run_id']} of stack {each['stack']} in {each['region']}",
    "planned": lambda each: (
        f"planned: {count(len(each['arms']), 'arm')}, {in_units(each['traffic_s'])} of traffic, then "
        f"{in_units(each['drain_s'])} of drain"
    ),
    "entered": lambda each: f"{each['state']}: entered",
    "attempt_failed": lambda each: f"{each['state']}: an attempt failed: {each['failure']}",
    "left": lambda each: f"{each['state']}: {each['ending']} after {in_units(each['seconds'])}",
    "created": lambda each: f"{each['arm']}: flow log {each['flow_log_id']} was created",
    "nothing_yet": lambda each: (
        f"{each['arm']}: nothing yet after {in_units(each['seconds'])} ({count(each['polls'], 'look')})"
    ),
    "expired": lambda each: f"{each['arm']}: no first delivery within {in_units(each['seconds'])}",
    "first_delivery": lambda each: (
        f"{each['arm']}: first delivery after {in_units(each['seconds'])} ({count(each['polls'], 'look')})"
    ),
    "arm_failed": lambda each: f"{each['arm']}: failed: {each['failure']}",
    "delivered": _delivered,
    "unread": lambda each: f"{each['arm']}: its deliveries cannot be read: {each['why']}",
    "unanswered": lambda each: f"{each['why']}; trying again",
}
