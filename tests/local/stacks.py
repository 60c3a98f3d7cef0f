"""Small stacks on the embedded AWS, for the tests of what it does with them."""

import io
import json
import time
import zipfile

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"

VPC = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.99.0.0/24"}},
    "Subnet": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.99.0.0/24", "MapPublicIpOnLaunch": True},
    },
}


def role(service, *statements):
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policies = [{"PolicyName": "may", "PolicyDocument": policy}] if statements else []
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": policies,
        },
    }


def may(actions, resources="*", **condition):
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def function(source, role="Role", **properties):
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": [role, "Arn"]},
            "Code": {"ZipFile": source},
            **properties,
        },
    }


def instance(role_tag, **properties):
    return {
        "Type": "AWS::EC2::Instance",
        "Properties": {
            "ImageId": "{{resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64}}",
            "InstanceType": "t4g.nano",
            "SubnetId": {"Ref": "Subnet"},
            "Tags": [{"Key": "flowlag:role", "Value": role_tag}],
            **properties,
        },
    }


def create(region, name, resources, outputs):
    """Create a stack and return what each of `outputs`, a Ref or GetAtt, resolves to."""
    template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
    return create_of(region, name, template)


def create_of(region, name, template, where=None, **parameters):
    """Create a stack of a whole template, in the region that is named, and return its outputs."""
    cloudformation = region.client("cloudformation", where)
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    (stack,) = eventually(
        lambda: cloudformation.describe_stacks(StackName=name)["Stacks"],
        lambda stacks: stacks[0]["StackStatus"] != "CREATE_IN_PROGRESS",
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", reasons(cloudformation, name)
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def reasons(cloudformation, name):
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return [event["ResourceStatusReason"] for event in events if "ResourceStatusReason" in event]


def eventually(look, is_right, within_s=60):
    """What `look` finds as soon as it is right; the last that it found when it never is."""
    deadline = time.monotonic() + within_s
    while not is_right(found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def delete(region, name, where=None):
    """Delete a stack; its status at the end, and the reasons of this deletion's events."""
    cloudformation = region.client("cloudformation", where)
    stack_id = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    before = len(cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"])
    cloudformation.delete_stack(StackName=name)

    def new_events():
        events = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
        return events[: len(events) - before]

    events = eventually(
        new_events,
        lambda events: any(
            event["PhysicalResourceId"] == stack_id
            and event["ResourceStatus"] in ("DELETE_COMPLETE", "DELETE_FAILED")
            for event in events
        ),
    )
    return events[0]["ResourceStatus"], [event.get("ResourceStatusReason") for event in events]


def zipped(**files):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name.replace('__', '/')}.py", text)
    return sink.getvalue()


def assumed(region, role_arn, service, name="test", **settings):
    """A client with the rights of a role; `settings` are of its botocore `Config`."""
    credentials = region.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)["Credentials"]
    return boto3.client(
        service,
        endpoint_url=region.endpoint,
        region_name=REGION,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=Config(**settings),
    )


def error_of(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        call(**parameters)
    return failure.value.response["Error"]["Code"]


def document(timeout_s):
    """The content of a document whose command does as it is told, and is killed after so many seconds."""
    return {
        "schemaVersion": "2.2",
        "parameters": {
            "What": {"type": "String", "interpolationType": "ENV_VAR", "allowedPattern": "^[a-z]+$"},
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "do",
                "inputs": {
                    "timeoutSeconds": str(timeout_s),
                    "runCommand": [
                        "set -eu",
                        "export AWS_DEFAULT_REGION=$AWS_SSM_REGION_NAME",
                        "BIND=\"import socket; socket.socket().bind(('10.99.0.10', 0)); print('mine')\"",
                        'case "$SSM_What" in',
                        'say) echo "said $SSM_What in $AWS_SSM_REGION_NAME"; echo complained >&2;;',
                        "fail) exit 3;;",
                        "sleep) sleep 60;;",
                        'address) python3 -c "$BIND";;',
                        "who) aws sts get-caller-identity --query Arn --output text;;",
                        'home) touch "$FLOWLAG_HOME/here"; ls "$FLOWLAG_HOME"; echo "$PATH" | cut -d: -f2-;;',
                        "esac",
                    ],
                },
            }
        ],
    }


DOCUMENT, IMPATIENT = document(45), document(1)


def create_instances(region):
    """A stack with a sender that takes commands, one instance without a box, and one without a profile."""
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "InstanceRole"}]}}
    managed = {"IamInstanceProfile": {"Ref": "Profile"}}
    return create(
        region,
        "instances",
        {
            **VPC,
            "InstanceRole": role("ec2.amazonaws.com"),
            "Profile": profile,
            "Sender": instance("sender", PrivateIpAddress="10.99.0.10", InstanceType="t3.micro", **managed),
            "Other": instance("other", **managed),
            "Unprofiled": instance("target", PrivateIpAddress="10.99.0.20"),
            **{
                name: {"Type": "AWS::SSM::Document", "Properties": {"DocumentType": "Command", "Content": content}}
                for name, content in (("Document", DOCUMENT), ("Impatient", IMPATIENT))
            },
        },
        {
            **{
                name: {"Ref": name}
                for name in ("Subnet", "Vpc", "Sender", "Other", "Unprofiled", "Document", "Impatient")
            },
            "InstanceRole": {"Ref": "InstanceRole"},
            "Address": {"Fn::GetAtt": ["Sender", "PrivateIp"]},
            "Public": {"Fn::GetAtt": ["Sender", "PublicIp"]},
        },
    )


def described_instance(region, instance_id):
    (reservation,) = region.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    (described,) = reservation["Instances"]
    return described
