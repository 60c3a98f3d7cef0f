import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest

from flowlag.errors import InvalidRequest
from flowlag_aws import clients
from flowlag_aws.claims import SenderBusy
from flowlag_aws.store import CLAIMS, Store
from functions.plan_run import RunExists
from tests.functions.events import load
from tests.functions.run import ARM, NOON, PLAN, REGION, Json, execution, instant
from tests.functions.stack import STATES, Cloud

type SetClock = Callable[..., None]
type Launch = Callable[..., Mapping[str, Json]]

CLAIM = "control/claims/{}.json"
OWN_TARGET = {"TargetAddress": "192.168.7.20", "ProbePort": "9999"}
TWO_SENDERS = {"SenderInstanceType": "t2.micro", "SecondSenderInstanceType": "t3.micro"}


@pytest.fixture(autouse=True)
def clock(at: SetClock) -> None:
    at(instant(NOON))


@pytest.fixture
def launch(cloud: Cloud) -> Launch:
    """Launch the stack's instances, the senders of the given types; returns them as EC2 describes them."""

    def launch(*sender_types: str) -> Mapping[str, Json]:
        ec2 = clients.ec2()
        vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24", AvailabilityZone=f"{REGION}a")
        kinds = {"TargetInstance": ("t4g.nano", PLAN.target_address)}
        for number, kind in enumerate(sender_types or ("t2.micro",)):
            kinds["SecondSenderInstance" if number else "SenderInstance"] = (kind, f"10.99.0.1{number}")
        instances = {}
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
        return instances

    return launch


def plan(cloud: Cloud, **changed: Any) -> Any:
    return cloud.invoke("plan_run", load("plan_run") | changed)


def run_of(name: str) -> Json:
    """A run by the name of its execution, as most are."""
    return {"run_id": name, "execution": execution(name)}


# ---------------------------------------------------------------- the plan
def test_a_run_is_planned_from_its_request_and_its_site(cloud: Cloud, launch: Launch) -> None:
    instances = launch()
    assert plan(cloud) == {"arms": [ARM], "traffic_s": 60, "poll_interval_s": 30, "drain_s": 1_500}
    zones = boto3.client("ec2").describe_availability_zones(ZoneNames=[f"{REGION}a"])["AvailabilityZones"]
    sender, target = instances["SenderInstance"], instances["TargetInstance"]
    assert cloud.store.plan(PLAN.run_id) == replace(
        PLAN,
        az_id=zones[0]["ZoneId"],
        sender_instance_id=sender["InstanceId"],
        target_instance_id=target["InstanceId"],
        interface_id=sender["NetworkInterfaces"][0]["NetworkInterfaceId"],
        subnet_id=sender["SubnetId"],
        vpc_id=sender["VpcId"],
    )
    assert sorted(cloud.objects()) == [CLAIM.format(sender["InstanceId"]), f"control/{PLAN.run_id}/plan.json"]


def test_the_state_machine_carries_the_whole_answer(cloud: Cloud, launch: Launch) -> None:
    launch()
    assert {f"{name}.$": f"$.Payload.{name}" for name in plan(cloud)} == STATES["PlanRun"]["ResultSelector"]


@pytest.mark.parametrize(
    ("kind", "hypervisor"), [("t2.micro", "xen"), ("t3.micro", "nitro"), ("t4g.nano", "nitro")]
)
def test_the_hypervisor_is_that_of_the_senders_type(
    cloud: Cloud, launch: Launch, kind: str, hypervisor: str
) -> None:
    launch(kind)
    plan(cloud)
    planned = cloud.store.plan(PLAN.run_id)
    assert (planned.instance_type, planned.hypervisor) == (kind, hypervisor)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"request": {"rate": 11}}, "rate is a whole number from 1 to 10, not 11"),
        ({"request": {"traffic_s": -1}}, "traffic_s is a whole number from 1 to 86400, not -1"),
        ({"request": {"drain_s": "long"}}, "drain_s is a whole number from 1 to 7200, not 'long'"),
        ({"request": {"duration": 60}}, "a run has no setting 'duration'; it has arms, burst_gap_s, drain_s"),
        ({"request": {"arms": []}}, "a run has one arm or more, and no two alike"),
        ({"request": {"arms": [{"destination": "s4"}]}}, "an arm's destination is one of cloud-watch-logs, s3"),
        ({"request": {"arms": [{"to": "s3"}]}}, "arms is a list of objects with destination, aggregation_interval"),
        ({"request": {"arms": [{"aggregation_interval_s": 61}]}}, "aggregation_interval_s is 60 or 600, not 61"),
        ({"request": []}, "a request is an object of settings, not []"),
        ({"run_id": "a/b"}, "a run id is 1 to 64 letters, digits, '-' or '_', not 'a/b'"),
        ({"run_id": "a" * 65}, "a run id is 1 to 64 letters, digits, '-' or '_', not 'aaaa"),
        ({"request": {"experiment": "mine"}}, "there is no experiment 'mine'; there are default, s3-layouts"),
        ({"request": {"experiment": "../default"}}, "there is no experiment '../default'; there are "),
        ({"request": {"experiment": ["default"]}}, "there is no experiment ['default']; there are "),
        (
            {"request": {"experiment": "default", "rate": 0}},
            "experiment 'default': rate is a whole number from 1 to",
        ),
        ({"request": {"sender": "nitro"}}, "this stack has no sender on nitro: its SenderInstanceTypes decide"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_in_a_sentence_and_leaves_nothing(
    cloud: Cloud, launch: Launch, changed: Json, sentence: str
) -> None:
    launch()
    with pytest.raises(InvalidRequest) as refused:
        plan(cloud, **changed)
    assert sentence in str(refused.value)
    assert cloud.objects() == {}


def test_nobody_need_ask_for_anything(cloud: Cloud, launch: Launch) -> None:
    launch()
    answer = plan(cloud, request={})
    assert (answer["arms"], answer["traffic_s"]) == ([ARM], 10_800)


# ---------------------------------------------------------------- an experiment by its name
def test_an_experiment_is_planned_by_its_name(cloud: Cloud, launch: Launch) -> None:
    launch()
    answer = plan(cloud, request={"experiment": "default"})
    assert answer["arms"] == ["cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600"]
    planned = cloud.store.plan(PLAN.run_id)
    assert planned.request.experiment == "default"
    assert [planned.level(arm) for arm in planned.arms] == ["interface", "interface", "subnet", "subnet"]


def test_settings_go_over_those_of_the_experiment(cloud: Cloud, launch: Launch) -> None:
    launch()
    answer = plan(cloud, request={"experiment": "s3-layouts", "traffic_s": 5, "drain_s": 7})
    assert (len(answer["arms"]), answer["traffic_s"], answer["drain_s"]) == (4, 5, 7)
    assert cloud.store.plan(PLAN.run_id).request.experiment == "s3-layouts"


@pytest.mark.parametrize("parameters", [TWO_SENDERS | {"Experiment": "s3-layouts"}], ids=["two senders"])
@pytest.mark.parametrize(
    ("schedule", "hypervisor", "prefix"),
    [("FirstSender", "xen", REGION), ("SecondSender", "nitro", f"{REGION}-nitro")],
)
def test_a_schedule_asks_for_what_can_be_run(
    cloud: Cloud, launch: Launch, schedule: str, hypervisor: str, prefix: str
) -> None:
    launch("t2.micro", "t3.micro")
    events = cloud.template.resource("BenchmarkStateMachine")["Events"]
    asked = json.loads(cloud.template.resolve(events[schedule]["Properties"]["Input"]))
    assert (asked["scheduled_at"], asked["run_prefix"]) == ("<aws.scheduler.scheduled-time>", prefix)
    plan(cloud, request=asked["request"])
    planned = cloud.store.plan(PLAN.run_id)
    assert (planned.request.experiment, planned.hypervisor) == ("s3-layouts", hypervisor)


# ---------------------------------------------------------------- which sender
@pytest.mark.parametrize("parameters", [TWO_SENDERS], ids=["two senders"])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, "SenderInstance"), ({"sender": "xen"}, "SenderInstance"), ({"sender": "nitro"}, "SecondSenderInstance")],
    ids=str,
)
def test_of_two_senders_the_hypervisor_decides(cloud: Cloud, launch: Launch, asked: Json, expected: str) -> None:
    instances = launch("t2.micro", "t3.micro")
    plan(cloud, request=asked)
    planned, sender = cloud.store.plan(PLAN.run_id), instances[expected]
    assert (planned.sender_instance_id, planned.sender_address) == (
        sender["InstanceId"],
        sender["PrivateIpAddress"],
    )
    assert planned.interface_id == sender["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert planned.hypervisor == {"t2.micro": "xen", "t3.micro": "nitro"}[sender["InstanceType"]]


@pytest.mark.parametrize("parameters", [TWO_SENDERS], ids=["two senders"])
def test_two_senders_work_for_two_runs_at_once(cloud: Cloud, launch: Launch, start: Callable[[str], str]) -> None:
    launch("t2.micro", "t3.micro")
    for name, sender in (("one", "xen"), ("two", "nitro")):
        start(name)
        plan(cloud, **run_of(name), request={"sender": sender})
    assert len(cloud.objects("control/claims/")) == 2


# ---------------------------------------------------------------- a target of one's own
@pytest.mark.parametrize("parameters", [OWN_TARGET], ids=["own target"])
def test_somebodys_own_target_is_an_address_and_no_instance(cloud: Cloud, launch: Launch) -> None:
    launch()
    plan(cloud)
    planned = cloud.store.plan(PLAN.run_id)
    assert (planned.target_instance_id, planned.target_address, planned.target_port) == (
        None,
        "192.168.7.20",
        9_999,
    )
    assert not planned.is_captured


@pytest.mark.parametrize("parameters", [{"TargetAddress": "8.8.8.8"}], ids=["public"])
def test_a_public_target_is_refused_should_the_template_let_it_through(cloud: Cloud, launch: Launch) -> None:
    launch()
    with pytest.raises(InvalidRequest, match=r"the target's address is a private IPv4 address .* not 8\.8\.8\.8"):
        plan(cloud)
    assert cloud.objects() == {}


# ---------------------------------------------------------------- again
def test_the_same_execution_again_gets_the_same_plan(cloud: Cloud, launch: Launch, at: SetClock) -> None:
    launch()
    answer, objects = plan(cloud), cloud.objects()
    at(instant(NOON + 60))
    assert plan(cloud) == answer
    assert cloud.objects() == objects
    assert cloud.store.plan(PLAN.run_id).planned_at == instant(NOON)


def test_a_run_of_another_execution_is_left_alone(cloud: Cloud, launch: Launch) -> None:
    launch()
    plan(cloud)
    objects = cloud.objects()
    with pytest.raises(RunExists) as exists:
        plan(cloud, execution=execution("fired-twice"))
    assert str(exists.value) == f"run '{PLAN.run_id}' belongs to {PLAN.execution}"
    assert cloud.objects() == objects


def test_the_state_machine_cleans_up_after_every_failure_but_that_of_a_run_that_is_not_its_own() -> None:
    first, second = STATES["PlanRun"]["Catch"]
    assert (first["ErrorEquals"], STATES[first["Next"]]["Type"]) == ([RunExists.__name__], "Fail")
    assert (second["ErrorEquals"], second["Next"]) == (["States.ALL"], "SummarizeFailedRun")


# ---------------------------------------------------------------- one run at a time
def claimed_by(cloud: Cloud) -> Any:
    (claim,) = cloud.objects("control/claims/").values()
    return json.loads(claim)


def test_a_sender_that_works_for_a_living_run_is_busy(
    cloud: Cloud, launch: Launch, start: Callable[[str], str]
) -> None:
    instances = launch()
    start("one")
    plan(cloud, **run_of("one"))
    with pytest.raises(SenderBusy) as busy:
        plan(cloud, **run_of("two"))
    assert str(busy.value) == (
        f"{instances['SenderInstance']['InstanceId']} works for run 'one', which has not ended: start "
        "this one later, or make the schedule's rate longer than a run"
    )
    assert claimed_by(cloud) == run_of("one")


def test_a_sender_whose_run_has_ended_is_free(cloud: Cloud, launch: Launch, abort: Callable[[str], str]) -> None:
    launch()
    plan(cloud, **run_of("one"))
    abort("one")
    plan(cloud, **run_of("two"))
    assert claimed_by(cloud) == run_of("two")


@pytest.mark.usefixtures("start")
def test_a_sender_whose_run_is_long_forgotten_is_free(cloud: Cloud, launch: Launch) -> None:
    launch()
    for name in ("one", "two"):  # executions that Step Functions knows nothing of
        plan(cloud, **run_of(name))
    assert claimed_by(cloud) == run_of("two")


@pytest.mark.usefixtures("start")
def test_of_two_runs_that_want_a_free_sender_one_gets_it(
    cloud: Cloud, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch()
    plan(cloud, **run_of("ended"))
    get = Store.get_with_etag

    def get_and_be_slow(store: Store, key: str) -> tuple[bytes, str]:
        found = get(store, key)
        if key.startswith(CLAIMS):
            store.replace(key, json.dumps(run_of("fast")).encode(), found[1])
        return found

    monkeypatch.setattr(Store, "get_with_etag", get_and_be_slow)  # between look and claim, somebody is faster
    with pytest.raises(SenderBusy, match="works for run 'fast'"):
        plan(cloud, **run_of("slow"))
    assert claimed_by(cloud) == run_of("fast")
