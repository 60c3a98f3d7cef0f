"""Step Functions: a state machine acts with its own role, and an execution that has ended does nothing more."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import json
import threading
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final

from ministack import app
from ministack.services import lambda_svc, stepfunctions

from local.cloud.seams.rights import role_allows

if TYPE_CHECKING:
    from local.cloud.seams.replies import Properties

_RUNNING: Final = "RUNNING"


def invoke_functions_with_the_role_of_the_state_machine() -> None:
    """Let a state machine invoke what its role allows; under AUTH MiniStack lets it invoke every function.

    Otherwise a function that the template forgets in the policies of its state machine is missed on AWS only.
    """
    run, call = stepfunctions._run_execution, stepfunctions._call_lambda
    role: ContextVar[str] = ContextVar("role")  # MiniStack copies the context into every thread of an execution

    def run_execution(execution_arn: str) -> None:
        role.set(_machine_of(stepfunctions._executions.get(execution_arn) or {}).get("roleArn", ""))
        run(execution_arn)

    def call_lambda(reference: str, event: object) -> object:
        _, config, _ = lambda_svc._get_func_record_for_ref(reference)
        if app.AUTH and config and not role_allows(role.get(), "lambda:InvokeFunction", config["FunctionArn"]):
            raise stepfunctions._ExecutionError(
                "Lambda.AWSLambdaException",
                f"{role.get()} is not authorized to perform: lambda:InvokeFunction on resource: "
                f"{config['FunctionArn']} because no identity-based policy allows it",
            )
        return call(reference, event)

    stepfunctions._run_execution = run_execution
    stepfunctions._call_lambda = call_lambda


def end_executions_for_good() -> None:
    """Do nothing more for an execution that was stopped, and stop one whose machine's `TimeoutSeconds` are over.

    MiniStack goes on inside a Map until its items are through, invoking functions for a run that is over, and calls
    the stopped execution failed when one of them fails: whoever cleans up after it would race against it. It takes
    no notice of the `TimeoutSeconds` of a state machine.
    """
    run, call, fail = stepfunctions._run_execution, stepfunctions._call_lambda, stepfunctions._fail_execution
    running: ContextVar[dict[str, Any]] = ContextVar("running")

    def run_execution(execution_arn: str) -> None:
        execution = stepfunctions._executions.get(execution_arn) or {}
        running.set(execution)
        timer = _timer(execution)
        timer.start()
        try:
            run(execution_arn)
        finally:
            timer.cancel()

    def call_lambda(reference: str, event: object) -> object:
        if running.get()["status"] != _RUNNING:
            raise _Over  # no error of the state language: neither Retry nor Catch of the state sees it
        return call(reference, event)

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == _RUNNING:
            fail(execution, error, cause)

    stepfunctions._run_execution = run_execution
    stepfunctions._call_lambda = call_lambda
    stepfunctions._fail_execution = fail_execution


class _Over(Exception):
    """The execution has ended."""


def _machine_of(execution: Properties) -> Properties:
    machine: Properties = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
    return machine


def _timer(execution: dict[str, Any]) -> threading.Timer:
    """What ends an execution when its time is up."""
    definition = json.loads(_machine_of(execution).get("definition") or "{}")
    timer = threading.Timer(
        definition.get("TimeoutSeconds", _FOREVER_S), copy_context().run, (_time_out, execution)
    )
    timer.daemon = True
    return timer


_FOREVER_S: Final = 99_999_999
"""Step Functions' own default, three years."""


def _time_out(execution: dict[str, Any]) -> None:
    if execution["status"] != _RUNNING:
        return
    execution.update(status="TIMED_OUT", stopDate=stepfunctions.now_iso())
    stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    stepfunctions._emit_execution_status_event(execution)
