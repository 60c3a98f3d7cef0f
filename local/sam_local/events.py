"""The events of events/, brought up to date: they tell of one run, and it is invoked today, on this stack.

A stamp says its tick for 18.2 hours (docs/method.md), so that events older than that decode to nothing.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import UnparsableRecord
from flowlag.record import PROBE_FORMAT, FlowRecord
from flowlag.stamp import PORTS, UNSENDABLE_PORT, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

RUN: Final = "first-light"
"""The run that they tell of."""

REGION: Final = "eu-west-1"
ACCOUNT: Final = "123456789012"
INTERFACE: Final = "eni-0123456789abcdef0"
"""Its sender's."""

NOON: Final = 1_795_435_200
"""When it was planned, in seconds."""

PORT: Final = 7_777
"""The target's."""

_DAY_S: Final = 86_400
_MINUTE_S: Final = 60
"""All probes are of the first."""

HANDED_ON: Final[Mapping[str, tuple[str, str]]] = {
    "check_first_delivery": ("creation", "create_flow_log"),
    "summarize_run": ("reconciled", "reconcile_run"),
}
"""What the state machine hands on: event, to its member and the function whose answer that is."""

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Here:
    """What the events' run has instead, on this stack: account, sender's interface, and where answers go."""

    account: str
    interface_id: str
    answer_url: str


def moved(event: Json, here: Here, now_s: float) -> Json:
    """An event as it would be if the run had been planned a few minutes ago, here."""
    later_s = _noon(now_s) - NOON
    document = _stamped(unpacked(event), later_s)
    text = json.dumps(document).replace(ACCOUNT, here.account).replace(INTERFACE, here.interface_id)
    document = json.loads(_TIME.sub(lambda found: _shifted(found[0], later_s), text))
    if "ResponseURL" in document:
        document["ResponseURL"] = here.answer_url
    return packed(document) if "awslogs" in event else document


def _noon(now_s: float) -> int:
    """A minute of today whose probes are all past, and none of them has the port that is never sent."""
    minute = (int(now_s) // _MINUTE_S - 2) * _MINUTE_S
    return (
        minute if encode(minute) < PORTS - _MINUTE_S and encode(minute) != UNSENDABLE_PORT else minute - _MINUTE_S
    )


def _stamped(document: Json, later_s: int) -> Json:
    """A delivery with the stamps of another time; any other document is itself."""
    events = [{**each, "message": _line(each["message"], later_s)} for each in document.get("logEvents", [])]
    return {**document, "logEvents": events} if events else document


def _line(line: str, later_s: int) -> str:
    try:
        fields = PROBE_FORMAT.parse(line).fields
    except UnparsableRecord:
        return line
    stamped = {
        "srcport": fields["dstport"],
        "dstport": fields["srcport"],
    }  # the one whose other side is the target's
    ports = {name: (int(str(fields[name])) + later_s) % PORTS for name, other in stamped.items() if other == PORT}
    return PROBE_FORMAT.format(FlowRecord({**fields, **ports}))


def unpacked(event: Json) -> Json:
    """What CloudWatch Logs put into an event; any other event is itself."""
    if "awslogs" not in event:
        return event
    document: Json = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    return document


def packed(document: Json) -> Json:
    """The event by which CloudWatch Logs delivers a document."""
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()}}


_TIME: Final = re.compile(r"(?<![\w.])\d{10}(?:\d{3}|\d{6})?(?![\w.])")
"""A time in seconds, milliseconds or microseconds."""


def _shifted(digits: str, later_s: int) -> str:
    unit = 10 ** (len(digits) - len(str(NOON)))
    is_of_the_run = abs(int(digits) // unit - NOON) < _DAY_S
    return str(int(digits) + later_s * unit) if is_of_the_run else digits
