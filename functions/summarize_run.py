"""SummarizeRun: the verdict of a run, its counts and percentiles; also of a run that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag.first_delivery import EXPIRED
from flowlag.reconcile import Counts
from flowlag.summary import ArmSummary, RunSummary
from flowlag.verdict import judge
from flowlag_aws.rows import Rows
from flowlag_aws.settings import Results
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, reconciled}`, or `{run_id, failure}` after a failed step, to the summary; `{}` without a plan."""
    rows = Rows(Store(Results.read().results_bucket))
    if "failure" in event and rows.store.find_plan(event["run_id"]) is None:
        return {}  # PlanRun failed, so there is no run to keep
    plan = rows.store.plan(event["run_id"])
    reconciled = event.get("reconciled", {"ledger_closed": True, "arms": []})
    closed = [each for each in reconciled["arms"] if "counts" in each]
    counts = {each["arm"]: Counts(**each["counts"]) for each in closed}
    verdict = judge(
        {arm.name: counts.get(arm.name) for arm in plan.arms},
        failures=[_sentence(event["failure"])] if "failure" in event else [],
        ledger_closed=reconciled["ledger_closed"],
        censored=[each["arm"] for each in closed if each["first_delivery"] == EXPIRED],
    )
    arms = [
        ArmSummary.of(
            each["arm"],
            counts[each["arm"]],
            rows.delays(each["observations"]),
            first_delivery_s=each["first_delivery_s"],
            burst_gap_s=plan.request.burst_gap_s,
        )
        for each in closed
    ]
    summary = RunSummary.of(plan.run_id, plan.source, verdict, arms)
    rows.put_run(plan, summary)
    logger.info(
        "run summarized",
        extra={"run_id": plan.run_id, "verdict": summary.verdict, "reasons": summary.reasons},
    )
    return dict(summary.to_json())


def _sentence(failure: dict[str, str]) -> str:
    return f"a step failed: {failure.get('Error', 'unknown')}: {failure.get('Cause', '')[:500]}"
