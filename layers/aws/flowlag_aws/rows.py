"""Rows: what the domain knows, as Parquet objects of the tables in the results bucket."""

from __future__ import annotations

from dataclasses import asdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from flowlag import tables
from flowlag.cost import cost_usd
from flowlag.first_delivery import t0
from flowlag.instants import seconds_between
from flowlag.landing import digest
from flowlag.stamp import due_at
from flowlag.summary import DelayColumns
from flowlag_aws import clients, parquet
from flowlag_aws.store import Store, landing_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flowlag.first_delivery import FirstDelivery
    from flowlag.instants import Micros
    from flowlag.landing import Landed
    from flowlag.ledger import Ledger
    from flowlag.observation import Observation
    from flowlag.plan import Arm, RunPlan
    from flowlag.probe import Unparsable
    from flowlag.summary import ArmSummary, RunSummary
    from flowlag_aws.evidence import Clocks
    from flowlag_aws.settings import Results


class Rows:
    """Rows on their way: from the work bucket, where they land, to the tables of the results bucket.

    Every object's key is decided by its content's identity.
    """

    def __init__(self, work: Store, results: Store) -> None:
        self.work = work
        self.results = results

    @classmethod
    def of(cls, settings: Results) -> Rows:
        """The rows of a stack."""
        return cls(Store(settings.work_bucket), Store(settings.results_bucket, settings.results_region))

    def put_landing(self, landed: Landed) -> None:
        """Write what one delivery showed, unless the same delivery was here before: its first receipt counts."""
        first = landed.observations[0]
        key = landing_key(first.run_id, first.arm, landed.digest)
        self.work.put_new(key, _observations(landed.observations))

    def received(self, run_id: str, arm: str, until: Micros) -> dict[str, Micros]:
        """When our Lambda first got each event of an arm, up to `until`."""
        received: dict[str, Micros] = {}
        for key in self.work.landing_keys(run_id, arm):
            columns = parquet.decode(self.work.get(key), ("event_id", "received_at"))
            for event_id, at in zip(columns["event_id"], columns["received_at"], strict=True):
                if at <= until:
                    received[event_id] = min(at, received.get(event_id, at))
        return received

    def put_observations(self, plan: RunPlan, arm: str, observations: Sequence[Observation]) -> str:
        """Write the final observations of an arm, one file, and return its key."""
        return self.results.put(_key("observations", plan, f"{plan.run_id}.{arm}"), _observations(observations))

    def delays(self, key: str) -> DelayColumns:
        """What a summary needs of an arm's final observations."""
        return DelayColumns(**self.observed(key, DelayColumns.__dataclass_fields__))

    def observed(self, key: str, names: Iterable[str]) -> Mapping[str, Sequence[Any]]:
        """Some columns of an arm's final observations."""
        return parquet.decode(self.results.get(key), names)

    def ledger(self, plan: RunPlan, names: Iterable[str]) -> Mapping[str, Sequence[Any]]:
        """Some columns of a run's ledger."""
        return parquet.decode(self.results.get(_key("ledger", plan, plan.run_id)), names)

    def first_delivery(self, plan: RunPlan, arm: str) -> Mapping[str, Any]:
        """The row of an arm's creation and first delivery."""
        data = self.results.get(_key("first_deliveries", plan, f"{plan.run_id}.{arm}"))
        return {name: value for name, (value,) in parquet.decode(data, tables.FIRST_DELIVERIES).items()}

    def put_ledger(self, plan: RunPlan, ledger: Ledger, clock_offset_s: float | None) -> None:
        """Write the ledger of a run; `clock_offset_s` is how far ahead the sender's clock was."""
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
            "clock_offset_s": [clock_offset_s] * len(entries),
        }
        self._put("ledger", plan, plan.run_id, parquet.encode(tables.LEDGER, values))

    def put_first_delivery(
        self, plan: RunPlan, arm: Arm, creation: Mapping[str, Any], check: FirstDelivery
    ) -> float | None:
        """Write when an arm was created and first delivered, and return the seconds to its first record."""
        row = first_delivery_row(plan, arm, creation, check)
        data = parquet.encode_rows(tables.FIRST_DELIVERIES, [row])
        self._put("first_deliveries", plan, f"{plan.run_id}.{arm.name}", data)
        first_record_s: float | None = row["first_record_s"]
        return first_record_s

    def put_run(self, plan: RunPlan, summary: RunSummary, clocks: Clocks) -> Mapping[str, Any]:
        """Write the row of a run, and return it."""
        row = run_row(plan, summary, clocks)
        self._put("runs", plan, plan.run_id, parquet.encode_rows(tables.RUNS, [row]))
        return row

    def has_run(self, plan: RunPlan) -> bool:
        """Whether a run has its row."""
        return self.results.exists(_key("runs", plan, plan.run_id))

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

    def quarantined(self, plan: RunPlan, arm: str, until: Micros) -> set[str]:
        """The ids of the events of an arm that the decoder got up to `until` and put into quarantine."""
        own = _key("quarantine", plan, f"{plan.run_id}.{arm}")
        found: set[str] = set()
        for key in self.results.keys(own.removesuffix("parquet")):
            if key != own:
                columns = parquet.decode(self.results.get(key), ("event_id", "received_at"))
                received = zip(columns["event_id"], columns["received_at"], strict=True)
                found.update(event_id for event_id, at in received if at <= until)
        return found

    def put_unopened(self, event: str, reason: str, received_at: Micros) -> None:
        """Write an event that nobody can open, whole, with the reason. It belongs to no run."""
        row = dict.fromkeys(tables.QUARANTINE) | {"received_at": received_at, "reason": reason, "raw": event}
        key = tables.object_key("quarantine", clients.s3().meta.region_name, received_at, digest([event]))
        self.results.put(key, parquet.encode_rows(tables.QUARANTINE, [row]))

    def _put(self, table: str, plan: RunPlan, name: str, data: bytes) -> None:
        self.results.put(_key(table, plan, name), data)


def _key(table: str, plan: RunPlan, name: str) -> str:
    return tables.object_key(table, plan.region, plan.planned_at, name)


def first_delivery_row(
    plan: RunPlan, arm: Arm, creation: Mapping[str, Any], check: FirstDelivery
) -> Mapping[str, Any]:
    """The row of an arm's creation and first delivery."""
    created_at = t0(creation)
    return {
        "run_id": plan.run_id,
        "arm": arm.name,
        "source": plan.source,
        "hypervisor": plan.hypervisor,
        "destination": arm.destination,
        "file_format": arm.file_format,
        "aggregation_interval_s": arm.aggregation_interval_s,
        "level": plan.level(arm),
        "flow_log_id": creation["flow_log_id"],
        "t0_before_call": creation["t0_before_call"],
        "t0_after_call": creation["t0_after_call"],
        "t0_service": creation["t0_service"],
        **check.to_json(),
        "first_record_s": seconds_between(check.first_record_at, created_at),
        "first_probe_s": seconds_between(check.first_probe_at, created_at),
    }


def run_row(plan: RunPlan, summary: RunSummary, clocks: Clocks) -> Mapping[str, Any]:
    """The row of a run."""
    return {
        "run_id": plan.run_id,
        "experiment": plan.request.experiment,
        "source": plan.source,
        "started_at": plan.planned_at,
        "verdict": summary.verdict,
        "reasons": list(summary.reasons),
        "az_id": plan.az_id,
        "instance_type": plan.instance_type,
        "hypervisor": plan.hypervisor,
        "rate": plan.rate,
        "traffic_s": plan.request.traffic_s,
        "sender_clock_offset_s": clocks.sender_s,
        "target_clock_offset_s": clocks.target_s,
        "cost_usd": cost_usd(plan) if summary.arms else None,  # what a run cost that failed is not known
        "code_version": plan.code_version,
        "arms": [_arm(plan, arm) for arm in summary.arms],
    }


def _observations(observations: Sequence[Observation]) -> bytes:
    values = {name: list(map(attrgetter(name), observations)) for name in tables.OBSERVATIONS}
    return parquet.encode(tables.OBSERVATIONS, values)


def _arm(plan: RunPlan, summary: ArmSummary) -> dict[str, Any]:
    arm, counts, delay = plan.arm(summary.arm), summary.counts, summary.delay_s
    return {
        "arm": arm.name,
        "destination": arm.destination,
        "file_format": arm.file_format,
        "aggregation_interval_s": arm.aggregation_interval_s,
        "level": plan.level(arm),
        **asdict(counts),
        **{reason: counts.missing.get(reason, 0) for reason in tables.MISSING_REASONS},
        "bursts": summary.n_bursts,
        "delay_min_s": delay and delay.min,
        "delay_p50_s": delay and delay.p50,
        "delay_p90_s": delay and delay.p90,
        "delay_p95_s": delay and delay.p95,
        "delay_p99_s": delay and delay.p99,
        "delay_max_s": delay and delay.max,
    }
