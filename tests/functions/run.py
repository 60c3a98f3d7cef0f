"""One run, the flow records that its probes leave, and the events by which CloudWatch Logs delivers them."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

from flowlag.plan import RunPlan, RunRequest, Site, plan_run
from flowlag.record import FlowRecord, RecordFormat
from flowlag.stamp import encode

type Json = dict[str, Any]

ACCOUNT = "123456789012"
REGION = "eu-west-1"
STACK = "flowlag"
ARM = "cloudwatch-600"

NOON = 1_795_435_200
"""2026-11-23, in seconds: when the run was planned, and the tick of its first probe, at one a second."""


def instant(tick: int) -> int:
    """In microseconds."""
    return tick * 1_000_000


MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{STACK}-benchmark"


def execution(name: str) -> str:
    """The ARN of an execution of the stack's state machine."""
    return f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"


PLAN: RunPlan = plan_run(
    "first-light",
    RunRequest(traffic_s=60),
    Site(
        source="local",
        region=REGION,
        az_id="euw1-az1",
        instance_type="t2.micro",
        hypervisor="xen",
        sender_instance_id="i-0aaaaaaaaaaaaaaaa",
        interface_id="eni-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
        vpc_id="vpc-0123456789abcdef0",
        sender_address="10.99.0.10",
        target_instance_id="i-0bbbbbbbbbbbbbbbb",
        target_address="10.99.0.20",
        target_port=7777,
    ),
    execution=execution("first-light"),
    now=instant(NOON),
    code_version="0.1.0",
)
LOG_GROUP = f"/flowlag/{STACK}/{PLAN.run_id}/{ARM}"
WITHOUT_TRAFFIC = dict.fromkeys(
    ("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "action", "tcp_flags")
)


def flow_line(tick: int, **changed: object) -> str:
    """The line that a probe leaves; other fields by their AWS names with `_`, None for `-`."""
    fields = {
        "version": 5,
        "account-id": ACCOUNT,
        "interface-id": PLAN.interface_id,
        "srcaddr": PLAN.sender_address,
        "dstaddr": PLAN.target_address,
        "srcport": encode(tick),
        "dstport": PLAN.target_port,
        "protocol": 6,
        "packets": 1,
        "bytes": 40 + PLAN.payload_bytes,
        "start": tick // 60 * 60,
        "end": tick // 60 * 60 + 60,
        "action": "ACCEPT",
        "tcp-flags": 2,
        "flow-direction": "egress",
        "instance-id": PLAN.sender_instance_id,
        "pkt-srcaddr": PLAN.sender_address,
        "pkt-dstaddr": PLAN.target_address,
        "az-id": PLAN.az_id,
        "log-status": "OK",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return RecordFormat.of_string(PLAN.log_format).format(FlowRecord(fields))


def event_id(number: int) -> str:
    """As long as CloudWatch Logs' own."""
    return f"{39_123_456_789:011d}{number:045d}"


def delivery(messages: Mapping[str, str], log_group: str = LOG_GROUP) -> Json:
    """What CloudWatch Logs delivers, by event id; in the envelope by `pack`."""
    return {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": log_group,
        "logStream": f"{PLAN.interface_id}-all",
        "subscriptionFilters": ["flowlag"],
        "logEvents": [
            {"id": name, "timestamp": NOON * 1_000, "message": message} for name, message in messages.items()
        ],
    }


def pack(document: object) -> Json:
    """The event by which CloudWatch Logs invokes a function; the same document gives the same bytes."""
    data = gzip.compress(json.dumps(document).encode(), mtime=0)
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


def unpack(event: Json) -> object:
    """The inverse of `pack`."""
    return json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"], validate=True)))
