"""Throttling: calls are refused as AWS refuses them to an account that asks too often, where that is wanted."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ministack import app
from ministack.core import iam_actions
from ministack.services import sts

from local.flow_logs.cloud import SESSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.cloud.seams.replies import Response


def throttle_first_attempts(attempts: int) -> None:
    """Refuse so many attempts of every call that somebody makes with the rights of a role.

    MiniStack never throttles. Which attempt a request is stands in a header of the AWS SDKs. Those who play AWS
    itself are not throttled: the root, and the flow-log service in its delivery role.
    """
    dispatch = app._dispatch_service_request

    async def dispatch_or_throttle(
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, list[str]],
        request_id: str,
    ) -> Response:
        if _attempt(headers) <= attempts and _has_a_role(headers, query):
            parameters = app._routing_params(method, path, headers, body, query)
            return _refusal(app.detect_service(method, path, headers, parameters), headers, request_id)
        answer: Response = await dispatch(method, path, headers, body, query, request_id)
        return answer

    app._dispatch_service_request = dispatch_or_throttle


_ATTEMPT: Final = re.compile(r"\battempt=(\d+)")


def _attempt(headers: Mapping[str, str]) -> float:
    """Which attempt of a call a request is, from 1; beyond every limit where nobody counts."""
    counted = _ATTEMPT.search(headers.get("amz-sdk-request", ""))
    return int(counted[1]) if counted else float("inf")


def _has_a_role(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> bool:
    session = sts._sessions.get(app.extract_access_key_id(headers, query)) or {}
    caller: str = session.get("Arn", "")
    return ":assumed-role/" in caller and not caller.endswith(f"/{SESSION}")


class _Throttling(NamedTuple):
    """How a service says that one asks too often."""

    code: str
    status: int


_OF_JSON: Final = _Throttling("ThrottlingException", 400)
_OF_QUERY: Final = _Throttling("Throttling", 400)
_OF_SERVICE: Final[Mapping[str, _Throttling]] = {
    "ec2": _Throttling("RequestLimitExceeded", 503),
    "s3": _Throttling("SlowDown", 503),
    **dict.fromkeys(("cloudformation", "iam", "monitoring", "sts"), _OF_QUERY),
}


def _refusal(service: str, headers: Mapping[str, str], request_id: str) -> Response:
    """The error in the service's own protocol."""
    throttling = _OF_SERVICE.get(service, _OF_JSON)
    _, answered, body = iam_actions.access_denied_response(
        service, "", "", request_id, error_code=throttling.code, message="Rate exceeded", headers=headers
    )
    return throttling.status, answered, body
