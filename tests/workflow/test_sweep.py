"""What a run could not clean up is swept: an aborted one's, and that of a cleanup step which never works."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.workflow import sources
from tests.workflow.sources import FAILING_BEFORE_CLEANUP
from tests.workflow.stack import Run, Scenario, Stack

pytestmark = pytest.mark.slow

NOTHING = {"traffic": [], "flow_logs": [], "evidence": [], "summarized": [], "problems": []}


@dataclass(frozen=True, slots=True)
class Remains:
    """What there is of a run outside of its control documents, at one moment."""

    flow_logs: int
    log_groups: int
    files: int
    orders: list[str]
    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, run: Run) -> "Remains":
        return cls(
            flow_logs=len(run.flow_logs()),
            log_groups=len(run.log_groups()),
            files=len(run.files()),
            orders=[*run.orders],
            rows=run.rows("runs"),
        )


@dataclass(frozen=True, slots=True)
class Swept:
    """A run that ended badly, what was left of it before and after a sweep, and what two sweeps said."""

    run: Run
    before: Remains
    swept: dict[str, list[str]]
    after: Remains
    swept_again: dict[str, list[str]]


def sweep(stack: Stack, run: Run) -> Swept:
    before = Remains.of(run)
    swept = stack.invoke("SweepFunction", {})
    return Swept(run, before, swept, Remains.of(run), stack.invoke("SweepFunction", {}))


@dataclass(frozen=True, slots=True)
class Aborted:
    """An aborted run that was swept, and the next one on its sender."""

    swept: Swept
    next: Run


def aborted_in_its_traffic(stack: Stack, scenario: Scenario) -> Aborted:
    run = stack.start(scenario).until("TrafficWindow").abort()
    swept = sweep(stack, run)
    return Aborted(swept, stack.run(AFTERWARDS))


def not_cleaned_up(stack: Stack, scenario: Scenario) -> Swept:
    return sweep(stack, stack.run(scenario))


ABORTED = Scenario(
    "aborted",
    {"traffic_s": 86_400, "arms": [{}, {"destination": "s3", "file_format": "parquet"}]},
    story=aborted_in_its_traffic,
)
AFTERWARDS = Scenario("afterwards")

NOT_CLEANED_UP = {
    state: Scenario(
        f"crash-always-{state}",
        stand_ins={state: "crash_always", FAILING_BEFORE_CLEANUP: "crash_always"},
        story=not_cleaned_up,
    )
    for state in sources.cleanup(sources.machine())
}

aborted = pytest.mark.parametrize("result", [ABORTED], indirect=True, ids=["aborted"])
not_cleaned_up_in = pytest.mark.parametrize(
    ("state", "result"), NOT_CLEANED_UP.items(), indirect=["result"], ids=NOT_CLEANED_UP
)


# ---------------------------------------------------------------- an execution that was aborted
@aborted
def test_an_aborted_execution_cleans_nothing_up(result):
    assert result.swept.run.execution["status"] == "ABORTED"
    before = result.swept.before
    assert (before.flow_logs, before.log_groups, before.files) == (2, 1, 1)
    assert before.orders == ["start-capture", "start-sending"]
    assert before.rows == []


@aborted
def test_a_sweep_leaves_nothing_of_an_aborted_run_but_its_row(result):
    after = result.swept.after
    assert (after.flow_logs, after.log_groups, after.files) == (0, 0, 0)
    assert after.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]
    (row,) = after.rows
    assert row["verdict"] == "void"
    assert row["reasons"][0] == "the execution ended as ABORTED"
    assert row["arms"] == []


@aborted
def test_a_sweep_says_what_it_did_and_the_next_one_finds_nothing(result):
    run_id, swept = result.swept.run.run_id, result.swept.swept
    assert swept["traffic"] == swept["flow_logs"] == swept["summarized"] == [run_id]
    assert run_id in swept["evidence"]
    assert result.swept.swept_again == NOTHING


@aborted
def test_a_swept_run_cannot_be_reconciled_to_nothing(result):
    run = result.swept.run
    with pytest.raises(AssertionError, match="its deliveries were swept away"):
        run.stack.invoke("ReconcileRunFunction", {"run_id": run.run_id})
    assert run.rows("runs") == result.swept.after.rows


@aborted
def test_the_next_run_has_the_sender(result):
    (row,) = result.next.rows("runs")
    assert (row["verdict"], row["reasons"]) == ("complete", [])


# ---------------------------------------------------------------- a cleanup that never works
@not_cleaned_up_in
def test_cleanup_goes_on_past_a_step_that_never_works(state, result):
    before = result.before
    assert "check_first_delivery crashed" in result.run.execution["cause"]
    assert ("stop-sending" in before.orders) == (state != "StopTrafficAfterFailure")
    assert (before.flow_logs == 0) == (state != "DeleteFlowLogsAfterFailure")
    assert bool(before.rows) == (state != "SummarizeFailedRun")


@not_cleaned_up_in
def test_a_sweep_does_what_cleanup_could_not(state, result):
    after = result.after
    assert (after.flow_logs, after.log_groups, after.files) == (0, 0, 0)
    assert after.orders[-2:] == ["stop-sending", "stop-capture"]
    (row,) = after.rows
    assert row["verdict"] == "void"
    is_swept = state == "SummarizeFailedRun"
    assert (row["reasons"][0] == "the execution ended as FAILED") == is_swept
    assert result.swept_again == NOTHING
