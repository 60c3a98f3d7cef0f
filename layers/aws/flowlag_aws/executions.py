"""Step Functions: the executions, which own what a run makes."""

from __future__ import annotations

import json
from contextlib import suppress

from flowlag_aws import clients

RUNNING = "RUNNING"


def status_of(execution_arn: str) -> str | None:
    """The status of an execution; None where there is none: AWS forgets it 90 days after its end."""
    client = clients.stepfunctions()
    try:
        return client.describe_execution(executionArn=execution_arn)["status"]
    except (client.exceptions.ExecutionDoesNotExist, client.exceptions.InvalidArn):
        return None


def failure_in_words(error: str, cause: str) -> str:
    """A failure as Step Functions has it. A function's cause is JSON, of which people want the message."""
    with suppress(ValueError, TypeError, KeyError):
        cause = str(json.loads(cause)["errorMessage"])
    return ": ".join(each for each in (error, cause.strip()) if each)


def stop_all(state_machine_arn: str) -> int:
    """Abort every execution that runs, and return how many; none where the state machine itself is gone."""
    client = clients.stepfunctions()
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=state_machine_arn, statusFilter="RUNNING"
    )
    try:
        running = [each["executionArn"] for page in pages for each in page["executions"]]
    except client.exceptions.StateMachineDoesNotExist:
        return 0
    for execution in running:
        client.stop_execution(executionArn=execution, error="StackDeleted", cause="The stack is being deleted.")
    return len(running)
