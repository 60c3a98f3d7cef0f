"""DecodeRecords: write down the probes of one delivery, at once, with what is known at once.

The subscription's payload has no ingestion time; ReconcileRun adds it and closes the run. CloudWatch Logs
delivers at least once: the object's key is a digest of the delivery's event ids, so that a redelivery finds it
there and leaves it as it is, with the instant of the first receipt.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent, event_source

from flowlag.landing import land
from flowlag_aws.clock import now
from flowlag_aws.log_groups import run_and_arm
from flowlag_aws.rows import Rows
from flowlag_aws.settings import Results
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

DATA_MESSAGE = "DATA_MESSAGE"


@logger.inject_lambda_context
@event_source(data_class=CloudWatchLogsEvent)
def handler(event: CloudWatchLogsEvent, _context: LambdaContext) -> dict[str, int]:
    """A subscription's event to the counts of what was in it; a control message holds nothing.

    An event that cannot be opened goes to quarantine whole: retrying would not help it.
    """
    received_at = now()
    rows = Rows.of(Results.read())
    try:
        delivery = event.parse_logs_data()
        if delivery.message_type != DATA_MESSAGE:
            return {}  # its log group is empty
        run_id, arm = run_and_arm(delivery.log_group)
        event_ids = [each["id"] for each in delivery["logEvents"]]
        messages = [each["message"] for each in delivery["logEvents"]]
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        reason = f"the event is not a CloudWatch Logs envelope: {type(error).__name__}: {error}"
        rows.put_unopened(json.dumps(event.raw_event), reason, received_at)
        return {"unparsable": 1}
    plan = rows.work.plan(run_id)
    landed = land(plan, arm, event_ids, messages, received_at)
    if landed.observations:
        rows.put_landing(landed)
    if landed.sifted.unparsable:
        rows.put_quarantine(plan, arm, landed.digest, landed.sifted.unparsable, received_at)
    counts = landed.sifted.counts()
    logger.info("delivery landed", extra={"run_id": run_id, "arm": arm, **counts})
    return counts
