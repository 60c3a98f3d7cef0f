"""A crash in any state ends in cleanup, and in a failed execution that says which function crashed."""

import pytest

from tests.workflow import sources
from tests.workflow.stack import Scenario

pytestmark = pytest.mark.slow

MACHINE = sources.machine()
TASKS = sources.tasks(MACHINE)
CLEANUP = sorted(TASKS.keys() - sources.happy_path(MACHINE))

FAILING_BEFORE_CLEANUP = "CheckFirstDelivery"
"""What fails where it is a state of the cleanup that crashes: there is traffic by then, and a flow log."""


def crash_in(state: str, how: str) -> Scenario:
    failing_before = {FAILING_BEFORE_CLEANUP: "crash_always"} if state in CLEANUP else {}
    return Scenario(f"{how}-{state}".replace("_", "-"), stand_ins={state: how, **failing_before})


def module_of(state: str) -> str:
    """The function of a state as a crash names it."""
    return sources.functions()[sources.function_of(TASKS[state])]["Handler"].removesuffix(".handler")


CRASHES = [(state, crash_in(state, how)) for state in TASKS for how in ("crash_before", "crash_after")]
LASTING = [(state, crash_in(state, "crash_always")) for state in CLEANUP]


def every(cases: list[tuple[str, Scenario]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("state", "run"), cases, indirect=["run"], ids=[run.run_id for _, run in cases])


@every(CRASHES)
def test_a_crash_fails_the_execution_and_is_its_cause(state, run):
    first = FAILING_BEFORE_CLEANUP if state in CLEANUP else state
    assert (run.execution["status"], run.execution["error"]) == ("FAILED", "Crashed"), run.execution["cause"]
    assert f"{module_of(first)} crashed" in run.execution["cause"]


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
        assert (run.plan(), rows) == (None, [])
        return
    assert run.plan()
    (row,) = rows
    first = FAILING_BEFORE_CLEANUP if state in CLEANUP else state
    assert row["verdict"] == "void"
    assert row["reasons"][0].startswith("a step failed: Crashed: ")
    assert f"{module_of(first)} crashed" in row["reasons"][0]


@every(LASTING)
def test_cleanup_goes_on_past_a_step_that_never_works(state, run):
    assert f"{module_of(FAILING_BEFORE_CLEANUP)} crashed" in run.execution["cause"]
    assert ("stop-sending" in run.orders) == (state != "StopTrafficAfterFailure")
    assert (run.flow_logs() == []) == (state != "DeleteFlowLogsAfterFailure")
    assert bool(run.rows("runs")) == (state != "SummarizeFailedRun")
