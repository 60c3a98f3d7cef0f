"""What MiniStack's handlers take and give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core.responses import error_response_json

type Properties = Mapping[str, Any]
"""A request, or the properties of a resource."""

type Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

type Provisioned = tuple[str, dict[str, str]]
"""A resource's physical id, and its attributes for GetAtt."""


def json_error(code: str, message: str) -> Response:
    """The error that a service of the JSON protocols answers."""
    answer: Response = error_response_json(code, message, 400)
    return answer
