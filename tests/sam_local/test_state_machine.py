"""The state machine on the embedded AWS, whose Lambda is `sam local start-lambda` with warm containers."""

import json
import re
import time

import pytest

from local.cloud.settings import ENDPOINT_TAG
from local.sam_local.sam_local import START_LAMBDA_LOG
from tests.cloudformation import document
from tests.local.stacks import eventually

pytestmark = pytest.mark.slow

REQUEST = {
    "traffic_s": 3,
    "drain_s": 5,
    "poll_interval_s": 1,
    "longest_poll_interval_s": 2,
    "first_delivery_timeout_s": 120,
    "arms": [{"aggregation_interval_s": 60}],
}


@pytest.fixture(scope="module")
def execution(session, rehearsal):
    """A run through the containers, ended; after the rehearsal, which has emptied the stack."""
    if session.engine is None:
        return None
    assert rehearsal.played
    stage, states = session.stage, session.stage.region.client("stepfunctions")
    stage.invoke_at(session.warm.endpoint)
    started = states.start_execution(
        stateMachineArn=stage.outputs["StateMachineArn"],
        name=time.strftime("sam-local-%Y%m%dT%H%M%SZ", time.gmtime()),
        input=json.dumps(REQUEST),
    )
    return eventually(
        lambda: states.describe_execution(executionArn=started["executionArn"]),
        lambda execution: execution["status"] != "RUNNING",
        within_s=300,
    )


@pytest.mark.usefixtures("engine")
def test_a_whole_run_goes_through_the_containers(execution):
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert json.loads(execution["output"])["verdict"] == "complete"


@pytest.mark.usefixtures("engine")
def test_every_function_of_the_run_was_invoked_there(session, execution):
    run_id = execution["name"]
    called = {each["Fn::GetAtt"][0] for each in substitutions().values()}
    invoked = re.findall(r"Invoking (\w+)\.handler", START_LAMBDA_LOG.read_text())
    modules = {each.module for each in session.functions if each.name in called | {"DecodeRecordsFunction"}}
    assert modules <= set(invoked)
    landing = session.stage.objects(session.stage.outputs["WorkBucketName"], f"landing/{run_id}/")
    assert landing  # by DecodeRecords, which the subscription invoked


def substitutions():
    (machine,) = (
        each for each in document()["Resources"].values() if each["Type"] == "AWS::Serverless::StateMachine"
    )
    return machine["Properties"]["DefinitionSubstitutions"]


@pytest.mark.usefixtures("engine", "execution")
def test_an_error_there_is_the_error_of_the_function(session):
    """start-lambda answers 200 to what a handler raises; the embedded AWS tells it from an answer."""
    deployed = session.stage.functions["ReconcileRunFunction"]
    client = session.stage.region.client("lambda")
    assert ENDPOINT_TAG in client.get_function(FunctionName=deployed.name)["Tags"]
    answer = client.invoke(FunctionName=deployed.name, Payload=json.dumps({"run_id": "nobody-s"}))
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"]
