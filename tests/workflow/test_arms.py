"""Something goes wrong in one arm of a run: the others stand, and the run is partial and says why."""

import json

import pytest

from tests.workflow.stack import Run, Scenario
from tests.workflow.traffic import N_PROBES

pytestmark = pytest.mark.slow

ARMS = [{"aggregation_interval_s": 60}, {"destination": "s3", "file_format": "plain-text"}]
STANDING, FAILING = "cloudwatch-60", "s3-text-600"


def without_one_arm(run_id: str, state: str, stand_in: str) -> Scenario:
    return Scenario(run_id, {"arms": ARMS}, stand_ins={state: stand_in}, arm=FAILING)


REFUSED = without_one_arm("refused-in-one-arm", "CreateFlowLog", "refused_by_ec2")
LOST = without_one_arm("answer-lost-in-one-arm", "CreateFlowLog", "crash_after")
UNCHECKED = without_one_arm("unchecked-in-one-arm", "CheckFirstDelivery", "crash_before")

REASONS = {
    REFUSED: "FlowLogRefused",
    LOST: "create_flow_log crashed after its work",
    UNCHECKED: "check_first_delivery crashed before its work",
}


def every(scenarios: list[Scenario]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("result", scenarios, indirect=True, ids=[each.run_id for each in scenarios])


def observed(run: Run, arm: str) -> list[int]:
    return [row["tick"] for row in run.rows("observations", arm)]


@pytest.mark.parametrize(
    ("result", "reason"), REASONS.items(), indirect=["result"], ids=[each.run_id for each in REASONS]
)
def test_a_run_without_one_of_its_arms_succeeds_and_is_partial_for_that_arm_s_reason(run, reason):
    assert run.execution["status"] == "SUCCEEDED", run.execution["cause"]
    assert json.loads(run.execution["output"])["verdict"] == "partial"
    (row,) = run.rows("runs")
    assert row["verdict"] == "partial"
    assert row["reasons"][0].startswith(f"{FAILING}: a step failed: ")
    assert reason in row["reasons"][0]
    assert not any(STANDING in reason for reason in row["reasons"])


@every([*REASONS])
def test_the_other_arm_stands(run):
    assert observed(run, STANDING) == run.traffic.observed
    (first,) = run.rows("first_deliveries", STANDING)
    assert first["status"] == "delivered"


@every([*REASONS])
def test_the_run_is_measured_for_its_whole_time_and_leaves_no_flow_log(run):
    assert run.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]
    assert run.flow_logs() == []
    assert len(run.rows("ledger")) == N_PROBES


@every([REFUSED])
def test_an_arm_without_a_flow_log_has_no_rows(run):
    assert observed(run, FAILING) == run.rows("first_deliveries", FAILING) == []
    (row,) = run.rows("runs")
    assert [arm["arm"] for arm in row["arms"]] == [STANDING]
    assert row["reasons"][1:] == [f"{FAILING}: the arm was not reconciled"]


@every([LOST, UNCHECKED])
def test_what_the_flow_log_of_a_failed_arm_delivered_is_kept(run):
    assert observed(run, FAILING) == run.traffic.observed
    (row,) = run.rows("runs")
    assert [arm["arm"] for arm in row["arms"]] == [STANDING, FAILING]
    assert len(row["reasons"]) == 1
