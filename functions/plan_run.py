"""PlanRun: decide a run from what was asked and what the region looks like, and write the plan down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag.plan import RunRequest, plan_run
from flowlag_aws.clock import now
from flowlag_aws.flow_logs import describe_site
from flowlag_aws.settings import Planning
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, request}` to what the state machine waits by: arms and durations in seconds."""
    settings = Planning.read()
    site = describe_site(
        source=settings.source,
        sender=settings.sender_instance_id,
        target=settings.target_instance_id,
        target_port=int(settings.target_port),
    )
    request = RunRequest.of_json(event["request"])
    plan = plan_run(event["run_id"], request, site, now=now(), code_version=settings.code_version)
    Store(settings.results_bucket).put_plan(plan)
    return {
        "arms": [arm.name for arm in plan.arms],
        "traffic_s": request.traffic_s,
        "poll_interval_s": request.poll_interval_s,
        "drain_s": request.drain_s,
    }
