"""The tables: their columns and types, as Glue and Athena name them; and the keys of their objects in S3.

A key is a function of what is in the object, so that a retry overwrites and never doubles.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flowlag.reconcile import EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowlag.instants import Micros

SCHEMA_VERSION = "2"
"""Written into every Parquet file's metadata as `schema_version`."""

type Columns = Mapping[str, str]

OBSERVATIONS: Columns = {
    "run_id": "string",
    "arm": "string",
    "source": "string",
    "az_id": "string",
    "instance_type": "string",
    "hypervisor": "string",
    "destination": "string",
    "file_format": "string",
    "aggregation_interval_s": "int",
    "flow_log_id": "string",
    "interface_id": "string",
    "tick": "bigint",
    "srcport": "int",
    "sent_at": "timestamp",
    "seen_at": "timestamp",
    "window_start": "timestamp",
    "window_end": "timestamp",
    "ingested_at": "timestamp",
    "received_at": "timestamp",
    "event_id": "string",
    "packets": "bigint",
    "bytes": "bigint",
    "tcp_flags": "int",
    "action": "string",
    "log_status": "string",
    "delay_s": "double",
    "ingest_delay_s": "double",
    "timestamp_error_s": "double",
    "subscription_delay_s": "double",
}

LEDGER: Columns = {
    "run_id": "string",
    "source": "string",
    "tick": "bigint",
    "srcport": "int",
    "intended_at": "timestamp",
    "sent_ns": "bigint",
    "lateness_s": "double",
    "outcome": "string",
    "clock_offset_s": "double",
}

FIRST_DELIVERIES: Columns = {
    "run_id": "string",
    "arm": "string",
    "source": "string",
    "hypervisor": "string",
    "destination": "string",
    "file_format": "string",
    "aggregation_interval_s": "int",
    "level": "string",
    "flow_log_id": "string",
    "status": "string",
    "t0_before_call": "timestamp",
    "t0_after_call": "timestamp",
    "t0_service": "timestamp",
    "last_miss_at": "timestamp",
    "first_hit_at": "timestamp",
    "first_record_at": "timestamp",
    "first_probe_at": "timestamp",
    "polls": "int",
    "first_record_s": "double",
    "first_probe_s": "double",
}
"""`status` is `delivered`; `expired` where no probe came before the deadline, a censored observation; `waiting`
where the looking failed before either.
"""

RUNS: Columns = {
    "run_id": "string",
    "experiment": "string",
    "source": "string",
    "started_at": "timestamp",
    "verdict": "string",
    "reasons": "array<string>",
    "az_id": "string",
    "instance_type": "string",
    "hypervisor": "string",
    "rate": "int",
    "traffic_s": "int",
    "sender_clock_offset_s": "double",
    "target_clock_offset_s": "double",
    "cost_usd": "double",
    "code_version": "string",
    "arms": (
        "array<struct<arm:string,destination:string,file_format:string,aggregation_interval_s:int,level:string,"
        "ledger_ticks:bigint,observed:bigint,never_sent:bigint,lost_on_wire:bigint,not_recorded:bigint,"
        "expected_missing:bigint,before_first_record:bigint,duplicates:bigint,not_in_ledger:bigint,stale:bigint,"
        "foreign:bigint,nodata:bigint,skipdata:bigint,unparsable:bigint,bursts:bigint,"
        "delay_min_s:double,delay_p50_s:double,delay_p90_s:double,delay_p95_s:double,delay_p99_s:double,"
        "delay_max_s:double>>"
    ),
}
"""`cost_usd` is what the run is estimated to have cost at list prices; null where no price is known."""

QUARANTINE: Columns = {
    "run_id": "string",
    "arm": "string",
    "source": "string",
    "received_at": "timestamp",
    "event_id": "string",
    "reason": "string",
    "raw": "string",
}

MISSING_REASONS = (NEVER_SENT, LOST_ON_WIRE, NOT_RECORDED, EXPECTED_MISSING)
"""The reasons that a row of `runs` counts by, arm for arm."""

TABLES: Mapping[str, Columns] = {
    "observations": OBSERVATIONS,
    "ledger": LEDGER,
    "first_deliveries": FIRST_DELIVERIES,
    "runs": RUNS,
    "quarantine": QUARANTINE,
}
"""Partitioned by `region` and `dt`, which are therefore not columns of the files."""


PROFILES = "profiles"
"""The folder of the profiles of arms: JSON, and so no table."""


def object_key(table: str, region: str, at: Micros, name: str) -> str:
    """The key of an object of `table`; `at` decides its `dt`."""
    return f"{_partition(table, region, at)}/{name}.parquet"


def profile_key(region: str, at: Micros, run_id: str, arm: str) -> str:
    """The key of the profile of an arm; `at`, when its run was planned, decides its `dt`."""
    return f"{_partition(PROFILES, region, at)}/{run_id}.{arm}.json"


def _partition(folder: str, region: str, at: Micros) -> str:
    day = datetime.fromtimestamp(at // 1_000_000, UTC).date().isoformat()
    return f"{folder}/region={region}/dt={day}"
