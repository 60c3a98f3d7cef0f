"""What FilterLogEvents answers, as a stub takes it."""

from collections.abc import Sequence
from typing import Any

from botocore.stub import Stubber

from tests.functions.run import LOG_GROUP, NOON, PLAN, Json

PADDING_S = 660


def stored(event_id: str, message: str, ingested_at: int, start: int = NOON) -> Json:
    """An event of the log group, of a record with this `start`; its ingestion in microseconds.

    AWS keeps the milliseconds of it.
    """
    return {
        "logStreamName": f"{PLAN.interface_id}-all",
        "timestamp": start * 1_000,
        "message": message,
        "ingestionTime": ingested_at // 1_000,
        "eventId": event_id,
    }


def answer_pages(logs: Stubber, t0: int, *pages: Sequence[Json]) -> None:
    """Answer FilterLogEvents with these pages, each to the token of the one before; a page may be empty."""
    asked: dict[str, Any] = {"logGroupName": LOG_GROUP, "startTime": t0 // 1_000 - PADDING_S * 1_000}
    for number, page in enumerate(pages, start=1):
        answer: Json = {"events": list(page), "searchedLogStreams": []}
        token = {"nextToken": f"page {number + 1}"} if number < len(pages) else {}
        logs.add_response("filter_log_events", answer | token, dict(asked))
        asked |= token
