"""State machines on the embedded AWS: their rights, and their ends."""

import json
import time

import pytest

from tests.local.stacks import create, eventually, function, may, role

pytestmark = pytest.mark.slow

PROBES = """
import boto3

class Unheard(Exception):
    pass

def handler(event, context):
    match event["do"]:
        case "fail":
            boto3.client("s3").put_object(Bucket="called", Key=event["by"])
            raise Unheard("of")
        case "describe":
            return boto3.client("stepfunctions").describe_execution(executionArn=event["execution"])["status"]
"""


def machine(definition, role_name="Allowed"):
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "DefinitionString": json.dumps(definition),
            "DefinitionSubstitutions": {"Function": {"Fn::GetAtt": ["Function", "Arn"]}},
            "RoleArn": {"Fn::GetAtt": [role_name, "Arn"]},
        },
    }


FAILING = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "${Function}", "Payload": {"do": "fail", "by.$": "$$.Execution.Name"}},
}
CATCHING = {
    "StartAt": "Try",
    "States": {
        "Try": {**FAILING, "Catch": [{"ErrorEquals": ["Unheard"], "Next": "Caught"}], "End": True},
        "Caught": {"Type": "Pass", "Result": "caught", "End": True},
    },
}
FAILING_LATER = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemProcessor": {
                "StartAt": "Pause",
                "States": {
                    "Pause": {"Type": "Wait", "Seconds": 2, "Next": "Try"},
                    "Try": {**FAILING, "End": True},
                },
            },
            "End": True,
        }
    },
}
LONG = {
    "StartAt": "Pause",
    "TimeoutSeconds": 2,
    "States": {"Pause": {"Type": "Wait", "Seconds": 600, "End": True}},
}


@pytest.fixture(scope="module")
def stack(region):
    region.client("s3").create_bucket(Bucket="called")
    invoke = may("lambda:InvokeFunction", {"Fn::GetAtt": ["Function", "Arn"]})
    executions = "arn:aws:states:${AWS::Region}:${AWS::AccountId}:execution:${Long.Name}:*"
    return create(
        region,
        "machines",
        {
            "Allowed": role("states.amazonaws.com", invoke),
            "Forbidden": role("states.amazonaws.com"),
            "Role": role("lambda.amazonaws.com", may("s3:PutObject", "arn:aws:s3:::called/*")),
            "Function": function(PROBES),
            "Describing": role("lambda.amazonaws.com", may("states:DescribeExecution", {"Fn::Sub": executions})),
            "Describer": function(PROBES, role="Describing"),
            "Can": machine(CATCHING),
            "Cannot": machine(CATCHING, "Forbidden"),
            "FailingLater": machine(FAILING_LATER),
            "Long": machine(LONG),
        },
        {name: {"Ref": name} for name in ("Function", "Describer", "Can", "Cannot", "FailingLater", "Long")},
    )


@pytest.fixture
def start(region, stack):
    """Start an execution of a machine; its ARN."""
    states = region.client("stepfunctions")

    def start(machine, name=None, given="{}"):
        named = {"name": name} if name else {}
        return states.start_execution(stateMachineArn=stack[machine], input=given, **named)["executionArn"]

    return start


@pytest.fixture
def ended(region):
    """An execution, when it has ended."""
    states = region.client("stepfunctions")

    def ended(arn):
        return eventually(lambda: states.describe_execution(executionArn=arn), lambda e: e["status"] != "RUNNING")

    return ended


@pytest.fixture
def invoke(region, stack):
    def invoke(name, **event):
        answer = region.client("lambda").invoke(FunctionName=stack[name], Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    return invoke


def test_catch_matches_the_class_of_an_exception(start, ended):
    execution = ended(start("Can"))
    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", "caught")


def test_a_machine_invokes_only_what_its_role_allows(start, ended):
    execution = ended(start("Cannot"))
    assert (execution["status"], execution["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "is not authorized to perform: lambda:InvokeFunction" in execution["cause"]


def test_a_stopped_execution_does_nothing_more_even_inside_a_map(region, start, ended):
    states, s3 = region.client("stepfunctions"), region.client("s3")
    stopped = start("FailingLater", "stopped", "[1]")
    eventually(
        lambda: states.get_execution_history(executionArn=stopped)["events"],
        lambda events: events[-1]["type"] == "MapStateEntered",
    )
    states.stop_execution(executionArn=stopped)
    assert ended(start("FailingLater", "left-alone", "[1]"))["status"] == "FAILED"
    time.sleep(1)  # the stopped one has woken up before, and nothing tells when it would have invoked the function
    called = [each["Key"] for each in s3.list_objects_v2(Bucket="called")["Contents"]]
    assert [name for name in called if name in ("stopped", "left-alone")] == ["left-alone"]
    assert ended(stopped)["status"] == "ABORTED"


def test_an_execution_has_no_more_time_than_its_machine_grants(start, ended):
    assert ended(start("Long"))["status"] == "TIMED_OUT"


def test_a_function_describes_the_executions_that_its_role_names(start, invoke):
    assert invoke("Describer", do="describe", execution=start("Long")) in ("RUNNING", "TIMED_OUT")
    assert invoke("Describer", do="describe", execution=start("Can"))["errorType"] == "ClientError"
