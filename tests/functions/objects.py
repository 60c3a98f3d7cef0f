"""What a flow log delivers to S3, put where moto has it."""

import gzip
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
from moto.s3.models import s3_backends

from flowlag.plan import Arm, RunPlan
from flowlag.record import INTEGERS, RecordFormat
from tests.functions.run import ACCOUNT, NOON, PLAN, REGION, Json, instant
from tests.functions.stack import Cloud
from tests.functions.template import WORK_BUCKET

TEXT, PARQUET = Arm(destination="s3"), Arm(destination="s3", file_format="parquet")
FLOW_LOG = "fl-0bbbbbbbbbbbbbbbb"
FORMAT = RecordFormat.of_string(PLAN.log_format)


def plan_with(cloud: Cloud, *arms: Arm) -> RunPlan:
    """Plan the run over, with these arms."""
    plan = replace(PLAN, request=replace(PLAN.request, arms=arms))
    cloud.store.put_control(PLAN.run_id, "plan", plan.to_json())
    return plan


def creation_of(arm: Arm, flow_log: str = FLOW_LOG) -> Json:
    """What CreateFlowLog wrote down."""
    return {
        "flow_log_id": flow_log,
        "bucket": WORK_BUCKET,
        "prefix": f"deliveries/{PLAN.run_id}/{arm.name}/",
        "t0_before_call": instant(NOON) + 250_000,
        "t0_after_call": instant(NOON) + 900_000,
        "t0_service": instant(NOON),
    }


def deliver(
    cloud: Cloud, arm: Arm, lines: Iterable[str], at: int, flow_log: str = FLOW_LOG, day: str = "2026/11/23"
) -> str:
    """Put a file of the arm's flow log, delivered at this instant in microseconds, and return its key."""
    suffix, data = ("parquet", parquet_of(lines)) if arm == PARQUET else ("gz", text_of(lines))
    folder = f"deliveries/{PLAN.run_id}/{arm.name}/AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{day}"
    key = f"{folder}/{ACCOUNT}_vpcflowlogs_{REGION}_{flow_log}_20261123T1205Z_{at:08x}.log.{suffix}"
    cloud.store.put(key, data)
    dated(key, at)
    return key


def dated(key: str, at: int) -> None:
    """Date an object by the second of this instant; moto does it by the time of the test."""
    moment = datetime.fromtimestamp(at // 1_000_000, UTC).replace(tzinfo=None)
    s3_backends[ACCOUNT]["aws"].buckets[WORK_BUCKET].keys[key].last_modified = moment


def text_of(lines: Iterable[str]) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in (" ".join(FORMAT.names), *lines)).encode(), mtime=0)


def parquet_of(lines: Iterable[str]) -> bytes:
    records = [FORMAT.parse(line) for line in lines]
    columns = {
        name.replace("-", "_"): pa.array(
            [record.fields.get(name) for record in records], pa.int64() if name in INTEGERS else pa.string()
        )
        for name in FORMAT.names
    }
    sink = BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()
