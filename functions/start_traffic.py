"""StartTraffic: bring the sender's code to the instances, start the capture, then the sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag_aws.bundle import upload_bundle
from flowlag_aws.settings import Traffic
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger
from flowlag_aws.traffic import order

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id}` to `{bundle, capture, sending}`: probes are leaving when it returns."""
    settings = Traffic.read()
    store = Store(settings.results_bucket)
    plan = store.plan(event["run_id"])
    bundle = upload_bundle(store)
    return {
        "bundle": bundle,
        "capture": order("start-capture", plan, settings, bundle),
        "sending": order("start-sending", plan, settings, bundle),
    }
