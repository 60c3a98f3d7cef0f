"""Rows: what the domain knows, as Parquet objects of the tables in the results bucket."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from flowlag import tables
from flowlag.first_delivery import t0
from flowlag.instants import seconds_between
from flowlag.landing import digest
from flowlag.stamp import due_at
from flowlag.summary import DelayColumns
from flowlag_aws import clients, parquet
from flowlag_aws.store import Store, landing_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from flowlag.landing import Landed
    from flowlag.ledger import Ledger
    from flowlag.observation import Observation
    from flowlag.plan import RunPlan
    from flowlag.probe import Unparsable
    from flowlag.summary import ArmSummary, RunSummary


class Rows:
    """The tables of one results bucket. Every object's key is decided by its content's identity."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put_landing(self, landed: Landed) -> None:
        """Write what one delivery showed, unless the same delivery was here before: its first receipt counts."""
        first = landed.observations[0]
        key = landing_key(first.run_id, first.arm, landed.digest)
        self.store.put_new(key, _observations(landed.observations))

    def received(self, run_id: str, arm: str) -> dict[str, Micros]:
        """When our Lambda first got each event of an arm."""
        received: dict[str, Micros] = {}
        for key in self.store.landing_keys(run_id, arm):
            columns = parquet.decode(self.store.get(key), ("event_id", "received_at"))
            for event_id, at in zip(columns["event_id"], columns["received_at"], strict=True):
                received[event_id] = min(at, received.get(event_id, at))
        return received

    def put_observations(self, plan: RunPlan, arm: str, observations: Sequence[Observation]) -> str:
        """Write the final observations of an arm, one file, and return its key."""
        key = tables.object_key("observations", plan.region, plan.planned_at, f"{plan.run_id}.{arm}")
        return self.store.put(key, _observations(observations))

    def delays(self, key: str) -> DelayColumns:
        """What a summary needs of an arm's final observations."""
        return DelayColumns(**parquet.decode(self.store.get(key), DelayColumns.__dataclass_fields__))

    def put_ledger(self, plan: RunPlan, ledger: Ledger) -> None:
        """Write the ledger of a run."""
        entries, rate = ledger.entries, plan.rate
        values: dict[str, list[Any]] = {
            "run_id": [plan.run_id] * len(entries),
            "source": [plan.source] * len(entries),
            "tick": [entry.tick for entry in entries],
            "srcport": [entry.srcport for entry in entries],
            "intended_at": [due_at(entry.tick, rate) for entry in entries],
            "sent_ns": [entry.sent_ns for entry in entries],
            "lateness_s": [entry.lateness_s(rate) for entry in entries],
            "outcome": [entry.outcome for entry in entries],
        }
        self._put("ledger", plan, plan.run_id, parquet.encode(tables.LEDGER, values))

    def put_first_delivery(
        self, plan: RunPlan, arm: str, creation: Mapping[str, Any], check: Mapping[str, Any]
    ) -> float | None:
        """Write when an arm was created and first delivered, and return the seconds between."""
        first_delivery_s = seconds_between(check.get("first_record_at"), t0(creation))
        row = {
            "run_id": plan.run_id,
            "arm": arm,
            "source": plan.source,
            "flow_log_id": creation["flow_log_id"],
            "t0_before_call": creation["t0_before_call"],
            "t0_after_call": creation["t0_after_call"],
            "t0_service": creation["t0_service"],
            "last_miss_at": check.get("last_miss_at"),
            "first_hit_at": check.get("first_hit_at"),
            "first_record_at": check.get("first_record_at"),
            "first_probe_at": check.get("first_probe_at"),
            "polls": check.get("polls", 0),
            "first_delivery_s": first_delivery_s,
        }
        data = parquet.encode_rows(tables.FIRST_DELIVERIES, [row])
        self._put("first_deliveries", plan, f"{plan.run_id}.{arm}", data)
        return first_delivery_s

    def put_run(self, plan: RunPlan, summary: RunSummary) -> None:
        """Write the row of a run."""
        row = {
            "run_id": plan.run_id,
            "source": plan.source,
            "started_at": plan.planned_at,
            "verdict": summary.verdict,
            "reasons": list(summary.reasons),
            "instance_type": plan.instance_type,
            "hypervisor": plan.hypervisor,
            "rate": plan.rate,
            "traffic_s": plan.request.traffic_s,
            "code_version": plan.code_version,
            "arms": [_arm(arm) for arm in summary.arms],
        }
        self._put("runs", plan, plan.run_id, parquet.encode_rows(tables.RUNS, [row]))

    def put_quarantine(
        self, plan: RunPlan, arm: str, name: str, unparsable: Sequence[Unparsable], received_at: Micros | None
    ) -> None:
        """Write records of an arm that could not be read, whole, with the reasons.

        Args:
            plan: the run.
            arm: the arm.
            name: tells the object from others of the arm; empty for ReconcileRun's, of which there is one.
            unparsable: the records.
            received_at: when our Lambda got them, if it was from there that they came.
        """
        rows = [
            {
                "run_id": plan.run_id,
                "arm": arm,
                "source": plan.source,
                "received_at": received_at,
                "event_id": each.event_id,
                "reason": each.reason,
                "raw": each.message,
            }
            for each in unparsable
        ]
        full_name = ".".join(filter(None, (plan.run_id, arm, name)))
        self._put("quarantine", plan, full_name, parquet.encode_rows(tables.QUARANTINE, rows))

    def quarantined(self, plan: RunPlan, arm: str) -> set[str]:
        """The ids of the events of an arm that the decoder has put into quarantine."""
        own = tables.object_key("quarantine", plan.region, plan.planned_at, f"{plan.run_id}.{arm}")
        found: set[str] = set()
        for key in self.store.keys(own.removesuffix("parquet")):
            if key != own:
                found.update(parquet.decode(self.store.get(key), ("event_id",))["event_id"])
        return found

    def put_unopened(self, event: str, reason: str, received_at: Micros) -> None:
        """Write an event that nobody can open, whole, with the reason. It belongs to no run."""
        row = dict.fromkeys(tables.QUARANTINE) | {"received_at": received_at, "reason": reason, "raw": event}
        key = tables.object_key("quarantine", clients.s3().meta.region_name, received_at, digest([event]))
        self.store.put(key, parquet.encode_rows(tables.QUARANTINE, [row]))

    def _put(self, table: str, plan: RunPlan, name: str, data: bytes) -> None:
        self.store.put(tables.object_key(table, plan.region, plan.planned_at, name), data)


def _observations(observations: Sequence[Observation]) -> bytes:
    values = {name: list(map(attrgetter(name), observations)) for name in tables.OBSERVATIONS}
    return parquet.encode(tables.OBSERVATIONS, values)


def _arm(arm: ArmSummary) -> dict[str, Any]:
    delay = arm.delay_s
    return {
        "arm": arm.arm,
        "ledger_ticks": arm.counts.ledger_ticks,
        "observed": arm.counts.observed,
        **{reason: arm.counts.missing.get(reason, 0) for reason in tables.MISSING_REASONS},
        "duplicates": arm.counts.duplicates,
        "unparsable": arm.counts.unparsable,
        "bursts": arm.n_bursts,
        "delay_min_s": delay and delay.min,
        "delay_p50_s": delay and delay.p50,
        "delay_p90_s": delay and delay.p90,
        "delay_p95_s": delay and delay.p95,
        "delay_p99_s": delay and delay.p99,
        "delay_max_s": delay and delay.max,
    }
