from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest

from flowlag.errors import InvalidRequest
from flowlag_aws import clients
from tests.functions.events import load
from tests.functions.run import ARM, NOON, PLAN, REGION, Json, instant
from tests.functions.stack import Cloud

type SetClock = Callable[..., None]


@pytest.fixture(autouse=True)
def clock(at: SetClock) -> None:
    at(instant(NOON))


@pytest.fixture
def launch(cloud: Cloud) -> Callable[[str], Json]:
    """Launch the stack's two instances, the sender of the given type; return the sender as EC2 describes it."""

    def launch(sender_type: str) -> Json:
        ec2 = clients.ec2()
        vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24", AvailabilityZone=f"{REGION}a")
        instances = {}
        kinds = {
            "SenderInstance": (sender_type, PLAN.sender_address),
            "TargetInstance": ("t4g.nano", PLAN.target_address),
        }
        for logical_id, (kind, address) in kinds.items():
            (instances[logical_id],) = ec2.run_instances(
                ImageId="ami-12c6146b",
                InstanceType=kind,
                SubnetId=subnet["Subnet"]["SubnetId"],
                PrivateIpAddress=address,
                MinCount=1,
                MaxCount=1,
            )["Instances"]
            cloud.template.values[logical_id] = instances[logical_id]["InstanceId"]
        return instances["SenderInstance"]

    return launch


def test_a_run_is_planned_from_its_request_and_its_site(cloud: Cloud, launch: Callable[[str], Json]) -> None:
    sender = launch("t2.micro")
    assert cloud.invoke("plan_run", load("plan_run")) == {
        "arms": [ARM],
        "traffic_s": 60,
        "poll_interval_s": 30,
        "drain_s": 1_500,
    }
    zones = boto3.client("ec2").describe_availability_zones(ZoneNames=[f"{REGION}a"])["AvailabilityZones"]
    assert cloud.store.plan(PLAN.run_id) == replace(
        PLAN,
        az_id=zones[0]["ZoneId"],
        sender_instance_id=cloud.template.values["SenderInstance"],
        target_instance_id=cloud.template.values["TargetInstance"],
        interface_id=sender["NetworkInterfaces"][0]["NetworkInterfaceId"],
    )
    assert list(cloud.objects()) == [f"control/{PLAN.run_id}/plan.json"]


@pytest.mark.parametrize(
    ("kind", "hypervisor"), [("t2.micro", "xen"), ("t3.micro", "nitro"), ("t4g.nano", "nitro")]
)
def test_the_hypervisor_is_that_of_the_senders_type(
    cloud: Cloud, launch: Callable[[str], Json], kind: str, hypervisor: str
) -> None:
    launch(kind)
    cloud.invoke("plan_run", load("plan_run"))
    plan = cloud.store.plan(PLAN.run_id)
    assert (plan.instance_type, plan.hypervisor) == (kind, hypervisor)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"request": {"rate": 11}}, "rate is a whole number from 1 to 10, not 11"),
        ({"request": {"traffic_s": -1}}, "traffic_s is a whole number from 1 to 86400, not -1"),
        ({"request": {"drain_s": "long"}}, "drain_s is a whole number from 1 to 7200, not 'long'"),
        ({"request": {"duration": 60}}, "a run has no setting 'duration'; it has arms, burst_gap_s, drain_s"),
        ({"request": {"arms": []}}, "a run has one arm or more, and no two alike"),
        ({"request": {"arms": [{"destination": "s3"}]}}, "an arm's destination is 'cloud-watch-logs', not 's3'"),
        (
            {"request": {"arms": [{"to": "s3"}]}},
            "arms is a list of objects with destination and aggregation_interval",
        ),
        ({"request": {"arms": [{"aggregation_interval_s": 61}]}}, "aggregation_interval_s is 60 or 600, not 61"),
        ({"request": []}, "a request is an object of settings, not []"),
        ({"run_id": "a/b"}, "a run id is 1 to 64 letters, digits, '-' or '_', not 'a/b'"),
        ({"run_id": "a" * 65}, "a run id is 1 to 64 letters, digits, '-' or '_', not 'aaaa"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_in_a_sentence_and_leaves_nothing(
    cloud: Cloud, launch: Callable[[str], Json], changed: Json, sentence: str
) -> None:
    launch("t2.micro")
    with pytest.raises(InvalidRequest) as refused:
        cloud.invoke("plan_run", load("plan_run") | changed)
    assert sentence in str(refused.value)
    assert cloud.objects() == {}


def test_a_schedule_need_ask_for_nothing(cloud: Cloud, launch: Callable[[str], Json]) -> None:
    launch("t2.micro")
    answer = cloud.invoke("plan_run", load("plan_run") | {"request": {}})
    assert (answer["arms"], answer["traffic_s"]) == ([ARM], 10_800)
