"""Histories of executions, as AWS and as the embedded AWS give them, made by hand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

BEGAN = datetime(2026, 11, 23, 10, tzinfo=UTC)
ARMS = ["cloudwatch-600", "s3-text-600"]
LAMBDA = {"resourceType": "lambda", "resource": "invoke"}
OUTSIDE = None

SUMMARY = {
    "run_id": "run-1",
    "source": "aws",
    "verdict": "partial",
    "reasons": ["arm 's3-text-600' failed"],
    "arms": [
        {
            "arm": "cloudwatch-600",
            "counts": {"observed": 10_800, "missing": {"never recorded": 3}},
            "n_bursts": 19,
            "first_delivery_s": 370.2,
            "delay_s": {"min": 16.0, "p50": 326.4, "p90": 570.0, "p95": 592.1, "p99": 619.0, "max": 626.0},
        }
    ],
}


class Told:
    """Events in the order in which they happen, each chained to the one before it in its item, as AWS does it."""

    def __init__(self, *, is_linked: bool = True) -> None:
        self.events: list[dict[str, Any]] = []
        self._is_linked = is_linked
        self._last: dict[int | None, int] = {OUTSIDE: 0}

    def add(self, kind: str, at_s: float, *, item: int | None = OUTSIDE, chained_to: int | None = None, **details):
        """An event; `chained_to` is for one that is not chained to the one before it."""
        event = {
            "id": len(self.events) + 1,
            "type": kind,
            "timestamp": BEGAN + timedelta(seconds=at_s),
            **{f"{name}EventDetails": value for name, value in details.items()},
        }
        if self._is_linked:
            event["previousEventId"] = self._last.get(item, 0) if chained_to is None else chained_to
        self._last[item] = event["id"]
        self.events.append(event)
        return event["id"]

    def enter(self, state: str, at_s: float, *, kind: str = "Task", item: int | None = OUTSIDE, **given):
        details = {"name": state, "input": json.dumps(given), "inputDetails": {"truncated": False}}
        self.add(f"{kind}StateEntered", at_s, item=item, stateEntered=details)
        if kind == "Task":
            self.attempt(at_s, item=item)

    def leave(self, state: str, at_s: float, output: Any = None, *, kind: str = "Task", item: int | None = OUTSIDE):
        details = {"name": state, "output": json.dumps(output)}
        self.add(f"{kind}StateExited", at_s, item=item, stateExited=details)

    def attempt(self, at_s: float, *, item: int | None = OUTSIDE):
        self.add("TaskScheduled", at_s, item=item, taskScheduled={**LAMBDA, "region": "eu-west-1"})
        if self._is_linked:
            self.add("TaskStarted", at_s, item=item, taskStarted=LAMBDA)

    def fail(self, at_s: float, error: str, message: str, *, item: int | None = OUTSIDE):
        cause = json.dumps({"errorMessage": message, "errorType": error})
        self.add("TaskFailed", at_s, item=item, taskFailed={**LAMBDA, "error": error, "cause": cause})

    def succeed(self, state: str, at_s: float, payload: Any = None, *, item: int | None = OUTSIDE):
        answer = {"StatusCode": 200, "Payload": payload}
        self.add("TaskSucceeded", at_s, item=item, taskSucceeded={**LAMBDA, "output": json.dumps(answer)})
        self.leave(state, at_s, {"run_id": "run-1"}, item=item)

    def task(self, state: str, from_s: float, to_s: float, payload: Any = None, *, item: int | None = OUTSIDE):
        self.enter(state, from_s, item=item)
        self.succeed(state, to_s, payload, item=item)

    def wait(self, state: str, from_s: float, to_s: float, *, item: int | None = OUTSIDE):
        self.enter(state, from_s, kind="Wait", item=item)
        self.leave(state, to_s, kind="Wait", item=item)


def begun(**how: bool) -> Told:
    """A run that was started, and planned."""
    told = Told(**how)
    told.add("ExecutionStarted", 0, executionStarted={"input": "{}", "roleArn": "arn:aws:iam::1:role/r"})
    told.enter("IsScheduled", 0, kind="Choice")
    told.leave("IsScheduled", 0, kind="Choice")
    told.task("PlanRun", 0.1, 2)
    told.task("StartTraffic", 2, 8)
    told.enter("EachArm", 8, kind="Map")
    return told


def outcomes() -> dict[str, Any]:
    """What the Map makes of its arms, of which the second one failed."""
    failure = {"Error": "AccessDenied", "Cause": json.dumps({"errorMessage": "no role"})}
    return {"outcomes": [{"arm": ARMS[0], "is_up": True}, {"arm": ARMS[1], "is_up": False, "failure": failure}]}


def ended(told: Told) -> Told:
    """The run from its traffic window on to its end."""
    told.wait("TrafficWindow", 400, 11_200)
    told.task("StopTraffic", 11_200, 11_204)
    told.wait("Drain", 11_204, 12_704)
    told.task("DeleteFlowLogs", 12_704, 12_705)
    told.task("ReconcileRun", 12_705, 12_710)
    told.task("SummarizeRun", 12_710, 12_713, SUMMARY)
    told.task("PublishReport", 12_713, 12_716, {"page": "s3://results/report/default/index.html", "profiles": 1})
    told.enter("RunDone", 12_716, kind="Succeed")
    told.leave("RunDone", 12_716, SUMMARY, kind="Succeed")
    told.add("ExecutionSucceeded", 12_716, executionSucceeded={"output": json.dumps(SUMMARY)})
    return told


def on_aws(*, until: str = "") -> list[dict[str, Any]]:
    """Two arms side by side on AWS, of which the second one fails; up to the given word, or whole."""
    told = begun()
    started = told.add("MapStateStarted", 8, mapStateStarted={"length": 2})
    for item in (0, 1):
        told.add(
            "MapIterationStarted",
            8,
            item=item,
            chained_to=started,
            mapIterationStarted={"name": "EachArm", "index": item},
        )
        told.enter("CreateFlowLog", 8.1, item=item, run_id="run-1", arm=ARMS[item])
    told.succeed("CreateFlowLog", 10, item=0)
    told.enter("WaitForDelivery", 10, kind="Wait", item=0)
    told.fail(11, "AccessDenied", "no role", item=1)
    told.leave("CreateFlowLog", 11, item=1)
    told.enter("ArmFailed", 11, kind="Pass", item=1, arm=ARMS[1], failure=outcomes()["outcomes"][1]["failure"])
    if until == "arm failed":
        return told.events
    told.leave("ArmFailed", 11, kind="Pass", item=1)
    told.add("MapIterationSucceeded", 11, item=1, mapIterationSucceeded={"name": "EachArm", "index": 1})
    told.leave("WaitForDelivery", 40, kind="Wait", item=0)
    told.task("CheckFirstDelivery", 40, 41, item=0)
    told.wait("WaitForDelivery", 41, 390, item=0)
    told.task("CheckFirstDelivery", 390, 399, item=0)
    told.enter("ArmIsUp", 399, kind="Pass", item=0)
    told.leave("ArmIsUp", 399, kind="Pass", item=0)
    last = told.events[-1]["id"]
    told.add("MapIterationSucceeded", 399, item=0, mapIterationSucceeded={"name": "EachArm", "index": 0})
    told.add("MapStateSucceeded", 400, chained_to=last)
    details = {"name": "EachArm", "output": json.dumps(outcomes())}
    told.add("MapStateExited", 400, chained_to=last, stateExited=details)
    return ended(told).events


def on_the_embedded_aws() -> list[dict[str, Any]]:
    """The same run there: nothing is linked, and of the Map's items only the tasks are told."""
    told = begun(is_linked=False)
    told.attempt(8)
    told.attempt(8)
    answer = json.dumps({"StatusCode": 200, "Payload": {}})
    told.add("TaskSucceeded", 10, taskSucceeded={"output": answer, "resource": "invoke"})
    told.fail(11, "AccessDenied", "no role")
    told.leave("EachArm", 400, outcomes(), kind="Map")
    return ended(told).events
