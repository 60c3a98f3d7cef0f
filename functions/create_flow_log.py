"""CreateFlowLog: give an arm its fresh, subscribed log group, then its flow log, and write down T0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag.errors import FlowlagError
from flowlag_aws.flow_logs import create_flow_log, delete_flow_logs
from flowlag_aws.log_groups import create_subscribed_group, log_group_name
from flowlag_aws.settings import FlowLogCreation
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class RunStopped(FlowlagError):
    """The run ended while one of its flow logs was being created."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, arm, execution}` to the creation: flow log, log group and T0 on three clocks."""
    settings = FlowLogCreation.read()
    store = Store(settings.results_bucket)
    plan = store.plan(event["run_id"])
    arm = plan.arm(event["arm"])
    log_group = log_group_name(settings.log_group_prefix, plan.run_id, arm.name)
    create_subscribed_group(log_group, plan.run_id, settings.decode_function_arn)
    creation = create_flow_log(
        plan, arm, log_group=log_group, role_arn=settings.delivery_role_arn, owner=event["execution"]
    )
    store.put_control(plan.run_id, f"{arm.name}.creation", creation)
    if store.find_control(plan.run_id, "stop") is not None:
        # Another arm failed meanwhile, and cleanup may have listed the flow logs before this one existed. It says
        # `stop` before it lists, so that one of the two always sees the flow log.
        delete_flow_logs(plan.run_id)
        raise RunStopped(f"run '{plan.run_id}' was stopped while its arm '{arm.name}' was being created")
    return creation
