"""StopTraffic: end the sender and the capture; both upload what they have. Harmless where nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag_aws.settings import Traffic
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger
from flowlag_aws.traffic import stop_traffic

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id}` to `{sending, capture}`, what the two reported in the end; `{}` where nothing was planned."""
    settings = Traffic.read()
    store = Store(settings.work_bucket)
    plan = store.find_plan(event["run_id"])
    if plan is None:
        return {}  # PlanRun failed, so nothing was started
    return stop_traffic(store, plan, settings)
