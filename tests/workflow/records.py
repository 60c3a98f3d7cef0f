"""What a flow log reports of a traffic, and how it says so: in events, in text files, in Parquet files.

By AWS's documentation alone, apart from the code of ours that reads it:
https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html (both 2026-11)
"""

import gzip
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from tests.workflow.traffic import (
    DELIVERED_TWICE,
    FIRST_BURST,
    NOT_RECORDED,
    PORTS,
    SECOND_BURST,
    STALE_S,
    Traffic,
)

ACCOUNT = "123456789012"
GARBAGE = "this is not a flow record"

FIELD = re.compile(r"\$\{([a-z-]+)\}")
INT_32 = {"version", "srcport", "dstport", "protocol", "tcp-flags"}
INT_64 = {"packets", "bytes", "start", "end"}
FILE_S = 300
"""A file in S3 has the records that end in the same five minutes."""

type FlowLog = dict[str, Any]
type Record = dict[str, Any]
"""A flow record: field to value. A field that says nothing has `-`."""


# ---------------------------------------------------------------- what is reported
def first_burst(flow_log: FlowLog, traffic: Traffic) -> list[Record]:
    """Probes."""
    return reports(flow_log, traffic, traffic.recorded(FIRST_BURST))


def second_burst(flow_log: FlowLog, traffic: Traffic) -> list[Record]:
    """Probes, one of them again, and one each of what else a flow log may hold."""
    last = traffic.ticks[-1]
    nodata = dict.fromkeys(("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes"), "-")
    return [
        record(traffic, traffic.ticks[0] - STALE_S * traffic.rate),
        *reports(flow_log, traffic, traffic.recorded(SECOND_BURST)),
        record(traffic, traffic.ticks[DELIVERED_TWICE]),
        record(traffic, last, dstport=443),
        record(traffic, last, **nodata, **{"log-status": "NODATA"}),
    ]


def late_burst(traffic: Traffic) -> list[Record]:
    """A probe that was not recorded so far."""
    return [record(traffic, traffic.ticks[NOT_RECORDED])]


def reports(flow_log: FlowLog, traffic: Traffic, ticks: Sequence[int]) -> list[Record]:
    """Probes, and on a subnet or a VPC each of them once more: by the interface of the target, which got it."""
    by_sender = [record(traffic, tick) for tick in ticks]
    if flow_log["ResourceId"].startswith("eni-"):
        return by_sender
    return by_sender + [{**each, "interface-id": traffic.target_interface} for each in by_sender]


def record(traffic: Traffic, tick: int, **other: Any) -> Record:
    """A probe's record; `other` fields than a probe's, if given."""
    start = traffic.sent_ns(tick) // 1_000_000_000
    return {
        "version": 5,
        "account-id": ACCOUNT,
        "interface-id": traffic.sender_interface,
        "srcaddr": traffic.order["SourceAddress"],
        "dstaddr": traffic.order["TargetAddress"],
        "srcport": tick % PORTS,
        "dstport": int(traffic.order["TargetPort"]),
        "protocol": 6,
        "packets": 1,
        "bytes": int(traffic.order["PayloadBytes"]) + 40,
        "start": start,
        "end": start + 1,
        "action": "ACCEPT",
        "tcp-flags": 2,
        "log-status": "OK",
        **other,
    }


# ---------------------------------------------------------------- how it is said
def line(log_format: str, each: Record) -> str:
    """A record as text, in a flow log's format."""
    return FIELD.sub(lambda name: str(each.get(name[1], "-")), log_format)


def text_file(log_format: str, records: Sequence[Record], garbage: Sequence[str]) -> bytes:
    """A text file."""
    header = " ".join(FIELD.findall(log_format))
    lines = [header, *(line(log_format, each) for each in records), *garbage]
    return gzip.compress("".join(f"{each}\n" for each in lines).encode())


def parquet_file(log_format: str, records: Sequence[Record]) -> bytes:
    """A Parquet file."""
    columns = {name.replace("-", "_"): column(name, records) for name in FIELD.findall(log_format)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="gzip")
    return sink.getvalue()


def column(name: str, records: Sequence[Record]) -> pa.Array:
    """A field of records. A number that says nothing is null."""
    values = [each.get(name, "-") for each in records]
    if name in INT_32 | INT_64:
        kind = pa.int32() if name in INT_32 else pa.int64()
        return pa.array([None if value == "-" else value for value in values], kind)
    return pa.array(values, pa.string())


def key(flow_log: FlowLog, region: str, second: int, *, flow_log_id: str | None = None) -> str:
    """The key of a file with records that end at `second`, of this flow log or of another in the same folder."""
    _, _, folder = flow_log["LogDestination"].partition("/")
    options = flow_log["DestinationOptions"]
    at = datetime.fromtimestamp(second // FILE_S * FILE_S, UTC)
    if options["HiveCompatiblePartitions"]:
        place = f"aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/aws-region={region}"
        time = f"{at:year=%Y/month=%m/day=%d}" + (f"{at:/hour=%H}" if options["PerHourPartition"] else "")
    else:
        place = f"{ACCOUNT}/vpcflowlogs/{region}"
        time = f"{at:%Y/%m/%d}" + (f"{at:/%H}" if options["PerHourPartition"] else "")
    whose = f"{ACCOUNT}_vpcflowlogs_{region}_{flow_log_id or flow_log['FlowLogId']}"
    kind = "parquet" if options["FileFormat"] == "parquet" else "gz"
    return f"{folder}/AWSLogs/{place}/{time}/{whose}_{at:%Y%m%dT%H%MZ}_{uuid4().hex[:8]}.log.{kind}"
