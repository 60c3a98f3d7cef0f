"""EmptyStack: before the stack is deleted, end its runs and remove what they made outside of it.

CloudFormation knows neither flow logs nor log groups of arms, and deletes no bucket that has something in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag_aws.custom_resource import FAILED, SUCCESS, respond
from flowlag_aws.emptying import empty
from flowlag_aws.settings import Emptying
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """CloudFormation's event of a custom resource; on `Delete` the stack is emptied, else nothing is done."""
    try:
        if event["RequestType"] == "Delete":
            logger.info("emptied", extra=empty(Emptying.read()))
    except Exception as error:
        respond(event, FAILED, f"{type(error).__name__}: {error} (log stream {context.log_stream_name})")
        raise
    respond(event, SUCCESS)
