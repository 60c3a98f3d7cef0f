import json

import boto3
import pytest
from botocore.exceptions import ClientError

from flowlag_aws import clients
from flowlag_aws.commands import CommandFailed, run_command
from tests.contract.clouds import ONLY_MINISTACK, ONLY_MOTO, Cloud

pytestmark = pytest.mark.slow

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
PARAMETER = {"type": "String", "interpolationType": "ENV_VAR"}
STACK = {
    "Resources": {
        "Document": {
            "Type": "AWS::SSM::Document",
            "Properties": {
                "Name": "traffic",
                "DocumentType": "Command",
                "DocumentFormat": "JSON",
                "Content": {
                    "schemaVersion": "2.2",
                    "description": "What the box answers is its own affair.",
                    "parameters": {"Action": PARAMETER, "RunId": PARAMETER | {"allowedPattern": "^[a-z0-9-]+$"}},
                    "mainSteps": [
                        {"action": "aws:runShellScript", "name": "traffic", "inputs": {"runCommand": ["true"]}}
                    ],
                },
            },
        },
    }
}


@pytest.fixture(scope="module")
def instances(aws: Cloud) -> tuple[str, str]:
    """An instance with an agent that has the document, and one without an agent."""
    assert aws
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName="documents", TemplateBody=json.dumps(STACK))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="documents", WaiterConfig={"Delay": 1})
    iam, ec2 = boto3.client("iam"), clients.ec2()
    iam.create_role(RoleName="instance", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.create_instance_profile(InstanceProfileName="instance")
    iam.add_role_to_instance_profile(InstanceProfileName="instance", RoleName="instance")
    ami = ec2.describe_images()["Images"][0]["ImageId"]
    launched = [
        ec2.run_instances(
            ImageId=ami,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": "instance"},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "flowlag:role", "Value": role}]},
            ],
        )["Instances"][0]["InstanceId"]
        for role in ("sender", "nobody")
    ]
    return launched[0], launched[1]


def order(instance: str, action: str, run_id: str = "run-1") -> str:
    return run_command("traffic", instance, {"Action": action, "RunId": run_id}, poll_s=0.05, timeout_s=60)


@ONLY_MINISTACK
def test_what_a_command_printed_is_its_answer(instances: tuple[str, str]) -> None:
    assert order(instances[0], "start-sending") == "did start-sending of run-1"


@ONLY_MINISTACK
def test_a_command_that_failed_is_told_by_its_last_line(instances: tuple[str, str]) -> None:
    with pytest.raises(CommandFailed) as failure:
        order(instances[0], "stop-sending")
    assert str(failure.value) == f"stop-sending on {instances[0]} ended as Failed: sender: the ledger is gone"


@ONLY_MINISTACK
def test_an_instance_without_an_agent_takes_no_command(instances: tuple[str, str]) -> None:
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        order(instances[1], "start-sending")


@ONLY_MINISTACK
def test_a_parameter_that_its_pattern_forbids_reaches_no_instance(instances: tuple[str, str]) -> None:
    with pytest.raises(ClientError, match="InvalidParameters"):
        order(instances[0], "start-sending", run_id="$(reboot)")


@ONLY_MOTO
def test_moto_runs_nothing_and_says_nothing(aws: Cloud) -> None:
    assert aws
    ec2 = clients.ec2()
    ami = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=ami, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    assert order(instance, "start-sending") == ""
