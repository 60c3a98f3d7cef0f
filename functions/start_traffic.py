"""StartTraffic: bring the sender's code to the instances, start the capture, then the sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag.errors import RunStopped
from flowlag_aws.bundle import upload_bundle
from flowlag_aws.settings import Traffic
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger
from flowlag_aws.traffic import order, put_bundle, stop_traffic

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id}` to `{bundle, capture, sending}`: probes are leaving when it returns.

    Where the target is somebody's own, nothing captures there: a probe lost on the wire is then not recorded.
    """
    settings = Traffic.read()
    store = Store(settings.work_bucket)
    plan = store.plan(event["run_id"])
    bundle = upload_bundle(store)
    put_bundle(store, plan, bundle)
    started = {
        "bundle": bundle,
        "capture": order("start-capture", plan, settings, bundle) if plan.is_captured else None,
        "sending": order("start-sending", plan, settings, bundle),
    }
    if store.find_control(plan.run_id, "stop") is not None:
        # The run was aborted meanwhile, and may have been swept before this traffic began. The sweeper says `stop`
        # before it asks what was ordered, so that one of the two always stops it.
        stop_traffic(store, plan, settings)
        raise RunStopped(f"run '{plan.run_id}' was stopped while its traffic was being started")
    return started
