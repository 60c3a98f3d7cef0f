"""CreateFlowLog: give an arm its fresh destination, then its flow log, and write down T0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag.errors import RunStopped
from flowlag.plan import S3
from flowlag_aws.flow_logs import create_flow_log, delete_flow_logs, to_log_group, to_prefix
from flowlag_aws.log_groups import create_subscribed_group, log_group_name
from flowlag_aws.settings import FlowLogCreation
from flowlag_aws.store import Store, delivery_prefix
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.plan import Arm, RunPlan


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, arm}` to the creation: flow log, destination and T0 on three clocks."""
    settings = FlowLogCreation.read()
    store = Store(settings.work_bucket)
    plan = store.plan(event["run_id"])
    arm = plan.arm(event["arm"])
    creation = (_to_s3 if arm.destination == S3 else _to_cloudwatch)(settings, plan, arm)
    store.put_control(plan.run_id, f"{arm.name}.creation", creation)
    if store.find_control(plan.run_id, "stop") is not None:
        # The run failed meanwhile, and cleanup may have listed the flow logs before this one existed. It says
        # `stop` before it lists, so that one of the two always sees the flow log.
        delete_flow_logs(plan.execution)
        raise RunStopped(f"run '{plan.run_id}' was stopped while its arm '{arm.name}' was being created")
    return creation


def _to_cloudwatch(settings: FlowLogCreation, plan: RunPlan, arm: Arm) -> dict[str, Any]:
    """A fresh log group, subscribed before the flow log can deliver to it."""
    log_group = log_group_name(settings.log_group_prefix, plan.run_id, arm.name)
    create_subscribed_group(log_group, plan.run_id, settings.decode_function_arn)
    destination = to_log_group(log_group, settings.delivery_role_arn)
    return {**create_flow_log(plan, arm, destination), "log_group": log_group}


def _to_s3(settings: FlowLogCreation, plan: RunPlan, arm: Arm) -> dict[str, Any]:
    """A fresh prefix, which needs no making."""
    bucket, prefix = settings.work_bucket, delivery_prefix(plan.run_id, arm.name)
    destination = to_prefix(arm, settings.partition, bucket, prefix)
    return {**create_flow_log(plan, arm, destination), "bucket": bucket, "prefix": f"{prefix}/"}
