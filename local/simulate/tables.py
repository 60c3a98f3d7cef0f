"""The tables of a simulated run, as Parquet: the columns and the keys that a run on AWS has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlag import tables
from flowlag.ledger import MISSED, SENT, SKIPPED
from flowlag.plan import CLOUDWATCH
from flowlag.record import OK
from flowlag.signature import HEADERS_BYTES
from flowlag.stamp import PORTS
from flowlag_aws import parquet
from flowlag_aws.evidence import Clocks
from flowlag_aws.rows import first_delivery_row, run_row
from local.simulate.flow_log import NEVER, SECOND, happens
from local.simulate.run import SYN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flowlag.plan import RunPlan
    from local.simulate.flow_log import Whole
    from local.simulate.run import SimulatedArm, SimulatedRun, Traffic

_EXACT = Clocks(sender_s=0.0, target_s=0.0)
"""In virtual time all clocks agree."""


def objects(run: SimulatedRun) -> Iterator[tuple[str, bytes]]:
    """Every object of a run with its key."""
    plan = run.plan

    def keyed(table: str, name: str, data: bytes) -> tuple[str, bytes]:
        return tables.object_key(table, plan.region, plan.planned_at, name), data

    for each in run.arms:
        name = f"{plan.run_id}.{each.arm.name}"
        first_delivery = first_delivery_row(plan, each.arm, each.creation, each.check)
        yield keyed("observations", name, parquet.encode(tables.OBSERVATIONS, _observations(plan, each)))
        yield keyed("first_deliveries", name, parquet.encode_rows(tables.FIRST_DELIVERIES, [first_delivery]))
    yield keyed("ledger", plan.run_id, parquet.encode(tables.LEDGER, _ledger(plan, run.traffic)))
    row = run_row(plan, run.summary, _EXACT)
    yield keyed("runs", plan.run_id, parquet.encode_rows(tables.RUNS, [row]))


def _observations(plan: RunPlan, arm: SimulatedArm) -> Mapping[str, Any]:
    """The observations of an arm, a column each, in order of tick."""
    rows = arm.observed
    ticks, sent_at, seen_at = (
        column[rows] for column in (arm.traffic.ticks, arm.traffic.sent_at, arm.traffic.seen_at)
    )
    records, to_cloudwatch = arm.records, arm.arm.destination == CLOUDWATCH
    window_start, ingested_at = records.window_start[rows], records.ingested_at[rows]
    received_at = records.received_at[rows] if to_cloudwatch else np.full(len(rows), NEVER)
    hop = pa.array((received_at - ingested_at) / SECOND, mask=~happens(received_at))
    of_every_row = {
        "run_id": plan.run_id,
        "arm": arm.arm.name,
        "source": plan.source,
        "az_id": plan.az_id,
        "instance_type": plan.instance_type,
        "hypervisor": plan.hypervisor,
        "destination": arm.arm.destination,
        "file_format": arm.arm.file_format,
        "aggregation_interval_s": arm.arm.aggregation_interval_s,
        "flow_log_id": arm.creation["flow_log_id"],
        "interface_id": plan.interface_id,
        "packets": 1,
        "bytes": HEADERS_BYTES + plan.payload_bytes,
        "tcp_flags": SYN,
        "action": "ACCEPT",
        "log_status": OK,
    }
    return {
        **{name: _repeated(value, len(rows)) for name, value in of_every_row.items()},
        "tick": ticks,
        "srcport": ticks % PORTS,
        "sent_at": sent_at,
        "seen_at": _nullable(seen_at),
        "window_start": window_start,
        "window_end": records.window_end[rows],
        "ingested_at": ingested_at,
        "received_at": _nullable(received_at),
        "event_id": _event_ids(records.delivery[rows], ticks),
        "delay_s": (ingested_at - sent_at) / SECOND,
        "ingest_delay_s": (ingested_at - window_start) / SECOND,
        "timestamp_error_s": (window_start - sent_at) / SECOND,
        "subscription_delay_s": hop,
    }


def _ledger(plan: RunPlan, traffic: Traffic) -> Mapping[str, Any]:
    """The ledger, a column each."""
    ticks, is_sent = traffic.ticks, traffic.is_sent
    outcomes = np.select([is_sent, traffic.is_skipped], [0, 1], 2)
    return {
        "run_id": _repeated(plan.run_id, len(ticks)),
        "source": _repeated(plan.source, len(ticks)),
        "tick": ticks,
        "srcport": ticks % PORTS,
        "intended_at": traffic.due_ns // 1_000,
        "sent_ns": _nullable(traffic.sent_ns),
        "lateness_s": pa.array((traffic.sent_ns - traffic.due_ns) / 1e9, mask=~is_sent),
        "outcome": pa.array([SENT, SKIPPED, MISSED]).take(pa.array(outcomes)),
        "clock_offset_s": np.full(len(ticks), _EXACT.sender_s),
    }


def _repeated(value: str | int | None, rows: int) -> pa.Array:
    return pa.nulls(rows) if value is None else pa.repeat(value, rows)


def _nullable(instants: Whole) -> pa.Array:
    """A column of instants, null where there is none."""
    return pa.array(instants, mask=~happens(instants))


def _event_ids(deliveries: Whole, ticks: Whole) -> pa.Array:
    """A name for each record, as the destination would give: here its delivery and its tick."""
    return pc.binary_join_element_wise(*(pa.array(column).cast(pa.string()) for column in (deliveries, ticks)), "#")
