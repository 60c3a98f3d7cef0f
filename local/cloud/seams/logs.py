"""CloudWatch Logs: subscriptions."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs, lambda_svc

from local.cloud.seams.replies import json_error
from local.cloud.seams.rights import function_permits

if TYPE_CHECKING:
    from local.cloud.seams.replies import Properties, Response


def deliver_logs_as_cloudwatch_does() -> None:
    """Invoke subscribed functions with the stored events, again after a failure, and only where they permit it.

    MiniStack gives a subscription other event ids than FilterLogEvents has, so that a delivery can never be found
    again; it invokes once, where CloudWatch Logs invokes asynchronously and Lambda retries; and it accepts a
    subscription of a function that is missing or permits nobody to invoke it.
    """
    put_filter, fan_out = cloudwatch_logs._put_subscription_filter, cloudwatch_logs._fanout_to_live_tail_sessions

    def put_subscription_filter(request: Properties) -> Response:
        group, function = request.get("logGroupName", ""), request.get("destinationArn", "")
        if group in cloudwatch_logs._log_groups and not function_permits(
            function, "logs.amazonaws.com", _log_group_arn(group)
        ):
            return json_error(
                "InvalidParameterException",
                "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to "
                "execute your function.",
            )
        answer: Response = put_filter(request)
        return answer

    def deliver(group: str, stream: str, stored: list[dict[str, Any]]) -> None:
        for subscription in cloudwatch_logs._log_groups[group]["subscriptionFilters"].values():
            pattern = subscription["filterPattern"]
            matching = [
                {"id": each["eventId"], "timestamp": each["timestamp"], "message": each["message"]}
                for each in stored
                if cloudwatch_logs._subscription_pattern_matches(pattern, each["message"])
            ]
            function, _, _ = lambda_svc._get_func_record_for_ref(subscription["destinationArn"])
            if matching and function:
                lambda_svc.invoke_async_with_retry(
                    function, _subscription_event(group, stream, subscription, matching)
                )
        fan_out(group, stream, stored)

    cloudwatch_logs._put_subscription_filter = put_subscription_filter
    # PutLogEvents tells subscriptions the events without their ids, and then Live Tail the same with them.
    cloudwatch_logs._fanout_to_subscription_filters = lambda _group, _stream, _events: None
    cloudwatch_logs._fanout_to_live_tail_sessions = deliver


def _log_group_arn(name: str) -> str:
    return f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}:*"


def _subscription_event(
    group: str, stream: str, subscription: Properties, events: list[dict[str, Any]]
) -> dict[str, Any]:
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": get_account_id(),
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [subscription["filterName"]],
        "logEvents": events,
    }
    return {"awslogs": {"data": b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}
