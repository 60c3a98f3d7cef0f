"""ReconcileRun: join ledger, capture and deliveries into the final observations of every arm.

Needs nothing but the run's id, so that it can be run again by hand; the same evidence gives the same bytes.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from flowlag.first_delivery import t0
from flowlag.reconcile import Evidence, reconcile
from flowlag_aws.evidence import read_capture, read_ledger
from flowlag_aws.log_groups import delivered
from flowlag_aws.rows import Rows
from flowlag_aws.settings import Results
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.plan import Arm, RunPlan


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id}` to `{ledger_closed, arms}`: per arm its counts, first delivery and observations' key."""
    rows = Rows(Store(Results.read().results_bucket))
    plan = rows.store.plan(event["run_id"])
    ledger = read_ledger(rows.store, plan)
    rows.put_ledger(plan, ledger)
    stop = rows.store.find_control(plan.run_id, "stop") or {}
    of_every_arm = Evidence(
        ledger=ledger,
        seen=read_capture(rows.store, plan),
        delivered=(),
        stop_requested_at=stop.get("requested_at"),
    )
    return {
        "ledger_closed": ledger.closed,
        "arms": [_close(rows, plan, arm, of_every_arm) for arm in plan.arms],
    }


def _close(rows: Rows, plan: RunPlan, arm: Arm, of_every_arm: Evidence) -> dict[str, Any]:
    creation = rows.store.find_control(plan.run_id, f"{arm.name}.creation")
    if creation is None:
        return {"arm": arm.name}
    check = rows.store.find_control(plan.run_id, f"{arm.name}.first_delivery") or {}
    evidence = replace(
        of_every_arm,
        delivered=list(delivered(creation["log_group"], t0(creation))),
        received=rows.received(plan.run_id, arm.name),
        flow_log_id=creation["flow_log_id"],
    )
    reconciled = reconcile(plan, arm, evidence)
    already = rows.quarantined(plan, arm.name) if reconciled.unparsable else set()
    unparsable = [each for each in reconciled.unparsable if each.event_id not in already]
    if unparsable:
        rows.put_quarantine(plan, arm.name, "", unparsable, received_at=None)
    return {
        "arm": arm.name,
        "first_delivery": check.get("status"),
        "first_delivery_s": rows.put_first_delivery(plan, arm.name, creation, check),
        "counts": asdict(reconciled.counts),
        "observations": rows.put_observations(plan, arm.name, reconciled.observations),
    }
