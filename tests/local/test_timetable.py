"""When a schedule is due."""

from datetime import UTC, datetime, timedelta

import pytest

from local.cloud.timetable import InvalidSchedule, occurrence

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def due(expression, after=NOON, **schedule):
    """The first occurrences after an instant, in six hours of seconds as Scheduler goes through them."""
    schedule = {
        "ScheduleExpression": expression,
        "CreationDate": (NOON + timedelta(seconds=7)).timestamp(),
        **schedule,
    }
    seconds = (after + timedelta(seconds=second) for second in range(6 * 3600))
    found = (occurrence(schedule, second, second + timedelta(seconds=1)) for second in seconds)
    return [each.astimezone(UTC).strftime("%d %H:%M:%S") for each in found if each]


def test_once():
    assert due("at(2026-11-23T13:30:00)") == ["23 13:30:00"]


def test_at_a_rate_at_once_and_then_after_each_interval():
    assert due("rate(2 hours)") == ["23 12:00:07", "23 14:00:07", "23 16:00:07"]


def test_at_a_rate_from_its_start_until_its_end():
    dates = {"StartDate": "2026-11-23T13:00:00Z", "EndDate": "2026-11-23T13:40:00"}
    assert due("rate(20 minutes)", **dates) == ["23 13:00:00", "23 13:20:00", "23 13:40:00"]


def test_at_a_rate_only_what_is_left_of_it():
    assert due("rate(1 day)", after=NOON + timedelta(hours=1)) == []


def test_by_the_clock_of_its_time_zone():
    assert due("cron(0 14 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin") == ["23 13:00:00"]


def test_by_the_clock_from_its_start_until_its_end():
    dates = {"StartDate": "2026-11-23T13:00:00Z", "EndDate": "2026-11-23T14:59:59Z"}
    assert due("cron(0/30 * * * ? *)", **dates) == ["23 13:00:00", "23 13:30:00", "23 14:00:00", "23 14:30:00"]


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ({"ScheduleExpression": "rate(0 minutes)"}, r"Invalid Schedule Expression rate\(0 minutes\)"),
        ({"ScheduleExpression": "rate(1 fortnight)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "cron(0 * * * * *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "at(tomorrow)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "rate(1 hour)", "ScheduleExpressionTimezone": "Mars/Here"}, "not valid: Mars/Here"),
        ({"ScheduleExpression": "rate(1 hour)", "EndDate": "some day"}, "some day is no date"),
    ],
)
def test_what_scheduler_would_refuse_is_told(schedule, reason):
    with pytest.raises(InvalidSchedule, match=reason):
        occurrence(schedule, NOON, NOON)
