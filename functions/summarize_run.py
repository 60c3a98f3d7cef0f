"""SummarizeRun: the verdict of a run, its counts, percentiles, profiles and metrics; also of a run that failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowlag.first_delivery import EXPIRED
from flowlag.reconcile import Counts
from flowlag.summary import ArmSummary, RunSummary
from flowlag.verdict import judge
from flowlag_aws.evidence import read_clocks
from flowlag_aws.executions import failure_in_words
from flowlag_aws.metrics import publish
from flowlag_aws.reports import Reports
from flowlag_aws.rows import Rows
from flowlag_aws.settings import Results
from flowlag_aws.telemetry import logger
from flowlag_report.profile import LEDGER_COLUMNS, OBSERVATION_COLUMNS, Profile, column, profile_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.plan import RunPlan
    from flowlag_aws.store import Store
    from flowlag_report.profile import Whole

_LONGEST = 500
"""Characters of a reason: a service's message can be a page."""

_NOTHING = {"ledger_closed": True, "capture_closed": True, "failures": {}, "arms": []}
"""What is known of a run that failed before it was reconciled."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, reconciled}`, or `{run_id, failure}` after a failed step, to the summary; `{}` without a plan."""
    settings = Results.read()
    rows = Rows.of(settings)
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
    # The row comes first: a run that is aborted in between has no profile yet, and no other verdict in one.
    run = rows.put_run(plan, summary, read_clocks(rows.work, plan))
    _put_profiles(Reports.of(settings), plan, run, _profiles(rows, plan, run, closed))
    publish(summary)
    logger.info(
        "run summarized",
        extra={"run_id": plan.run_id, "verdict": summary.verdict, "reasons": summary.reasons},
    )
    return dict(summary.to_json())


def _profiles(
    rows: Rows, plan: RunPlan, run: Mapping[str, Any], closed: Sequence[Mapping[str, Any]]
) -> Iterator[Profile]:
    """The profile of each arm that was reconciled."""
    if not closed:
        return
    ledger = _whole(rows.ledger(plan, LEDGER_COLUMNS))
    for arm, each in zip(run["arms"], closed, strict=True):
        yield profile_of(
            _whole(rows.observed(each["observations"], OBSERVATION_COLUMNS)),
            ledger,
            {**run, "region": plan.region},
            arm,
            rows.first_delivery(plan, arm["arm"]),
            burst_gap_s=plan.request.burst_gap_s,
        )


def _whole(columns: Mapping[str, Sequence[int | None]]) -> dict[str, Whole]:
    return {name: column(values) for name, values in columns.items()}


def _put_profiles(reports: Reports, plan: RunPlan, run: Mapping[str, Any], profiles: Iterable[Profile]) -> None:
    """Write the profiles, and into one that is there without having been made now the verdict of its run."""
    made = {each.arm: each for each in profiles}
    for arm in plan.arms:
        if profile := made.get(arm.name) or _judged(reports.find_profile(plan, arm.name), run):
            reports.put_profile(plan, arm.name, profile.to_bytes())


def _judged(profile: bytes | None, run: Mapping[str, Any]) -> Profile | None:
    """A profile that an attempt left which then failed, with the verdict that the run has after all."""
    if profile is None:
        return None
    return replace(Profile.of_bytes(profile), verdict=run["verdict"], reasons=tuple(run["reasons"]))


def _failures_of_run(work: Store, plan: RunPlan, event: dict[str, Any]) -> list[dict[str, str]]:
    """The failure of a step, if one failed, also when the run is summarized again by hand."""
    if "failure" in event:
        return [work.put_new_control(plan.run_id, "failure", event["failure"])]
    failure = work.find_control(plan.run_id, "failure")
    return [] if failure is None else [failure]


def _sentence(failure: dict[str, str]) -> str:
    said = failure_in_words(failure.get("Error", "unknown"), failure.get("Cause", ""))
    return f"a step failed: {said[:_LONGEST]}"
