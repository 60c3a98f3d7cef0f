"""The functions on moto, in this process, with what they need of a stack."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from unittest.mock import patch

import boto3
import pytest
from botocore.client import BaseClient
from botocore.stub import Stubber
from moto import mock_aws

from flowlag.plan import RunPlan
from flowlag_aws import bundle, clients, clock, commands
from tests import moto_gaps
from tests.functions.remains import Remains
from tests.functions.run import ACCOUNT, MACHINE, PLAN, REGION, execution
from tests.functions.stack import Cloud, Guard, home_of
from tests.functions.systems_manager import SystemsManager
from tests.functions.template import WORK_BUCKET, Template


@pytest.fixture
def parameters() -> dict[str, str]:
    """The parameters that the stack was deployed with, where they are not the defaults."""
    return {}


@pytest.fixture
def template(parameters: dict[str, str]) -> Template:
    return Template(**parameters)


@pytest.fixture(scope="module")
def guarded_clients() -> Iterator[Guard]:
    """The functions' AWS clients, made once a module: that takes longer than a test."""
    guard = Guard()
    session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name=REGION)
    session.events.register("before-parameter-build", guard)
    forget_clients()
    with patch.object(boto3, "DEFAULT_SESSION", session):
        yield guard
    forget_clients()


@pytest.fixture
def guard(guarded_clients: Guard, template: Template) -> Guard:
    guarded_clients.template = template
    return guarded_clients


def forget_clients() -> None:
    for client in (clients.ec2, clients.logs, clients.s3, clients.ssm, clients.stepfunctions):
        client.cache_clear()


@pytest.fixture
def cloud(template: Template, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account with the stack's buckets in it, and nothing else."""
    moto_gaps.fill(monkeypatch.setattr)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # thousands of images, four times a test
    with mock_aws(config={"core": {"reset_boto3_session": False, "mock_credentials": False}}):
        for bucket, region in ((WORK_BUCKET, REGION), home_of(template)):
            create_bucket(bucket, region)
        yield Cloud(template, guard, monkeypatch)


def create_bucket(name: str, region: str) -> None:
    clients.s3(region).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})


@pytest.fixture
def planned(cloud: Cloud) -> RunPlan:
    """The run, planned: its plan is in the bucket."""
    cloud.store.put_plan(PLAN)
    return PLAN


@pytest.fixture
def on_an_interface(cloud: Cloud) -> RunPlan:
    """The run, planned on an interface that the account really has, and so with a subnet and a VPC."""
    ec2 = clients.ec2()
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    plan = replace(PLAN, interface_id=interface, subnet_id=subnet, vpc_id=vpc)
    cloud.template.values |= {"Subnet": subnet, "Vpc": vpc}
    cloud.store.put_plan(plan)
    return plan


@pytest.fixture
def decoder(cloud: Cloud) -> str:
    """The ARN of the decoder, which exists: nobody can subscribe what does not."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("decode_records.py", "")
    trust = {"Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}}
    role = boto3.client("iam").create_role(RoleName="decode", AssumeRolePolicyDocument=json.dumps(trust))
    arn = cloud.template.values["DecodeRecordsFunction.Arn"]
    boto3.client("lambda").create_function(
        FunctionName=arn.rpartition(":")[2],
        Runtime="python3.13",
        Handler="decode_records.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": code.getvalue()},
    )
    return arn


@pytest.fixture
def start(cloud: Cloud) -> Callable[[str], str]:
    """Start an execution of the stack's state machine by this name, which then runs; returns its ARN."""
    assert cloud  # it must be there
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}})
    machine = clients.stepfunctions().create_state_machine(
        name=MACHINE.rpartition(":")[2], definition=definition, roleArn=f"arn:aws:iam::{ACCOUNT}:role/benchmark"
    )["stateMachineArn"]
    assert machine == MACHINE

    def start(name: str) -> str:
        return clients.stepfunctions().start_execution(stateMachineArn=MACHINE, name=name)["executionArn"]

    return start


@pytest.fixture
def abort(start: Callable[[str], str]) -> Callable[[str], str]:
    """Abort an execution by its name, running or never started; returns its ARN."""

    def abort(name: str) -> str:
        arn = execution(name)
        with suppress(clients.stepfunctions().exceptions.ExecutionAlreadyExists):
            start(name)
        clients.stepfunctions().stop_execution(executionArn=arn)
        return arn

    return abort


@pytest.fixture
def remains(cloud: Cloud) -> Remains:
    return Remains(cloud)


@pytest.fixture
def stub(cloud: Cloud) -> Iterator[Callable[[BaseClient], Stubber]]:
    """Give a client scripted answers, each to the parameters that it must be asked with; all must be asked for."""
    assert cloud  # its clients are given
    stubbers: list[Stubber] = []

    def activate(client: BaseClient) -> Stubber:
        stubbers.append(Stubber(client))
        stubbers[-1].activate()
        return stubbers[-1]

    yield activate
    for each in stubbers:
        each.deactivate()
    for each in stubbers:
        each.assert_no_pending_responses()


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of the sender's code; here it is without scapy, which is large."""
    monkeypatch.setattr(bundle, "PACKAGES", ("flowlag", "sender"))
    return sha256(bundle.pack(bundle.PACKAGES)).hexdigest()


@pytest.fixture
def ssm(stub: Callable[..., Stubber], code: str, monkeypatch: pytest.MonkeyPatch) -> SystemsManager:
    monkeypatch.setattr(commands, "sleep", lambda _: None)  # waiting takes no time
    return SystemsManager(stub(clients.ssm()), code)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the functions' clock to these instants in microseconds, one a reading; the last one stays."""

    def set_clock(*instants: int) -> None:
        ahead = list(instants)
        monkeypatch.setattr(clock, "time_ns", lambda: (ahead.pop(0) if len(ahead) > 1 else ahead[0]) * 1_000)

    return set_clock
