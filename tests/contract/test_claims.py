"""Claims and the executions that they live by."""

import json
from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest

from flowlag.plan import VPC, Arm, RunPlan, RunRequest
from flowlag_aws import clients
from flowlag_aws.claims import Claim, SenderBusy, claim_site, claims
from flowlag_aws.executions import RUNNING, status_of, stop_all
from flowlag_aws.store import Store
from tests.contract.clouds import Cloud
from tests.functions.run import PLAN

pytestmark = pytest.mark.slow

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
LONG = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture
def machine(aws: Cloud, unique: str) -> str:
    """A state machine whose executions take long."""
    assert aws
    role = boto3.client("iam").create_role(RoleName=unique, AssumeRolePolicyDocument=json.dumps(TRUST))
    return clients.stepfunctions().create_state_machine(
        name=unique, definition=json.dumps(LONG), roleArn=role["Role"]["Arn"]
    )["stateMachineArn"]


@pytest.fixture
def start(machine: str) -> Callable[[str], RunPlan]:
    """Start an execution, and give the plan of its run."""

    def start(run_id: str) -> RunPlan:
        started = clients.stepfunctions().start_execution(stateMachineArn=machine, name=run_id)
        return replace(PLAN, run_id=run_id, execution=started["executionArn"])

    return start


def abort(plan: RunPlan) -> None:
    clients.stepfunctions().stop_execution(executionArn=plan.execution)


# ---------------------------------------------------------------- executions
def test_an_execution_runs_until_it_is_ended(start: Callable[[str], RunPlan]) -> None:
    plan = start("one")
    assert status_of(plan.execution) == RUNNING
    abort(plan)
    assert status_of(plan.execution) == "ABORTED"


@pytest.mark.parametrize("name", ["none", "x" * 80])
def test_an_execution_that_nobody_knows_has_no_status(machine: str, name: str) -> None:
    assert status_of(f"{machine.replace(':stateMachine:', ':execution:')}:{name}") is None


def test_every_execution_that_runs_is_ended_and_no_other_machines(
    start: Callable[[str], RunPlan], machine: str
) -> None:
    plans = [start(name) for name in ("one", "two", "three")]
    abort(plans[2])
    assert stop_all(machine) == 2
    assert [status_of(plan.execution) for plan in plans] == ["ABORTED"] * 3
    assert stop_all(machine) == 0


def test_a_state_machine_that_is_gone_runs_nothing(machine: str) -> None:
    assert stop_all(f"{machine}-none") == 0


# ---------------------------------------------------------------- claims
def test_a_sender_works_for_one_living_run_at_a_time(store: Store, start: Callable[[str], RunPlan]) -> None:
    one, two = start("one"), start("two")
    claim_site(store, one)
    claim_site(store, one)  # a retried step
    with pytest.raises(SenderBusy, match=f"{PLAN.sender_instance_id} works for run 'one', which has not"):
        claim_site(store, two)
    assert list(claims(store)) == [Claim("one", one.execution)]
    abort(one)
    claim_site(store, two)
    assert list(claims(store)) == [Claim("two", two.execution)]


def test_each_sender_is_claimed_by_itself(store: Store, start: Callable[[str], RunPlan]) -> None:
    one, two = start("one"), replace(start("two"), sender_instance_id="i-0cccccccccccccccc")
    for plan in (one, two):
        claim_site(store, plan)
    assert [claim.run_id for claim in claims(store)] == ["one", "two"]


def test_two_senders_share_their_vpc_but_not_its_flow_logs(store: Store, start: Callable[[str], RunPlan]) -> None:
    of_vpc = RunRequest(arms=(Arm(level=VPC),))
    one = replace(start("one"), request=of_vpc)
    two = replace(start("two"), request=of_vpc, sender_instance_id="i-0cccccccccccccccc")
    claim_site(store, one)
    with pytest.raises(SenderBusy, match=f"{PLAN.vpc_id} works for run 'one'"):
        claim_site(store, two)
    claim_site(store, replace(two, request=RunRequest()))


def test_where_nothing_was_claimed_there_are_no_claims(store: Store) -> None:
    assert list(claims(store)) == []
