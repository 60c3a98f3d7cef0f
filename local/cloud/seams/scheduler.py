"""EventBridge Scheduler: a schedule fires when it is due, with its own role, and says what became of it."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ministack import app
from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import lambda_svc, scheduler, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

from flowlag.errors import FlowlagError
from local.cloud.seams.rights import role_allows, role_trusts
from local.cloud.timetable import InvalidSchedule, occurrence

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cloud.seams.replies import Properties, Provisioned, Response

_SERVICE: Final = "scheduler.amazonaws.com"
_TICK_S: Final = 1
"""AWS is precise to the minute; MiniStack looks every ten seconds."""


def fire_schedules_as_aws_does() -> None:
    """Fire schedules at their instants, with their roles, with the context attributes in their input.

    MiniStack takes every expression; looks for due schedules every ten seconds; counts a rate from the schedule's
    creation, where AWS begins at once; knows no time zone; hands `<aws.scheduler.scheduled-time>` and its like
    through; invokes whatever the target is, whether the schedule's role may or not; and has no dead-letter queue.
    """
    create, update = scheduler._create_schedule, scheduler._update_schedule
    looked_at = datetime.now(UTC)

    def tick() -> None:
        nonlocal looked_at
        since, now = looked_at, datetime.now(UTC)
        looked_at = now
        for (account, region, _), schedule in list(scheduler._schedules._data.items()):
            due = occurrence(schedule, since, now) if schedule["State"] == "ENABLED" else None
            if due:
                with request_scope(account, region):
                    _fire(schedule, due)

    scheduler._SCHEDULE_TICK_INTERVAL = _TICK_S
    scheduler._tick_schedules = tick
    scheduler._create_schedule = lambda name, body: _refusal(body) or create(name, body)
    scheduler._update_schedule = lambda name, body: _refusal(body) or update(name, body)


def _refusal(body: Properties) -> Response | None:
    """What CreateSchedule and UpdateSchedule answer to a schedule that could never fire."""
    role = body.get("Target", {}).get("RoleArn")
    if role is None or "ScheduleExpression" not in body:
        return None  # MiniStack refuses it
    try:
        now = datetime.now(UTC)
        occurrence(body, now, now)
    except InvalidSchedule as reason:
        return _error(str(reason))
    if app.AUTH and not role_trusts(role, _SERVICE, _source(body)):
        return _error("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
    return None


def _source(schedule: Properties) -> str:
    """On whose behalf Scheduler assumes a role: a policy may name the schedule's group, not the schedule.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    (2026-11-23)
    """
    return str(scheduler._group_arn(schedule.get("GroupName") or "default"))


def _error(message: str) -> Response:
    answer: Response = scheduler._error(400, "ValidationException", message)
    return answer


# ---------------------------------------------------------------- firing
class _NotInvoked(FlowlagError):
    """The target was not invoked, and never would be: to be told in the dead-letter queue.

    What AWS tries again, a throttled target, there is not in this process.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _fire(schedule: Properties, due: datetime) -> None:
    execution_id = secrets.token_hex(8)
    payload = _payload(schedule, due, execution_id)
    try:
        _invoke(schedule, payload)
    except _NotInvoked as failure:
        app.logger.warning("schedule %s: %s: %s", schedule["Name"], failure.code, failure)
        _bury(schedule, payload, failure, {"EXECUTION_ID": execution_id, "SCHEDULED_TIME": _text(due)})
    if schedule["ScheduleExpression"].startswith("at(") and schedule.get("ActionAfterCompletion") == "DELETE":
        scheduler._schedules.pop(f"{schedule['GroupName']}/{schedule['Name']}", None)


def _payload(schedule: Properties, due: datetime, execution_id: str) -> str:
    """The target's input, with the values of the context attributes."""
    text = str(schedule["Target"].get("Input") or json.dumps(_event(schedule, due)))
    attributes = {
        "schedule-arn": schedule["Arn"],
        "scheduled-time": _text(due),
        "execution-id": execution_id,
        "attempt-number": "1",
    }
    for name, value in attributes.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _event(schedule: Properties, due: datetime) -> dict[str, Any]:
    return {
        "version": "0",
        "id": new_uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": get_account_id(),
        "time": _text(due),
        "region": get_region(),
        "resources": [schedule["Arn"]],
        "detail": "{}",
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _start_execution(machine_arn: str, payload: str) -> None:
    status, _, body = stepfunctions._start_execution({"stateMachineArn": machine_arn, "input": payload})
    if status >= 400:  # noqa: PLR2004 - the client's errors begin there
        error = json.loads(body)
        raise _NotInvoked(error["__type"], error["message"])


def _invoke_function(function_arn: str, payload: str) -> None:
    function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if function is None:
        raise _NotInvoked("ResourceNotFoundException", f"Function not found: {function_arn}")
    lambda_svc.invoke_async_with_retry(function, json.loads(payload))


_TARGETS: Final[dict[str, tuple[str, Callable[[str, str], None]]]] = {
    "states": ("states:StartExecution", _start_execution),
    "lambda": ("lambda:InvokeFunction", _invoke_function),
}
"""By the service of a target: what the schedule's role must be allowed, and how it is invoked."""


def _invoke(schedule: Properties, payload: str) -> None:
    role, target_arn = schedule["Target"]["RoleArn"], schedule["Target"]["Arn"]
    service = target_arn.split(":")[2]
    if service not in _TARGETS:
        raise _NotInvoked("ValidationException", f"Here, no schedule invokes {target_arn}.")
    action, invoke = _TARGETS[service]
    if app.AUTH and not (role_trusts(role, _SERVICE, _source(schedule)) and role_allows(role, action, target_arn)):
        raise _NotInvoked(
            "AccessDeniedException",
            f"{role} is not authorized to perform: {action} on resource: {target_arn} because no identity-based "
            "policy allows it",
        )
    invoke(target_arn, payload)


def _bury(schedule: Properties, payload: str, failure: _NotInvoked, facts: Properties) -> None:
    """Tell the dead-letter queue, if there is one, and the schedule's role may.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html (2026-11-23)
    """
    target = schedule["Target"]
    queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
    queue = sqs._queue_by_arn(queue_arn) if queue_arn else None
    if queue is None or (app.AUTH and not role_allows(target["RoleArn"], "sqs:SendMessage", queue_arn)):
        app.logger.warning("schedule %s: no dead-letter queue takes its failure", schedule["Name"])
        return
    attributes = {
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": str(failure),
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "0",
        "SCHEDULE_ARN": schedule["Arn"],
        "TARGET_ARN": target["Arn"],
        **facts,
    }
    message = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    sqs._act_send_message(
        {"QueueUrl": queue_arn.rpartition(":")[2], "MessageBody": payload, "MessageAttributes": message}, ""
    )


# ---------------------------------------------------------------- CloudFormation
def provision_schedules_whole() -> None:
    """Provision a schedule with all that the template says of it, and fail the stack when it is refused.

    MiniStack drops its StartDate, EndDate, time zone and ActionAfterCompletion, so that a schedule that ends never
    does, and takes no notice of an error.
    """
    provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"] |= {"create": _provision, "update": _update}


def _provision(logical_id: str, properties: Properties, stack: str) -> Provisioned:
    name = properties.get("Name") or provisioners._physical_name(stack, logical_id, max_len=64)
    return _provisioned(name, scheduler._create_schedule(name, properties))


def _update(name: str, _before: Properties, properties: Properties, _stack: str) -> Provisioned:
    return _provisioned(name, scheduler._update_schedule(name, properties))


def _provisioned(name: str, answer: Response) -> Provisioned:
    status, _, body = answer
    reply = json.loads(body)
    if status >= 400:  # noqa: PLR2004 - as above
        raise ValueError(reply["Message"])  # MiniStack's kind of error, shown as the resource's reason
    return name, {"Arn": reply["ScheduleArn"]}
