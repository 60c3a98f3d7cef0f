"""What is in `events/`, in readable form: `python -m tests.functions.events` writes it."""

import json
from collections.abc import Mapping

from tests.functions.run import (
    ACCOUNT,
    ARM,
    LOG_GROUP,
    MACHINE,
    NOON,
    PLAN,
    REGION,
    STACK,
    WITHOUT_TRAFFIC,
    Json,
    delivery,
    event_id,
    flow_line,
    instant,
    pack,
)
from tests.functions.template import ROOT

CREATION: Json = {
    "flow_log_id": "fl-0123456789abcdef0",
    "log_group": LOG_GROUP,
    "t0_before_call": instant(NOON) + 250_000,
    "t0_after_call": instant(NOON) + 900_000,
    "t0_service": instant(NOON),
}

PROBES = {event_id(number): flow_line(NOON + number) for number in range(2)}
MESSAGES: Mapping[str, str] = PROBES | {
    # The target listened: the sender's kernel answered its SYN-ACK by a reset on the same 5-tuple.
    event_id(2): flow_line(NOON + 2, packets=2, bytes=80 + PLAN.payload_bytes, tcp_flags=6),
    # The target's own answer to a probe: the other direction.
    event_id(3): flow_line(
        NOON,
        srcaddr=PLAN.target_address,
        dstaddr=PLAN.sender_address,
        srcport=PLAN.target_port,
        dstport=NOON % 65_536,
        bytes=40,
        tcp_flags=4,
        flow_direction="ingress",
    ),
    # The SSM agent's.
    event_id(4): flow_line(NOON, dstaddr="203.0.113.7", srcport=49_152, dstport=443, packets=12, bytes=5_200),
    # Another run's probe: its payload is longer.
    event_id(5): flow_line(NOON + 5, bytes=41 + PLAN.payload_bytes),
    event_id(6): flow_line(NOON, log_status="NODATA", **WITHOUT_TRAFFIC),
    event_id(7): flow_line(NOON, log_status="SKIPDATA", **WITHOUT_TRAFFIC),
    event_id(8): "version account-id interface-id",
}

CONTROL: Json = {
    "messageType": "CONTROL_MESSAGE",
    "owner": "CloudwatchLogs",
    "logGroup": "",
    "logStream": "",
    "subscriptionFilters": [],
    "logEvents": [
        {
            "id": "",
            "timestamp": NOON * 1_000,
            "message": "CWL CONTROL MESSAGE: Checking health of destination Lambda function.",
        }
    ],
}

RECONCILED: Json = {
    "ledger_closed": True,
    "capture_closed": True,
    "failures": {},
    "arms": [
        {
            "arm": ARM,
            "first_delivery": "delivered",
            "first_delivery_s": 417.25,
            "counts": {
                "ledger_ticks": 60,
                "observed": 58,
                "missing": {"lost_on_wire": 1, "not_recorded": 1},
                "before_first_record": 2,
                "duplicates": 0,
                "not_in_ledger": 0,
                "stale": 0,
                "foreign": 3,
                "nodata": 1,
                "skipdata": 1,
                "unparsable": 1,
            },
            "observations": f"observations/region={REGION}/dt=2026-11-23/{PLAN.run_id}.{ARM}.parquet",
        }
    ],
}

OF_THE_RUN: Json = {"run_id": PLAN.run_id}

ABORTED: Json = {
    "version": "0",
    "id": "315c1398-40ff-a850-213b-158f73e60175",
    "detail-type": "Step Functions Execution Status Change",
    "source": "aws.states",
    "account": ACCOUNT,
    "time": "2026-11-23T12:10:00Z",
    "region": REGION,
    "resources": [PLAN.execution],
    "detail": {
        "executionArn": PLAN.execution,
        "stateMachineArn": MACHINE,
        "name": PLAN.run_id,
        "status": "ABORTED",
        "startDate": NOON * 1_000,
        "stopDate": (NOON + 600) * 1_000,
        "input": None,
        "output": None,
    },
}

DELETION: Json = {
    "RequestType": "Delete",
    "ServiceToken": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:empty-stack",
    "ResponseURL": "http://127.0.0.1:9/answer",
    "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/0",
    "RequestId": "5f3c0b9e-0000-0000-0000-000000000000",
    "ResourceType": "Custom::EmptiedStack",
    "LogicalResourceId": "EmptiedStack",
    "PhysicalResourceId": "EmptiedStack",
}

S3_OBJECT: Json = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": REGION,
            "eventTime": "2026-11-23T12:10:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": "flowlag-work", "arn": "arn:aws:s3:::flowlag-work"},
                "object": {
                    "key": f"deliveries/{PLAN.run_id}/s3-text-600/"
                    f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/2026/11/23/"
                    f"{ACCOUNT}_vpcflowlogs_{REGION}_fl-0123456789abcdef0_20261123T1205Z_1a2b3c4d.log.gz",
                    "size": 1_024,
                },
            },
        }
    ]
}
"""What S3 would say of a new object: nobody asked it to, and DecodeRecords cannot read it."""

EVENTS: Mapping[str, Json] = {
    "plan_run": OF_THE_RUN
    | {"execution": PLAN.execution, "request": {"traffic_s": 60, "arms": [{"aggregation_interval_s": 600}]}},
    "plan_run.experiment": OF_THE_RUN
    | {"execution": PLAN.execution, "request": {"experiment": "default", "sender": "nitro"}},
    "start_traffic": OF_THE_RUN,
    "create_flow_log": OF_THE_RUN | {"arm": ARM},
    "check_first_delivery": OF_THE_RUN | {"arm": ARM, "creation": CREATION, "check": {}},
    "stop_traffic": OF_THE_RUN,
    "delete_flow_logs": {"execution": PLAN.execution},
    "reconcile_run": OF_THE_RUN | {"outcomes": [{"arm": ARM, "is_up": True}]},
    "summarize_run": OF_THE_RUN | {"reconciled": RECONCILED},
    "summarize_run.failure": OF_THE_RUN
    | {"failure": {"Error": "CommandFailed", "Cause": "start-sending on i-0aaaaaaaaaaaaaaaa ended as Failed"}},
    "publish_report": OF_THE_RUN,
    "sweep": ABORTED,
    "empty_stack": DELETION,
    "decode_records.s3_object": S3_OBJECT,
}
PACKED: Mapping[str, Json] = {
    "decode_records": delivery(MESSAGES),
    "decode_records.control": CONTROL,
    # At least once may be twice.
    "decode_records.redelivery": delivery(MESSAGES),
    "decode_records.nodata": delivery({event_id(6): MESSAGES[event_id(6)]}),
    "decode_records.foreign": delivery({event_id(4): MESSAGES[event_id(4)]}),
}
"""What CloudWatch Logs sends, before it is packed."""


def load(name: str) -> Json:
    """A file of `events/`, by its name without `.json`."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def main() -> None:
    """Write every file."""
    for name, event in {**EVENTS, **{name: pack(document) for name, document in PACKED.items()}}.items():
        (ROOT / "events" / f"{name}.json").write_text(json.dumps(event, indent=2) + "\n")


if __name__ == "__main__":
    main()
