"""A crash in any state ends in cleanup, and in a failed execution that says which function crashed.

Where it is in an arm, this is the run's only one.
"""

import json

import pytest

from tests.workflow import sources
from tests.workflow.sources import FAILING_BEFORE_CLEANUP
from tests.workflow.stack import Scenario

pytestmark = pytest.mark.slow

MACHINE = sources.machine()
TASKS = sources.tasks(MACHINE)
CLEANUP = sources.cleanup(MACHINE)


def crash_in(state: str, how: str) -> Scenario:
    failing_before = {FAILING_BEFORE_CLEANUP: "crash_always"} if state in CLEANUP else {}
    return Scenario(f"{how}-{state}".replace("_", "-"), stand_ins={state: how, **failing_before})


def crashed(state: str) -> str:
    """How the failure of a run begins in which a state crashes: in the cleanup, something else did before."""
    return f"{sources.module_of(TASKS[FAILING_BEFORE_CLEANUP if state in CLEANUP else state])} crashed"


ACCESSORY = "PublishReport"
"""The one state without which a run is as good as it was."""
WAYS = ("crash_before", "crash_after")
CRASHES = [(state, crash_in(state, how)) for state in TASKS if state != ACCESSORY for how in WAYS]
WITHOUT_REPORT = [(ACCESSORY, crash_in(ACCESSORY, how)) for how in WAYS]


def every(cases: list[tuple[str, Scenario]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("state", "result"), cases, indirect=["result"], ids=[scenario.run_id for _, scenario in cases]
    )


@every(CRASHES)
def test_a_crash_fails_the_execution_and_is_its_cause(state, run):
    assert (run.execution["status"], run.execution["error"]) == ("FAILED", "Crashed"), run.execution["cause"]
    assert crashed(state) in run.execution["cause"]


@every(CRASHES)
def test_a_crash_leaves_no_flow_log(state, run):
    assert run.flow_logs() == [], state


@every(CRASHES)
def test_a_crash_leaves_no_traffic(state, run):
    started = "start-sending" in run.orders
    assert started == (state not in {"PlanRun", "StartTraffic"} or run.run_id == "crash-after-StartTraffic")
    if started:
        assert run.orders[-2:] == ["stop-sending", "stop-capture"]


@every(CRASHES)
def test_a_planned_run_that_crashed_is_kept_as_void_with_the_reason(state, run):
    rows = run.rows("runs")
    if run.run_id == "crash-before-PlanRun":
        assert (run.control("plan"), rows) == (None, [])
        return
    assert run.control("plan")
    (row,) = rows
    assert row["verdict"] == "void"
    assert row["reasons"][0].startswith("a step failed: Crashed: ")
    assert crashed(state) in row["reasons"][0]


@every(WITHOUT_REPORT)
def test_a_report_that_crashes_leaves_the_run_as_it_is_and_is_in_its_history(state, run):
    assert (run.execution["status"], json.loads(run.execution["output"])["verdict"]) == ("SUCCEEDED", "complete")
    assert [row["verdict"] for row in run.rows("runs")] == ["complete"]
    assert any(f"{sources.module_of(TASKS[state])} crashed" in str(event) for event in run.history)
