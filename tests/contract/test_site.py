import json
from collections.abc import Sequence

import boto3
import pytest

from flowlag.errors import InvalidRequest
from flowlag.plan import Site
from flowlag_aws import clients
from flowlag_aws.site import describe_site
from tests.contract.clouds import REGION, Cloud

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "hypervisor"), [("t2.micro", "xen"), ("t3.micro", "nitro"), ("t4g.nano", "nitro")]
)
def test_a_site_is_described_as_it_is(aws: Cloud, unique: str, kind: str, hypervisor: str) -> None:
    assert aws
    (sender,), target = launch(unique, kind)
    site = described([sender], target=target)
    ec2 = clients.ec2()
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[site.interface_id])["NetworkInterfaces"]
    zone = interface["AvailabilityZone"]
    (described_zone,) = ec2.describe_availability_zones(ZoneNames=[zone])["AvailabilityZones"]
    assert (site.source, site.region, site.target_port) == ("local", REGION, 7777)
    assert (site.instance_type, site.hypervisor) == (kind, hypervisor)
    assert site.az_id == described_zone["ZoneId"]
    assert (site.sender_instance_id, site.target_instance_id) == (sender, target)
    assert interface["Attachment"]["InstanceId"] == sender
    assert (site.subnet_id, site.vpc_id) == (interface["SubnetId"], interface["VpcId"])
    assert (site.sender_address, site.target_address) == ("10.99.0.10", "10.99.0.20")


def test_of_two_senders_the_hypervisor_decides_and_else_the_first(aws: Cloud, unique: str) -> None:
    assert aws
    (xen, nitro), target = launch(unique, "t2.micro", "t3.micro")
    for senders, hypervisor, expected in (
        ([xen, nitro], None, xen),
        ([nitro, xen], None, nitro),
        ([xen, nitro], "nitro", nitro),
        ([nitro, xen], "xen", xen),
    ):
        assert described(senders, hypervisor, target).sender_instance_id == expected
    with pytest.raises(InvalidRequest, match="this stack has no sender on xen: its SenderInstanceTypes decide"):
        described([nitro], "xen", target)


def test_somebodys_own_target_is_only_an_address(aws: Cloud, unique: str) -> None:
    assert aws
    (sender,), _ = launch(unique, "t3.micro")
    site = described([sender])
    assert (site.target_instance_id, site.target_address) == (None, "10.99.0.20")


def described(senders: Sequence[str], hypervisor: str | None = None, target: str | None = None) -> Site:
    return describe_site(
        source="local", senders=senders, hypervisor=hypervisor, target=target, address="10.99.0.20", port=7777
    )


def launch(stack: str, *kinds: str) -> tuple[list[str], str]:
    """Launch senders of these types and a target as the template does; return their ids."""
    instance = {"ImageId": "ami-12c6146b", "SubnetId": {"Ref": "Subnet"}}
    senders = {f"Sender{number}": (f"10.99.0.1{number}", kind) for number, kind in enumerate(kinds)}
    instances = senders | {"Target": ("10.99.0.20", "t4g.nano")}
    resources = {
        "Vpc": ("AWS::EC2::VPC", {"CidrBlock": "10.99.0.0/24"}),
        "Subnet": ("AWS::EC2::Subnet", {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.99.0.0/24"}),
        **{
            name: ("AWS::EC2::Instance", instance | {"InstanceType": kind, "PrivateIpAddress": address})
            for name, (address, kind) in instances.items()
        },
    }
    body = {"Resources": {name: {"Type": kind, "Properties": given} for name, (kind, given) in resources.items()}}
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(body))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    physical = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    }
    return [physical[name] for name in senders], physical["Target"]
