"""Several regions at one endpoint: each has its own resources, network and flow-log service."""

import json

import pytest

from local.cloud.region import Region
from tests.local.stacks import VPC, create_of, eventually, function, instance, may, role

pytestmark = pytest.mark.slow

HOME, SATELLITE = "us-east-1", "eu-west-1"
REGIONS = (HOME, SATELLITE)

WHERE = """
import os
import boto3

def handler(event, context):
    if "bucket" in event:
        home = boto3.client("s3", region_name=event["in"])
        home.put_object(Bucket=event["bucket"], Key=os.environ["AWS_REGION"], Body=b"")
    return {
        "environment": [os.environ["AWS_REGION"], os.environ["AWS_DEFAULT_REGION"]],
        "session": boto3.Session().region_name,
        "bus": boto3.client("events").describe_event_bus()["Arn"],
        "function": context.invoked_function_arn,
    }
"""
SEND = """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"here", ("10.99.0.20", int("$SSM_Port")))
"""
TEMPLATE = {
    "Resources": {
        **VPC,
        "InstanceRole": role("ec2.amazonaws.com"),
        "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "InstanceRole"}]}},
        "Sender": instance("sender", PrivateIpAddress="10.99.0.10", IamInstanceProfile={"Ref": "Profile"}),
        "Document": {
            "Type": "AWS::SSM::Document",
            "Properties": {
                "Content": {
                    "schemaVersion": "2.2",
                    "parameters": {
                        "Port": {
                            "type": "String",
                            "interpolationType": "ENV_VAR",
                            "allowedPattern": "^[0-9]+$",
                        }
                    },
                    "mainSteps": [
                        {
                            "action": "aws:runShellScript",
                            "name": "send",
                            "inputs": {"runCommand": ["set -eu", f'python3 -c "{SEND.replace(chr(34), chr(39))}"']},
                        }
                    ],
                }
            },
        },
        "Role": role("lambda.amazonaws.com", may(["s3:PutObject", "events:DescribeEventBus"])),
        "Function": function(WHERE, FunctionName="same"),
        "Bucket": {"Type": "AWS::S3::Bucket"},
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("Sender", "Document", "Function", "Bucket")},
}


@pytest.fixture(scope="module")
def region():
    with Region(region=HOME, also=[SATELLITE], time_scale=60) as region:
        yield region


@pytest.fixture(scope="module")
def stacks(region):
    return {where: create_of(region, "same", TEMPLATE, where) for where in REGIONS}


@pytest.mark.parametrize("where", REGIONS)
def test_a_function_is_in_its_own_region(region, stacks, where):
    told = invoke(region, where, stacks)
    assert told["environment"] == [where, where]
    assert told["session"] == where
    assert told["bus"] == f"arn:aws:events:{where}:000000000000:event-bus/default"
    assert told["function"] == f"arn:aws:lambda:{where}:000000000000:function:same"


def test_a_function_reaches_a_bucket_of_another_region(region, stacks):
    bucket = stacks[HOME]["Bucket"]
    invoke(region, SATELLITE, stacks, **{"bucket": bucket, "in": HOME})
    listed = region.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in listed] == [SATELLITE]


def invoke(region, where, stacks, **event):
    answer = region.client("lambda", where).invoke(
        FunctionName=stacks[where]["Function"], Payload=json.dumps(event)
    )
    return json.loads(answer["Payload"].read())


def test_the_sender_of_a_region_sends_on_its_own_network(region, stacks):
    if region.network != "namespaces":
        pytest.skip(f"there is no network: {region.reason}")
    for port, where in enumerate(REGIONS, start=5001):
        ssm, stack = region.client("ssm", where), stacks[where]
        command = ssm.send_command(
            DocumentName=stack["Document"], InstanceIds=[stack["Sender"]], Parameters={"Port": [str(port)]}
        )["Command"]["CommandId"]
        look = {"CommandId": command, "InstanceId": stack["Sender"]}
        done = eventually(
            lambda ssm=ssm, look=look: ssm.get_command_invocation(**look),
            lambda invocation: invocation["Status"] not in ("Pending", "InProgress"),
        )
        assert done["Status"] == "Success", done["StandardErrorContent"]
    seen = {where: eventually(lambda where=where: seen_by(region.service_logs[where]), len) for where in REGIONS}
    assert seen == {HOME: {5001}, SATELLITE: {5002}}


def seen_by(log):
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return {
        event["dstport"] for event in events if event["event"] == "captured" and event["dstport"] in (5001, 5002)
    }


def test_the_log_of_the_first_is_the_regions_own(region):
    assert list(region.service_logs) == list(REGIONS)
    assert region.service_log == region.service_logs[HOME]
