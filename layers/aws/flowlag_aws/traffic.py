"""Traffic: what the instances are ordered to do, through the stack's one SSM document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from flowlag_aws.commands import run_command

if TYPE_CHECKING:
    from flowlag.plan import RunPlan
    from flowlag_aws.settings import Traffic

type Action = Literal["start-capture", "start-sending", "stop-sending", "stop-capture"]


def order(action: Action, plan: RunPlan, settings: Traffic, bundle: str) -> str:
    """Have the sender or the target do `action`, and return what it printed.

    Every action takes the same parameters; the document checks each by a pattern and passes it as environment.

    Raises:
        CommandFailed: the instance could not do it.
    """
    is_sending = action in ("start-sending", "stop-sending")
    parameters = {
        "Action": action,
        "RunId": plan.run_id,
        "Bucket": settings.results_bucket,
        "BundleSha256": bundle,
        "SourceAddress": plan.sender_address,
        "TargetAddress": plan.target_address,
        "TargetPort": str(plan.target_port),
        "Rate": str(plan.rate),
        "PayloadBytes": str(plan.payload_bytes),
        "DurationSeconds": str(plan.request.longest_traffic_s),
    }
    instance = plan.sender_instance_id if is_sending else plan.target_instance_id
    return run_command(settings.traffic_document, instance, parameters)
