"""CloudFormation's custom resources: the answer that it waits for, an hour if need be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Mapping

SUCCESS: Final = "SUCCESS"
FAILED: Final = "FAILED"

_TIMEOUT_S = 30
_LONGEST_REASON = 1_000
"""An answer has 4,096 bytes at most."""


def respond(event: Mapping[str, Any], status: str, reason: str = "") -> None:
    """Answer a custom resource's event. Its physical id never changes, so that no update replaces it."""
    answer = {
        "Status": status,
        "Reason": reason[:_LONGEST_REASON],
        "PhysicalResourceId": event["LogicalResourceId"],
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    # The URL is signed for an empty content type.
    request = Request(  # noqa: S310 - CloudFormation gave the URL
        event["ResponseURL"], json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 - as above
        pass
