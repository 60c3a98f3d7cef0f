"""DeleteFlowLogs: delete every flow log of a run, whichever step created it and however far that got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag_aws.flow_logs import delete_flow_logs
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{execution}` to `{deleted}`: the ids of the flow logs that are gone."""
    return {"deleted": delete_flow_logs(event["execution"])}
