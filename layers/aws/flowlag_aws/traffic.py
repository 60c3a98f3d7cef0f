"""Traffic: what the instances are ordered to do, through the stack's one SSM document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, Protocol

from flowlag_aws.clock import now
from flowlag_aws.commands import COMMAND_TIMEOUT_S, run_command

if TYPE_CHECKING:
    from flowlag.plan import RunPlan
    from flowlag_aws.store import Store

type Action = Literal["start-capture", "start-sending", "stop-sending", "stop-capture"]


class Instances(Protocol):
    """What has to be known of a stack to order its instances about."""

    @property
    def work_bucket(self) -> str:
        """Where they fetch their code and leave their files."""

    @property
    def traffic_document(self) -> str:
        """The SSM document by which they are ordered."""


def order(
    action: Action, plan: RunPlan, settings: Instances, bundle: str, *, timeout_s: float = COMMAND_TIMEOUT_S
) -> str:
    """Have the sender or the target do `action` within `timeout_s`, and return what it printed.

    Every action takes the same parameters; the document checks each by a pattern and passes it as environment.

    Raises:
        CommandFailed: the instance could not do it.
    """
    is_sending = action in ("start-sending", "stop-sending")
    parameters = {
        "Action": action,
        "RunId": plan.run_id,
        "Bucket": settings.work_bucket,
        "BundleSha256": bundle,
        "SourceAddress": plan.sender_address,
        "TargetAddress": plan.target_address,
        "TargetPort": str(plan.target_port),
        "Rate": str(plan.rate),
        "PayloadBytes": str(plan.payload_bytes),
        "DurationSeconds": str(plan.request.longest_traffic_s),
    }
    instance = plan.sender_instance_id if is_sending else str(plan.target_instance_id)
    return run_command(settings.traffic_document, instance, parameters, timeout_s=timeout_s)


def stop_traffic(
    store: Store, plan: RunPlan, settings: Instances, *, timeout_s: float = COMMAND_TIMEOUT_S
) -> dict[str, Any]:
    """End the sender and the capture of a run, and write down what both reported. May be repeated.

    Args:
        store: of the run.
        plan: the run.
        settings: of the stack.
        timeout_s: how long each of the two instances is waited for.

    Raises:
        CommandFailed: one of the two instances could not do it; the other one did all the same.
    """
    store.put_new_control(plan.run_id, "stop", {"requested_at": now()})
    said: dict[str, Any] = {}
    bundle = find_bundle(store, plan)
    if bundle is not None:
        try:
            said["sending"] = json.loads(order("stop-sending", plan, settings, bundle, timeout_s=timeout_s))
        finally:  # the capture ends also where the sender cannot be reached
            if plan.is_captured:
                said["capture"] = json.loads(order("stop-capture", plan, settings, bundle, timeout_s=timeout_s))
    store.put_control(plan.run_id, "traffic", said)
    return said


def put_bundle(store: Store, plan: RunPlan, bundle: str) -> None:
    """Write down which bundle a run uses, before anything is ordered."""
    store.put_control(plan.run_id, "bundle", {"sha256": bundle})


def find_bundle(store: Store, plan: RunPlan) -> str | None:
    """Which bundle a run uses; None where nothing was ordered yet."""
    document = store.find_control(plan.run_id, "bundle")
    return None if document is None else str(document["sha256"])
