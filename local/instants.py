"""Instants as people write and read them. Inside, an instant is integer microseconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowlag.instants import Micros

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def of_iso(text: str) -> Micros:
    """The instant that an ISO 8601 text names; without a zone it is UTC.

    Raises:
        ValueError: it is not ISO 8601.
    """
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def has_zone(text: str) -> bool:
    """Whether an ISO 8601 text says which zone it means."""
    return datetime.fromisoformat(text).tzinfo is not None


def iso(at: Micros) -> str:
    """ISO 8601, UTC, with as many decimals as it needs."""
    return (_EPOCH + at * _MICROSECOND).isoformat().replace("+00:00", "Z")
