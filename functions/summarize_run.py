"""SummarizeRun: the verdict of a run, its counts, percentiles and metrics; also of a run that failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flowlag.first_delivery import EXPIRED
from flowlag.reconcile import Counts
from flowlag.summary import ArmSummary, RunSummary
from flowlag.verdict import judge
from flowlag_aws.evidence import read_clocks
from flowlag_aws.metrics import publish
from flowlag_aws.rows import Rows
from flowlag_aws.settings import Results
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.plan import RunPlan
    from flowlag_aws.store import Store

_NOTHING = {"ledger_closed": True, "capture_closed": True, "failures": {}, "arms": []}
"""What is known of a run that failed before it was reconciled."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, reconciled}`, or `{run_id, failure}` after a failed step, to the summary; `{}` without a plan."""
    rows = Rows.of(Results.read())
    if "failure" in event and rows.work.find_plan(event["run_id"]) is None:
        return {}  # PlanRun failed, so there is no run to keep
    plan = rows.work.plan(event["run_id"])
    reconciled = event.get("reconciled", _NOTHING)
    closed = [each for each in reconciled["arms"] if "counts" in each]
    counts = {each["arm"]: Counts(**each["counts"]) for each in closed}
    failures = [f"{arm}: {_sentence(failure)}" for arm, failure in reconciled["failures"].items()]
    verdict = judge(
        {arm.name: counts.get(arm.name) for arm in plan.arms},
        failures=[*failures, *map(_sentence, _failures_of_run(rows.work, plan, event))],
        ledger_closed=reconciled["ledger_closed"],
        capture_closed=reconciled["capture_closed"],
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
    rows.put_run(plan, summary, read_clocks(rows.work, plan))
    publish(summary)
    logger.info(
        "run summarized",
        extra={"run_id": plan.run_id, "verdict": summary.verdict, "reasons": summary.reasons},
    )
    return dict(summary.to_json())


def _failures_of_run(work: Store, plan: RunPlan, event: dict[str, Any]) -> list[dict[str, str]]:
    """The failure of a step, if one failed, also when the run is summarized again by hand."""
    if "failure" in event:
        return [work.put_new_control(plan.run_id, "failure", event["failure"])]
    failure = work.find_control(plan.run_id, "failure")
    return [] if failure is None else [failure]


def _sentence(failure: dict[str, str]) -> str:
    return f"a step failed: {failure.get('Error', 'unknown')}: {_message(failure.get('Cause', ''))[:500]}"


def _message(cause: str) -> str:
    """What a function said; Lambda wraps it in JSON."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause
