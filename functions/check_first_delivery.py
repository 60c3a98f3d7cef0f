"""CheckFirstDelivery: one look for the first record and the first probe of a new flow log.

The looks only decide when to stop looking; the times come from the service's own ingestion times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag.first_delivery import FirstDelivery, t0
from flowlag_aws.clock import now
from flowlag_aws.evidence import read_deliveries
from flowlag_aws.settings import Work
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, arm, creation, check}` to `{check, next_look_s}`.

    The status of a check is waiting, delivered or expired.
    """
    store = Store(Work.read().work_bucket)
    plan = store.plan(event["run_id"])
    creation = event["creation"]
    asked_at = now()
    found = read_deliveries(plan, creation)
    check = FirstDelivery.of_json(event["check"]).looked(
        plan.request, t0(creation), found, asked_at=asked_at, answered_at=now()
    )
    store.put_control(plan.run_id, f"{event['arm']}.first_delivery", check.to_json())
    return {"check": check.to_json(), "next_look_s": check.next_look_s(plan.request)}
