"""`flowlag watch` of a real run on the embedded AWS, from its beginning to its end, as a person calls it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from local.cli import main
from local.cloud.region import Region
from local.instants import of_iso
from tests.faults.runs import Run, Stack, wait_until
from tests.local.terminals import FLOWLAG, Shown, on_a_terminal

pytestmark = pytest.mark.slow

ARMS = [{"destination": "cloud-watch-logs", "aggregation_interval_s": interval_s} for interval_s in (60, 600)]
NAMES = ["cloudwatch-60", "cloudwatch-600"]
STATES = [
    "PlanRun", "StartTraffic", "EachArm", "TrafficWindow", "StopTraffic", "Drain", "DeleteFlowLogs", "ReconcileRun",
    "SummarizeRun", "PublishReport",
]  # fmt: skip
TRAFFIC_S = 6
"""At a burst a second, enough to fit the sawtooth."""


# ---------------------------------------------------------------- the set-up
@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    """One that delivers to every arm each second: nothing takes long."""
    with Region(preset="nitro-60", time_scale=60) as region:
        yield region


@pytest.fixture(scope="module")
def stack(region: Region) -> Stack:
    return Stack(region)


@pytest.fixture(scope="module")
def environment(region: Region) -> dict[str, str]:
    """What a person exports to reach the embedded AWS."""
    return {
        "AWS_ENDPOINT_URL": region.endpoint,
        "AWS_DEFAULT_REGION": region.name,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def run(stack: Stack) -> Run:
    """A run that is under way, and the newest but for one that failed."""
    run = stack.start("under-way", arms=ARMS, traffic_s=TRAFFIC_S, drain_s=5)
    failed = stack.start("failed", experiment="none-of-this-name")
    states = stack.client("stepfunctions")
    wait_until(lambda: states.describe_execution(executionArn=failed.execution)["status"] == "FAILED")
    return run


@pytest.fixture(scope="module")
def left_alone(run: Run, environment: dict[str, str]) -> tuple[Shown, str]:
    """What a terminal showed until Ctrl-C, and the status of the run's execution thereafter."""
    shown = on_a_terminal(
        [*FLOWLAG, "watch"], environment=environment, interrupts=lambda drawn: "StartTraffic" in drawn
    )
    states = run.stack.client("stepfunctions")
    return shown, states.describe_execution(executionArn=run.execution)["status"]


class Told(list[dict[str, Any]]):
    """The events that were told, without the last one."""

    def __init__(self, exit_code: int, lines: str) -> None:
        *events, self.summary = map(json.loads, lines.splitlines())
        super().__init__(events)
        self.exit_code = exit_code

    def of(self, event: str, **more: str) -> list[dict[str, Any]]:
        return [each for each in self if each["event"] == event and more.items() <= each.items()]


@pytest.fixture(scope="module")
def told(left_alone: object, environment: dict[str, str]) -> Told:
    """What was told of the run that is under way, until its end."""
    assert left_alone  # by then it goes on alone
    result = CliRunner(env=environment).invoke(main, ["watch", "--json"])
    assert result.stderr == ""
    return Told(result.exit_code, result.stdout)


# ---------------------------------------------------------------- a run that succeeds
def test_ctrl_c_ends_the_watching_and_not_the_run(left_alone: tuple[Shown, str]) -> None:
    shown, status = left_alone

    assert (shown.exit_code, status) == (130, "RUNNING")
    assert "Run under-way of flowlag in us-east-1: running for" in shown.drawn
    assert "● StartTraffic" in " ".join(shown.drawn.split())
    assert shown.drawn.endswith("flowlag: stopped watching; run under-way goes on\n")


def test_the_states_are_told_in_their_order(told: Told) -> None:
    assert told.of("started")[0]["run_id"] == "under-way"
    assert [each["state"] for each in told.of("entered")] == STATES
    assert [(each["state"], each["ending"]) for each in told.of("left")] == [(state, "done") for state in STATES]
    (window,) = told.of("left", state="TrafficWindow")
    assert TRAFFIC_S <= window["seconds"] < TRAFFIC_S + 30


def test_each_arm_is_told_as_its_control_documents_have_it(told: Told, run: Run) -> None:
    assert told.of("planned")[0]["arms"] == NAMES
    for name in NAMES:
        creation, looks = run.control(f"{name}.creation"), run.control(f"{name}.first_delivery")
        (created,), (first,) = told.of("created", arm=name), told.of("first_delivery", arm=name)
        assert created["flow_log_id"] == creation["flow_log_id"]
        assert of_iso(first["at"]) == looks["first_record_at"]
        assert first["seconds"] == pytest.approx(told.summary["arms"][name]["first_delivery_s"], abs=0.002)


def test_the_next_delivery_is_told_as_soon_as_there_are_bursts_enough(told: Told) -> None:
    delivered = told.of("delivered", arm="cloudwatch-60")
    foretold = [each for each in delivered if each["next_due_at"]]

    assert foretold
    for each in delivered:
        assert each["n_bursts"] >= 4 or each["next_due_at"] is None
    for each in foretold:
        assert of_iso(each["next_due_at"]) > of_iso(each["at"])


def test_the_end_is_that_of_the_runs_row(told: Told, run: Run) -> None:
    last = told.summary

    assert (told.exit_code, last["event"], last["execution_status"]) == (0, "summary", "SUCCEEDED")
    assert (last["source"], last["verdict"], last["reasons"]) == ("local", run.row["verdict"], run.row["reasons"])
    assert list(last["arms"]) == NAMES
    for name in NAMES:
        arm, row = last["arms"][name], run.counts(name)
        assert arm["n_packets"] == len(run.observations[name])
        assert arm["delay_s"]["p50"] == pytest.approx(row["delay_p50_s"])
    results = run.stack.outputs["ResultsBucketName"]
    assert last["page"] == f"s3://{results}/report/default/index.html"
    assert last["page"].removeprefix(f"s3://{results}/") in run.stack.keys(results, "report/")


@pytest.mark.usefixtures("told")
def test_on_a_terminal_a_run_that_is_over_is_shown_with_its_result(environment: dict[str, str], run: Run) -> None:
    shown = on_a_terminal([*FLOWLAG, "watch", run.run_id], environment=environment)

    assert shown.exit_code == 0
    words = " ".join(shown.drawn.split())
    assert all(f"✓ {state}" in words for state in STATES)
    assert f"Verdict: {run.row['verdict']}" in words
    assert "These are local, not AWS, delays" in words
    assert max(len(line.rstrip()) for line in shown.drawn.splitlines()) <= 80


# ---------------------------------------------------------------- others
@pytest.mark.usefixtures("run")
def test_a_run_that_failed_is_told_by_its_cause(environment: dict[str, str]) -> None:
    result = CliRunner(env=environment).invoke(main, ["watch", "failed"])

    assert result.exit_code == 1
    assert "PlanRun: failed after" in result.stdout
    assert "The run failed after" in result.stdout
    assert "there is no experiment 'none-of-this-name'" in result.stdout


@pytest.mark.usefixtures("run")
def test_a_run_that_is_not_there_is_one_sentence(environment: dict[str, str]) -> None:
    result = CliRunner(env=environment).invoke(main, ["watch", "none"])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("flowlag: the stack 'flowlag' has no run 'none': its newest executions are ")


@pytest.mark.usefixtures("stack")
def test_a_stack_that_is_elsewhere_is_named(region: Region, environment: dict[str, str]) -> None:
    result = CliRunner(env=environment).invoke(main, ["watch", "--region", "eu-west-1"])

    assert result.exit_code == 2
    assert f"there is one in {region.name}, so give --region {region.name}" in result.stderr
