"""When a schedule of EventBridge Scheduler is due, as AWS documents it.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html (2026-11-23)
"""

# ruff: noqa: SLF001 - MiniStack's cron arithmetic has private names only

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ministack.services import eventbridge

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Mapping

    type Schedule = Mapping[str, object]
    """What CreateSchedule takes, and a `CreationDate`. Dates are seconds since the epoch, or ISO 8601."""

_AT: Final = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_RATE: Final = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)s?\)")


class InvalidSchedule(FlowlagError):
    """EventBridge Scheduler would refuse the schedule; the message says why."""


def occurrence(schedule: Schedule, after: datetime, until: datetime) -> datetime | None:
    """When a schedule is due in the span from `after`, without it, `until` another instant; None if it is not.

    A flexible time window begins then. A span holds one occurrence at most, as long as it is less than a minute.

    Raises:
        InvalidSchedule: its expression or its time zone is none.
    """
    expression, zone = str(schedule["ScheduleExpression"]), _zone(schedule)
    start, end = _instant(schedule.get("StartDate")), _instant(schedule.get("EndDate"))
    if at := _AT.fullmatch(expression):
        due: datetime | None = datetime.fromisoformat(at[1]).replace(tzinfo=zone)
    elif rate := _RATE.fullmatch(expression):
        # Without a StartDate it "starts invoking the target immediately".
        first = start or _instant(schedule.get("CreationDate")) or until
        interval = timedelta(**{f"{rate[2]}s": int(rate[1])})
        due = _within(first + (until - first) // interval * interval, first, end)
    elif cron := eventbridge._parse_cron_fields(expression):
        due = _within(eventbridge._cron_next_fire(cron, after.astimezone(zone)), start, end)
    else:
        raise InvalidSchedule(f"Invalid Schedule Expression {expression}.")
    return due if due and after < due <= until else None


def _within(due: datetime | None, start: datetime | None, end: datetime | None) -> datetime | None:
    is_within = due and (start is None or start <= due) and (end is None or due <= end)
    return due if is_within else None


def _zone(schedule: Schedule) -> ZoneInfo:
    name = str(schedule.get("ScheduleExpressionTimezone") or "UTC")
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError):
        raise InvalidSchedule(f"Provided ScheduleExpressionTimezone is not valid: {name}.") from None


def _instant(date: object) -> datetime | None:
    if not date:
        return None
    if isinstance(date, int | float):
        return datetime.fromtimestamp(date, UTC)
    try:
        moment = datetime.fromisoformat(str(date))
    except ValueError:
        raise InvalidSchedule(f"{date} is no date.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
