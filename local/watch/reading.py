"""What is asked of AWS, and how often.

A look asks for the newest events of the history. That costs nothing, but all of an account's requests in a region
share a token bucket (service-quotas.html, read 2026-11). So looks are further apart where nothing can happen soon:
in a wait whose length is known, and between two of the run's own looks for a first delivery. While those are waited
for, a look gets a small object for each arm that waits, too: less than a tenth of a cent in all.

Deliveries are read from the log group itself, as the landing of DecodeRecords has no ingestion time. That is free,
too, but an account has five calls of FilterLogEvents a second in a region, and the run itself needs them. So a
group is read no more often than two bursts can be told apart (30 s on AWS), and only from the newest known window
on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from flowlag.first_delivery import DELIVERED, WAITING, FirstDelivery, t0
from flowlag.plan import CLOUDWATCH, RunPlan
from flowlag.probe import Event, ProbeFilter
from flowlag_aws.clock import now
from flowlag_aws.log_groups import PADDING_US
from local.doctor.account import in_words
from local.doctor.scope import document
from local.watch.arms import NO_LOOK, ArmSeen, Usual, created
from local.watch.history import Failure, History
from local.watch.outlook import Deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flowlag.instants import Micros
    from flowlag.plan import Arm
    from local.doctor.account import Account
    from local.doctor.scope import Run, Stack
    from local.watch.outlook import Outlook

POLL_S: Final = 2
"""Time between two looks, at least."""

_LONGEST_POLL_S: Final = 15
_WAITS: Final = {"TrafficWindow": "traffic_s", "Drain": "drain_s"}
"""The states that wait, each with the setting that says for how long."""

_PAGE, _LATEST = 200, 20
"""Events of the history that are asked for at once: the first time, and when few can be new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run, as it was seen.

    Attributes:
        at: when, by this machine's clock.
        plan: None as long as PlanRun has not written it.
        arms: in the order of the plan.
    """

    run_id: str
    stack: str
    region: str
    execution: str
    began_at: Micros
    at: Micros
    plan: RunPlan | None
    history: History
    arms: tuple[ArmSeen, ...]

    def left_s(self, state: str, at: Micros) -> float | None:
        """How long a wait goes on; None for any other state, and where it is not under way."""
        visit = self.history.visit(state)
        if visit is None or visit.left_at is not None or self.plan is None or state not in _WAITS:
            return None
        wait_s: int = getattr(self.plan.request, _WAITS[state])
        return max(0, wait_s - visit.seconds(at))

    @property
    def next_look_s(self) -> float:
        """After how long it is worth looking again."""
        waits = [left / 10 for state in _WAITS if (left := self.left_s(state, self.at)) is not None]
        if self.plan and self.history.is_in("EachArm"):
            waits.append(self.plan.request.poll_interval_s / 5)
        return min(_LONGEST_POLL_S, max(POLL_S, *waits)) if waits else POLL_S


class Watching:
    """Looks at a run again and again, and asks for no more than it does not know."""

    def __init__(self, account: Account, stack: Stack, run: Run) -> None:
        self.run_id = run.run_id
        self._account, self._stack, self._run = account, stack, run
        self._events: dict[int, Mapping[str, Any]] = {}
        self._plan = run.plan
        self._arms: dict[str, _ArmReading] = {}

    def look(self) -> Seen:
        """Look once.

        Raises:
            BotoCoreError: AWS did not answer.
            ClientError: it refused.
        """
        self._read_events()
        history = History.of(self._events.values())
        if self._plan is None and history.visit("StartTraffic"):
            self._plan = self._read_plan()
        return Seen(
            run_id=self._run.run_id,
            stack=self._stack.name,
            region=self._stack.region,
            execution=self._run.execution,
            began_at=self._run.began_at,
            at=now(),
            plan=self._plan,
            history=history,
            arms=tuple(self._look_at_arms(history)),
        )

    # ------------------------------------------------------------ the history
    def _read_events(self) -> None:
        """Add what is new: pages from the end backwards, until all before them is known."""
        pages = self._account.states.get_paginator("get_execution_history").paginate(
            executionArn=self._run.execution,
            reverseOrder=True,
            PaginationConfig={"PageSize": _LATEST if self._events else _PAGE},
        )
        known = self._known_without_gap()
        for page in pages:
            self._events.update((int(each["id"]), each) for each in page["events"])
            if any(int(each["id"]) <= known + 1 for each in page["events"]):
                return

    def _known_without_gap(self) -> int:
        """The number of the last event before which none is missing; they are numbered from one."""
        newest = max(self._events, default=0)
        return newest if newest == len(self._events) else 0

    def _read_plan(self) -> RunPlan | None:
        plan = self._document("plan.json")
        return RunPlan.of_json(plan) if plan and plan["execution"] == self._run.execution else None

    def _document(self, name: str) -> dict[str, Any] | None:
        return document(self._account, self._stack, self._run.run_id, name)

    # ------------------------------------------------------------ the arms
    def _look_at_arms(self, history: History) -> Iterator[ArmSeen]:
        if self._plan is None:
            return
        failed, entered = history.failed_arms, history.visit("EachArm")
        for arm in self._plan.arms:
            if arm.name not in self._arms:
                self._arms[arm.name] = _ArmReading(arm, Usual.of(self._plan, arm))
            reading = self._arms[arm.name]
            if entered and not reading.is_final:
                self._read_arm(reading)
                reading.is_final = entered.left_at is not None
            if _is_delivering(history, reading):
                self._read_deliveries(reading, self._plan)
            yield reading.seen(failed.get(arm.name))

    def _read_arm(self, reading: _ArmReading) -> None:
        """What the run wrote down of it; what cannot change any more is not asked for again."""
        name = reading.arm.name
        if reading.creation is None:
            reading.creation = self._document(f"{name}.creation.json")
        if reading.creation is not None and reading.looks.status == WAITING:
            reading.looks = FirstDelivery.of_json(self._document(f"{name}.first_delivery.json") or {})

    def _read_deliveries(self, reading: _ArmReading, plan: RunPlan) -> None:
        """What its log group holds beyond what is known; why it cannot be read, if it cannot."""
        if reading.creation is None or time.monotonic() < reading.read_again_at:
            return
        reading.read_again_at = time.monotonic() + read_every_s(plan)
        since = t0(reading.creation)
        begin = max(since, reading.deliveries.newest_window or 0) - PADDING_US
        pages = self._account.logs.get_paginator("filter_log_events").paginate(
            logGroupName=reading.creation["log_group"], startTime=max(0, begin) // 1_000
        )
        try:
            events = [
                Event(str(each["eventId"]), each["message"], each["ingestionTime"] * 1_000)
                for page in pages
                for each in page["events"]
            ]
        except ClientError as reason:
            why = in_words(reason)
            if reading.unread is None or reading.unread.why != why:
                reading.unread = Failure(now(), why)
            return
        reading.deliveries.add(ProbeFilter.of(plan, since).sift(events).probes)
        reading.outlook = reading.deliveries.outlook(plan.request.burst_gap_s)
        reading.unread = None


@dataclass(slots=True)
class _ArmReading:
    """What is known of an arm.

    Attributes:
        read_again_at: when its log group may be read again, by the monotonic clock.
        is_final: whether its control documents were read after the last of them was written.
    """

    arm: Arm
    usual: Usual | None
    creation: dict[str, Any] | None = None
    looks: FirstDelivery = NO_LOOK
    deliveries: Deliveries = field(default_factory=Deliveries)
    outlook: Outlook | None = None
    unread: Failure | None = None
    read_again_at: float = 0
    is_final: bool = False

    def seen(self, failure: Failure | None) -> ArmSeen:
        return ArmSeen(
            name=self.arm.name,
            **created(self.creation),
            looks=self.looks,
            usual=self.usual,
            failure=failure,
            outlook=self.outlook,
            unread=self.unread,
        )


def read_every_s(plan: RunPlan) -> float:
    """How often a log group is read."""
    return max(POLL_S, plan.request.burst_gap_s)


def _is_delivering(history: History, reading: _ArmReading) -> bool:
    """Whether a next delivery is to come: the flow log has delivered, and is still there."""
    return (
        reading.arm.destination == CLOUDWATCH
        and reading.looks.status == DELIVERED
        and history.end is None
        and history.visit("DeleteFlowLogs") is None
        and history.visit("DeleteFlowLogsAfterFailure") is None
    )
