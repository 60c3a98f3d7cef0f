"""A run belongs to one execution, and a sender to one run: whoever comes second fails and touches nothing."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.workflow.stack import REQUEST, Run, Scenario, Stack

pytestmark = pytest.mark.slow

DUE = "2026-11-23T10:00:00Z"
SCHEDULED_RUN = "us-east-1-20261123T100000Z"
"""The run of a schedule that was due then."""

INPUT = {"scheduled_at": DUE, "run_prefix": "us-east-1", "request": {"experiment": "s3-layouts", **REQUEST}}
"""What a schedule starts the state machine with."""


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """Two executions, ended; and what there was of the first, which still ran, when the second had ended."""

    first: Run
    second: Run
    orders_meanwhile: list[str]
    rows_meanwhile: list[dict[str, Any]]


def one_after_another(first: Run, start_second: Callable[[], Run]) -> TwoRuns:
    """Have a second execution end while the first one runs: nothing is delivered to it so far."""
    first.until("EachArm")
    second = start_second().end()
    assert first.execution["status"] == "RUNNING"
    orders, rows = [*first.orders], first.rows("runs")
    first.in_the_world.is_silent = False
    return TwoRuns(first.end(), second, orders, rows)


def fired_twice(stack: Stack, scenario: Scenario) -> TwoRuns:
    stack.prepare(scenario)
    first = stack.execute("first-firing", INPUT, run_id=scenario.run_id)
    return one_after_another(first, lambda: stack.execute("second-firing", INPUT, run_id=scenario.run_id))


def on_one_sender(stack: Stack, scenario: Scenario) -> TwoRuns:
    first = stack.start(scenario)
    return one_after_another(first, lambda: stack.execute("too-early", REQUEST))


FIRED_TWICE = Scenario(SCHEDULED_RUN, is_silent=True, story=fired_twice)
ON_ONE_SENDER = Scenario("alone", is_silent=True, story=on_one_sender)


def what_came_of(*scenarios: Scenario) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("result", scenarios, indirect=True, ids=[each.run_id for each in scenarios])


@what_came_of(FIRED_TWICE)
def test_a_scheduled_run_is_named_by_when_it_was_due(result):
    (row,) = result.first.rows("runs")
    assert (row["run_id"], row["experiment"]) == (SCHEDULED_RUN, "s3-layouts")


LAYOUTS = {
    "s3-text-600": r"\d{12}/vpcflowlogs/us-east-1/\d{4}/\d\d/\d\d/[^/]+\.log\.gz",
    "s3-text-600-hive": (
        r"aws-account-id=\d{12}/aws-service=vpcflowlogs/aws-region=us-east-1/year=\d{4}/month=\d\d/day=\d\d"
        r"/[^/]+\.log\.gz"
    ),
    "s3-text-600-hourly": r"\d{12}/vpcflowlogs/us-east-1/\d{4}/\d\d/\d\d/\d\d/[^/]+\.log\.gz",
    "s3-parquet-600-hive-hourly": (
        r"aws-account-id=\d{12}/aws-service=vpcflowlogs/aws-region=us-east-1/year=\d{4}/month=\d\d/day=\d\d"
        r"/hour=\d\d/[^/]+\.log\.parquet"
    ),
}


@what_came_of(FIRED_TWICE)
def test_every_arm_s_flow_log_lays_out_its_files_as_the_arm_says(result):
    files = result.first.in_the_world.files
    assert files.keys() == LAYOUTS.keys()
    for arm, keys in files.items():
        for key in keys:
            assert re.fullmatch(f"deliveries/{SCHEDULED_RUN}/{arm}/AWSLogs/{LAYOUTS[arm]}", key)


@what_came_of(FIRED_TWICE)
def test_a_second_firing_fails_for_the_run_exists(result):
    execution = result.second.execution
    assert (execution["status"], execution["error"]) == ("FAILED", "RunExists")
    assert f"run '{SCHEDULED_RUN}' belongs to {result.first.arn}" in execution["cause"]


@what_came_of(ON_ONE_SENDER)
def test_a_run_on_a_busy_sender_fails_for_it_is_busy(result):
    execution = result.second.execution
    assert (execution["status"], execution["error"]) == ("FAILED", "SenderBusy")
    assert "works for run 'alone', which has not ended" in execution["cause"]


@what_came_of(ON_ONE_SENDER)
def test_a_run_on_a_busy_sender_is_kept_as_void_with_the_reason(result):
    (row,) = result.second.rows("runs")
    assert (row["run_id"], row["verdict"]) == ("too-early", "void")
    assert "SenderBusy" in row["reasons"][0]
    assert result.second.flow_logs() == []


@what_came_of(FIRED_TWICE, ON_ONE_SENDER)
def test_the_first_run_is_not_disturbed_meanwhile(result):
    assert result.orders_meanwhile == ["start-capture", "start-sending"]
    assert result.rows_meanwhile == []


@what_came_of(FIRED_TWICE, ON_ONE_SENDER)
def test_the_first_run_is_complete_as_if_it_had_been_alone(result):
    first = result.first
    assert first.execution["status"] == "SUCCEEDED", first.execution["cause"]
    assert first.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]
    (row,) = first.rows("runs")
    assert (row["verdict"], row["reasons"]) == ("complete", [])
    for arm in row["arms"]:
        ticks = [each["tick"] for each in first.rows("observations", arm["arm"])]
        assert ticks == first.traffic.observed
    assert first.flow_logs() == []
