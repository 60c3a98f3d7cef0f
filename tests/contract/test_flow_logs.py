import json
from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError

from flowlag.plan import Arm, RunPlan
from flowlag_aws import clients
from flowlag_aws.clock import now
from flowlag_aws.flow_logs import FlowLogRefused, create_flow_log, delete_flow_logs, describe_site, find_flow_logs
from tests.contract.clouds import ONLY_MINISTACK, REGION, Cloud
from tests.functions.run import PLAN

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::000000000000:role/deliver"


@pytest.fixture(scope="module")
def subnet(aws: Cloud) -> str:
    assert aws
    vpc = clients.ec2().create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    return clients.ec2().create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]


@pytest.fixture
def plan(subnet: str, unique: str) -> RunPlan:
    """A run on an interface of its own."""
    interface = clients.ec2().create_network_interface(SubnetId=subnet)["NetworkInterface"]
    return replace(PLAN, run_id=unique, interface_id=interface["NetworkInterfaceId"])


@pytest.fixture
def create(plan: RunPlan) -> Callable[..., str]:
    """Create the run's flow log in a log group of this name, and return its id."""

    def create(group: str, arm: Arm | None = None, of: RunPlan = plan) -> str:
        creation = create_flow_log(of, arm or Arm(), log_group=group, role_arn=ROLE, owner="arn:execution")
        return creation["flow_log_id"]

    return create


def describe(flow_log_id: str) -> dict[str, object]:
    (flow_log,) = clients.ec2().describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
    return flow_log


# ---------------------------------------------------------------- create
def test_a_flow_log_is_what_was_asked_for(plan: RunPlan, unique: str) -> None:
    clients.logs().create_log_group(logGroupName=unique)
    creation = create_flow_log(plan, Arm(), log_group=unique, role_arn=ROLE, owner="arn:execution")
    flow_log = describe(creation["flow_log_id"])
    assert flow_log["ResourceId"] == plan.interface_id
    assert flow_log["TrafficType"] == "ALL"
    assert flow_log["LogDestinationType"] == "cloud-watch-logs"
    assert flow_log["LogGroupName"] == creation["log_group"] == unique
    assert flow_log["DeliverLogsPermissionArn"] == ROLE
    assert flow_log["DeliverLogsStatus"] == "SUCCESS"
    assert flow_log["LogFormat"] == plan.log_format
    assert flow_log["MaxAggregationInterval"] == 600
    assert flow_log["FlowLogStatus"] == "ACTIVE"
    assert {tag["Key"]: tag["Value"] for tag in flow_log["Tags"]} == {
        "flowlag:run-id": plan.run_id,
        "flowlag:execution": "arn:execution",
    }


def test_the_three_clocks_agree(aws: Cloud, plan: RunPlan, unique: str) -> None:
    before = now()
    creation = create_flow_log(plan, Arm(), log_group=unique, role_arn=ROLE, owner="arn:execution")
    after = now()
    assert before <= creation["t0_before_call"] <= creation["t0_after_call"] <= after
    resolution = 1_000_000 if aws.is_moto else 1_000  # moto's has whole seconds, AWS's milliseconds
    assert creation["t0_before_call"] - resolution < creation["t0_service"] <= creation["t0_after_call"]


def test_the_same_arm_asked_for_again_is_the_same_flow_log(
    aws: Cloud, create: Callable[..., str], unique: str
) -> None:
    first = create(unique)
    if aws.is_moto:  # it knows no ClientToken; AWS answers by the flow log of the first request
        with pytest.raises(ClientError, match="FlowLogAlreadyExists"):
            create(unique)
    else:
        assert create(unique) == first
    assert find_flow_logs(unique) == [first]


def test_two_arms_of_a_run_are_two_flow_logs(create: Callable[..., str], unique: str) -> None:
    ids = [create(f"{unique}/{interval}", Arm(aggregation_interval_s=interval)) for interval in (60, 600)]
    assert [describe(each)["MaxAggregationInterval"] for each in ids] == [60, 600]
    assert sorted(find_flow_logs(unique)) == sorted(ids)


@ONLY_MINISTACK  # moto has no quota, and so no Unsuccessful for an interface
def test_an_interface_that_has_two_flow_logs_gets_no_third(
    create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    for number in range(2):
        create(f"{unique}/{number}", of=replace(plan, run_id=f"{unique}-{number}"))
    with pytest.raises(
        FlowLogRefused, match=rf"create a flow log \({plan.interface_id}\): FlowLogsLimitExceeded: "
    ):
        create(f"{unique}/2")
    assert find_flow_logs(unique) == []


def test_an_interface_that_is_not_there_is_an_error(
    aws: Cloud, create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    # MiniStack with our seam answers it in Unsuccessful, moto by an error; AWS documents both for other resources.
    refusal = ClientError if aws.is_moto else FlowLogRefused
    with pytest.raises(refusal, match=r"InvalidNetworkInterfaceID\.NotFound"):
        create(unique, of=replace(plan, interface_id="eni-0123456789abcdef0"))


def test_a_log_group_that_is_not_there_is_not_noticed(create: Callable[..., str], unique: str) -> None:
    # Why CreateFlowLog makes the group first: AWS creates the flow log all the same, and fails to deliver.
    assert describe(create(unique))["DeliverLogsStatus"] == "FAILED"


# ---------------------------------------------------------------- find and delete
def test_a_runs_flow_logs_are_deleted_and_no_others(create: Callable[..., str], plan: RunPlan, unique: str) -> None:
    others = [create(f"{unique}/other", of=replace(plan, run_id=f"{unique}-2"))]
    ours = [create(f"{unique}/ours")]
    assert delete_flow_logs(unique) == ours
    assert find_flow_logs(unique) == []
    assert find_flow_logs(f"{unique}-2") == others
    assert delete_flow_logs(unique) == []


@pytest.mark.usefixtures("aws")
def test_a_run_without_flow_logs_has_none(unique: str) -> None:
    assert find_flow_logs(unique) == []


# ---------------------------------------------------------------- the site
@pytest.mark.parametrize(
    ("kind", "hypervisor"), [("t2.micro", "xen"), ("t3.micro", "nitro"), ("t4g.nano", "nitro")]
)
def test_a_site_is_described_as_it_is(aws: Cloud, unique: str, kind: str, hypervisor: str) -> None:
    assert aws
    sender, target = launch(unique, kind)
    site = describe_site(source="local", sender=sender, target=target, target_port=7777)
    ec2 = clients.ec2()
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[site.interface_id])["NetworkInterfaces"]
    zone = interface["AvailabilityZone"]
    (described,) = ec2.describe_availability_zones(ZoneNames=[zone])["AvailabilityZones"]
    assert (site.source, site.region, site.target_port) == ("local", REGION, 7777)
    assert (site.instance_type, site.hypervisor) == (kind, hypervisor)
    assert site.az_id == described["ZoneId"]
    assert (site.sender_instance_id, site.target_instance_id) == (sender, target)
    assert interface["Attachment"]["InstanceId"] == sender
    assert (site.sender_address, site.target_address) == ("10.99.0.10", "10.99.0.20")


def launch(stack: str, kind: str) -> tuple[str, str]:
    """Launch a sender and a target as the template does; return their ids."""
    instance = {"ImageId": "ami-12c6146b", "SubnetId": {"Ref": "Subnet"}}
    resources = {
        "Vpc": ("AWS::EC2::VPC", {"CidrBlock": "10.99.0.0/24"}),
        "Subnet": ("AWS::EC2::Subnet", {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.99.0.0/24"}),
        "Sender": ("AWS::EC2::Instance", instance | {"InstanceType": kind, "PrivateIpAddress": "10.99.0.10"}),
        "Target": ("AWS::EC2::Instance", instance | {"InstanceType": "t4g.nano", "PrivateIpAddress": "10.99.0.20"}),
    }
    body = {"Resources": {name: {"Type": kind, "Properties": given} for name, (kind, given) in resources.items()}}
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(body))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    physical = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    }
    return physical["Sender"], physical["Target"]
