"""Sweep: remove what no living run owns. Invoked by the hour, and when an execution did not succeed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flowlag_aws.settings import Sweeping
from flowlag_aws.sweeping import NotSwept, sweep
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Any event to what was swept, each by run: traffic, flow logs, evidence, and runs that had no row yet."""
    swept = sweep(Sweeping.read())
    logger.info("swept", extra=asdict(swept))
    if swept.problems:
        raise NotSwept("; ".join(swept.problems))
    return asdict(swept)
