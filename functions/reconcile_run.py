"""ReconcileRun: join ledger, capture and deliveries into the final observations of every arm.

A run is closed by its first reconciliation: a record that comes later stays outside. So the function can be run
again by hand with nothing but the run's id, and the same evidence gives the same bytes.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from flowlag.errors import FlowlagError
from flowlag.first_delivery import FirstDelivery
from flowlag.probe import Sifted
from flowlag.reconcile import Evidence, reconcile
from flowlag_aws.clock import now
from flowlag_aws.evidence import read_capture, read_clocks, read_deliveries, read_ledger
from flowlag_aws.rows import Rows
from flowlag_aws.settings import Results
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.instants import Micros
    from flowlag.plan import Arm, RunPlan


class EvidenceGone(FlowlagError):
    """What the flow logs delivered was swept away: the rows that were made of it stay as they are."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, outcomes}` to `{ledger_closed, capture_closed, failures, arms}`.

    `outcomes` are what became of the arms before the traffic window, and may be left out when a run is reconciled
    again. `failures` are arms to what went wrong; `arms` have their counts, first delivery and observations' key.
    """
    rows = Rows.of(Results.read())
    plan = rows.work.plan(event["run_id"])
    if rows.work.find_control(plan.run_id, "swept") is not None:
        raise EvidenceGone(f"run '{plan.run_id}' cannot be reconciled again: its deliveries were swept away")
    closed_at = rows.work.put_new_control(plan.run_id, "closed", {"at": _end_of_last_second()})["at"]
    outcomes = rows.work.put_new_control(plan.run_id, "outcomes", {"arms": event.get("outcomes", [])})["arms"]
    ledger = read_ledger(rows.work, plan)
    rows.put_ledger(plan, ledger, read_clocks(rows.work, plan).sender_s)
    capture = read_capture(rows.work, plan)
    stop = rows.work.find_control(plan.run_id, "stop") or {}
    of_every_arm = Evidence(
        ledger=ledger,
        seen=None if capture is None else capture.seen,
        capture_closed=capture is not None and capture.closed,
        delivered=Sifted(),
        stop_requested_at=stop.get("requested_at"),
    )
    return {
        "ledger_closed": ledger.closed,
        "capture_closed": of_every_arm.capture_closed or not plan.is_captured,
        "failures": {each["arm"]: each["failure"] for each in outcomes if "failure" in each},
        "arms": [_close(rows, plan, arm, of_every_arm, closed_at) for arm in plan.arms],
    }


def _end_of_last_second() -> Micros:
    """S3 dates objects by the second: one of this second might come after it was looked for, and not be late."""
    return now() // 1_000_000 * 1_000_000 - 1


def _close(rows: Rows, plan: RunPlan, arm: Arm, of_every_arm: Evidence, closed_at: Micros) -> dict[str, Any]:
    creation = rows.work.find_control(plan.run_id, f"{arm.name}.creation")
    if creation is None:
        return {"arm": arm.name}
    check = FirstDelivery.of_json(rows.work.find_control(plan.run_id, f"{arm.name}.first_delivery") or {})
    delivered = read_deliveries(plan, creation, until=closed_at)
    if delivered.late:
        logger.warning("late", extra={"run_id": plan.run_id, "arm": arm.name, "late": delivered.late})
    evidence = replace(
        of_every_arm,
        delivered=delivered,
        received=rows.received(plan.run_id, arm.name, closed_at),
        flow_log_id=creation["flow_log_id"],
    )
    reconciled = reconcile(plan, arm, evidence)
    already = rows.quarantined(plan, arm.name, closed_at) if reconciled.unparsable else set()
    unparsable = [each for each in reconciled.unparsable if each.event_id not in already]
    if unparsable:
        rows.put_quarantine(plan, arm.name, "", unparsable, received_at=None)
    return {
        "arm": arm.name,
        "first_delivery": check.status,
        "first_delivery_s": rows.put_first_delivery(plan, arm, creation, check),
        "counts": asdict(reconciled.counts),
        "observations": rows.put_observations(plan, arm.name, reconciled.observations),
    }
