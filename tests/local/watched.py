"""A run on AWS that is watched, in virtual time: what AWS would answer, and who asks."""

import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from flowlag.delivery import PRESETS, Schedule
from flowlag.plan import S3, XEN, Arm, RunPlan, RunRequest, Site, plan_run
from flowlag.record import PROBE_FORMAT, FlowRecord
from flowlag_aws.clock import micros
from local.doctor.scope import Run, Stack
from tests.flow_records import OURS, record
from tests.local.histories import ARMS, BEGAN

AT = micros(BEGAN)
SECOND = 1_000_000
EXECUTION = "arn:aws:states:eu-west-1:111122223333:execution:flowlag-benchmark:run-1"
GROUP = "/flowlag/flowlag/run-1/cloudwatch-600"
CREATED_AT = AT + 9 * SECOND
MODEL = Schedule(PRESETS["xen-600"], phase=AT + 100 * SECOND, lag=20 * SECOND)

STACK = Stack(
    name="flowlag",
    region="eu-west-1",
    partition="aws",
    account_id="111122223333",
    status="CREATE_COMPLETE",
    outputs={"StateMachineArn": "arn:machine", "WorkBucketName": "work", "ResultsBucketName": "results"},
    parameters={},
    resources={},
)
RUN = Run(run_id="run-1", execution=EXECUTION, status="RUNNING", began_at=AT, failure="", plan=None, files={})


def planned(*arms: Arm, source: str = "aws") -> RunPlan:
    """Three hours of traffic on Xen."""
    site = Site(
        source=source,
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t2.micro",
        hypervisor=XEN,
        sender_instance_id="i-a",
        interface_id=OURS.interface_id,
        subnet_id="subnet-a",
        vpc_id="vpc-a",
        sender_address="10.99.0.10",
        target_instance_id="i-b",
        target_address="10.99.0.20",
        target_port=OURS.target_port,
    )
    request = RunRequest(arms=arms or (Arm(), Arm(destination=S3)))
    plan = plan_run("run-1", request, site, execution=EXECUTION, now=AT + SECOND, code_version="1")
    return replace(plan, payload_bytes=OURS.payload_bytes)


def log_events(until_s: float) -> list[dict[str, Any]]:
    """What the model has delivered of a probe a second, so long after the run began."""
    return [
        {
            "eventId": f"{tick}",
            "timestamp": start // 1_000,
            "ingestionTime": at // 1_000,
            "message": _line(tick, start // SECOND),
        }
        for at, starts in MODEL.delivered(CREATED_AT, AT + round(until_s * SECOND))
        for start in starts
        for tick in range(-(-start // SECOND), -(-(start + 60_061_000) // SECOND))
    ]


def _line(tick: int, start_s: int) -> str:
    return PROBE_FORMAT.format(FlowRecord(record(tick, start=start_s, end=start_s + 60)))


def waiting(polls: int, last_miss_s: float) -> dict[str, Any]:
    """What CheckFirstDelivery wrote down after some looks in vain."""
    return {"polls": polls, "status": "waiting", "last_miss_at": AT + round(last_miss_s * SECOND)}


def delivered(after_s: float) -> dict[str, Any]:
    """What it wrote down after its last look."""
    at = CREATED_AT + round(after_s * SECOND)
    seen = {"first_record_at": at, "first_probe_at": at + SECOND, "first_hit_at": at + 2 * SECOND}
    return waiting(7, 300) | {"status": "delivered", **seen}


def refused(operation: str, code: str = "AccessDeniedException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, operation)


UNREACHABLE = EndpointConnectionError(endpoint_url="https://states.eu-west-1.amazonaws.com")


class _Pages:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get_paginator(self, _operation: str) -> "_Pages":
        return self

    def paginate(self, **asked: Any) -> Any:
        return self._answer(**asked)


@dataclass
class FakeAws:
    """Answers what is set, and remembers what it was asked for.

    Attributes:
        events: the history of the run's execution.
        documents: its control documents by name.
        records: what is in the log group.
        trouble: what the next calls of these operations raise.
        asked: operation and what it was about.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    trouble: dict[str, list[Exception | None]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = _Pages(self._history)
        self.logs = _Pages(self._events)
        self.s3 = self

    def plan(self, plan: RunPlan) -> None:
        self.documents["plan.json"] = plan.to_json()
        for arm in plan.arms:
            self.documents[f"{arm.name}.creation.json"] = {
                "flow_log_id": f"fl-{arm.name}",
                "t0_before_call": CREATED_AT,
                "t0_service": CREATED_AT,
                **({"log_group": GROUP} if arm.name == ARMS[0] else {"bucket": "work"}),
            }

    def count(self, operation: str) -> int:
        return sum(each == operation for each, _ in self.asked)

    def _asked(self, operation: str, about: Any) -> None:
        self.asked.append((operation, about))
        if (troubles := self.trouble.get(operation)) and (trouble := troubles.pop(0)):
            raise trouble

    def _history(self, *, executionArn: str, reverseOrder: bool, PaginationConfig: dict[str, int]) -> Any:  # noqa: N803
        assert executionArn == EXECUTION
        assert reverseOrder
        size = PaginationConfig["PageSize"]
        backwards = self.events[::-1]
        for begin in range(0, len(backwards), size):
            self._asked("GetExecutionHistory", size)
            yield {"events": backwards[begin : begin + size]}

    def _events(self, *, logGroupName: str, startTime: int) -> Any:  # noqa: N803
        assert logGroupName == GROUP
        self._asked("FilterLogEvents", startTime)
        yield {"events": []}  # a page may be empty and yet not the last one
        yield {"events": [each for each in self.records if each["timestamp"] >= startTime]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        assert Bucket == "work"
        name = Key.removeprefix("control/run-1/")
        self._asked("GetObject", name)
        if name not in self.documents:
            raise refused("GetObject", "NoSuchKey")
        return {"Body": io.BytesIO(json.dumps(self.documents[name]).encode())}
