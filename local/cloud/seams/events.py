"""EventBridge: rules invoke functions."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ministack import app
from ministack.services import eventbridge, lambda_svc

from local.cloud.seams.rights import function_permits

if TYPE_CHECKING:
    from local.cloud.seams.replies import Properties


def invoke_functions_of_rules_as_eventbridge_does() -> None:
    """Invoke the functions of a rule where they permit it, and again after a failure.

    MiniStack invokes a function that permits nobody to, so that a missing AWS::Lambda::Permission is missed on AWS
    only; and it invokes once, where EventBridge invokes asynchronously and Lambda retries.
    """
    invoke = eventbridge._invoke_target
    rule_arn: ContextVar[str] = ContextVar("rule_arn")

    def invoke_target(target: Properties, event: object, rule: Properties, view: object = None) -> None:
        rule_arn.set(rule["Arn"])
        invoke(target, event, rule, view)

    def dispatch_to_lambda(function_arn: str, payload: str) -> None:
        if not function_permits(function_arn, "events.amazonaws.com", rule_arn.get()):
            app.logger.warning("%s does not permit %s to invoke it", function_arn, rule_arn.get())
            return
        function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
        lambda_svc.invoke_async_with_retry(function, json.loads(payload))

    eventbridge._invoke_target = invoke_target
    eventbridge._dispatch_to_lambda = dispatch_to_lambda
