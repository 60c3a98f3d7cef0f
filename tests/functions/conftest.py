"""The functions on moto, in this process, with what they need of a stack."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import patch

import boto3
import pytest
from botocore.client import BaseClient
from botocore.stub import Stubber
from moto import mock_aws

from flowlag.plan import RunPlan
from flowlag_aws import clients, clock
from tests.functions.run import PLAN, REGION
from tests.functions.stack import BUCKET, Cloud, Guard, Template


@pytest.fixture(scope="module")
def template() -> Template:
    return Template()


@pytest.fixture(scope="module")
def guard(template: Template) -> Iterator[Guard]:
    """The functions' AWS clients, made once a module: that takes longer than a test."""
    guard = Guard(template)
    session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name=REGION)
    session.events.register("before-parameter-build", guard)
    forget_clients()
    with patch.object(boto3, "DEFAULT_SESSION", session):
        yield guard
    forget_clients()


def forget_clients() -> None:
    for client in (clients.ec2, clients.logs, clients.s3, clients.ssm):
        client.cache_clear()


@pytest.fixture
def cloud(template: Template, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account with the stack's bucket in it, and nothing else."""
    with mock_aws(config={"core": {"reset_boto3_session": False, "mock_credentials": False}}):
        clients.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield Cloud(template, guard, monkeypatch)


@pytest.fixture
def planned(cloud: Cloud) -> RunPlan:
    """The run, planned: its plan is in the bucket."""
    cloud.store.put_plan(PLAN)
    return PLAN


@pytest.fixture
def on_an_interface(cloud: Cloud) -> RunPlan:
    """The run, planned on an interface that the account really has."""
    ec2 = clients.ec2()
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    plan = replace(PLAN, interface_id=interface)
    cloud.store.put_plan(plan)
    return plan


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
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the functions' clock to these instants in microseconds, one a reading; the last one stays."""

    def set_clock(*instants: int) -> None:
        ahead = list(instants)
        monkeypatch.setattr(clock, "time_ns", lambda: (ahead.pop(0) if len(ahead) > 1 else ahead[0]) * 1_000)

    return set_clock
