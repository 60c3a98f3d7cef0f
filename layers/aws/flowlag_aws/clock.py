"""The one clock of what runs on AWS."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowlag.instants import Micros

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> Micros:
    """This machine's time in microseconds since the epoch."""
    return time_ns() // 1_000


def micros(moment: datetime) -> Micros:
    """An aware datetime, as boto3 gives it, in microseconds since the epoch, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
