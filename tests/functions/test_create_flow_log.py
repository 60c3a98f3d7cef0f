from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from flowlag.errors import InvalidRequest, RunStopped
from flowlag.plan import Arm, RunPlan, RunRequest
from flowlag_aws import clients
from flowlag_aws.clock import micros
from flowlag_aws.flow_logs import FlowLogRefused
from tests.functions.events import load
from tests.functions.iam import NotAllowed
from tests.functions.run import ARM, LOG_GROUP, NOON, PLAN, execution, instant
from tests.functions.stack import Cloud
from tests.functions.template import WORK_BUCKET

type SetClock = Callable[..., None]

BEFORE, AFTER = instant(NOON) + 100_000, instant(NOON) + 600_000


@pytest.fixture(autouse=True)
def clock(at: SetClock) -> None:
    at(BEFORE, AFTER)


def operations(cloud: Cloud) -> list[str]:
    return [operation for operation, _ in cloud.calls]


def plan_of(cloud: Cloud, plan: RunPlan, *arms: Arm, **changed: object) -> RunPlan:
    """Plan the run over, with these arms."""
    planned = replace(plan, request=RunRequest(arms=arms), **changed)  # type: ignore[arg-type]
    cloud.store.put_control(planned.run_id, "plan", planned.to_json())
    return planned


def create(cloud: Cloud, arm: Arm, run_id: str = PLAN.run_id) -> Any:
    return cloud.invoke("create_flow_log", load("create_flow_log") | {"run_id": run_id, "arm": arm.name})


# ---------------------------------------------------------------- the log group
@pytest.mark.usefixtures("on_an_interface")
def test_the_log_group_is_subscribed_before_the_flow_log_exists(cloud: Cloud, decoder: str) -> None:
    cloud.invoke("create_flow_log", load("create_flow_log"))
    in_order = ["CreateLogGroup", "PutRetentionPolicy", "PutSubscriptionFilter", "CreateFlowLogs"]
    assert [operation for operation in operations(cloud) if operation in in_order] == in_order
    (group,) = clients.logs().describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (LOG_GROUP, 14)
    assert clients.logs().list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"] == {
        "flowlag:run-id": PLAN.run_id
    }
    (subscription,) = clients.logs().describe_subscription_filters(logGroupName=LOG_GROUP)["subscriptionFilters"]
    assert (subscription["destinationArn"], subscription["filterPattern"]) == (decoder, "")


@pytest.mark.usefixtures("on_an_interface")
def test_there_is_no_flow_log_where_the_decoder_cannot_be_subscribed(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert "CreateFlowLogs" not in operations(cloud)
    assert clients.ec2().describe_flow_logs()["FlowLogs"] == []


# ---------------------------------------------------------------- the flow log
@pytest.mark.usefixtures("decoder")
def test_the_flow_log_watches_the_senders_interface_as_planned(cloud: Cloud, on_an_interface: RunPlan) -> None:
    creation = cloud.invoke("create_flow_log", load("create_flow_log"))
    (flow_log,) = clients.ec2().describe_flow_logs()["FlowLogs"]
    assert flow_log["FlowLogId"] == creation["flow_log_id"]
    assert flow_log["ResourceId"] == on_an_interface.interface_id
    assert flow_log["TrafficType"] == "ALL"
    assert flow_log["LogDestinationType"] == "cloud-watch-logs"
    assert flow_log["LogGroupName"] == creation["log_group"] == LOG_GROUP
    assert flow_log["DeliverLogsPermissionArn"] == cloud.template.values["FlowLogDeliveryRole.Arn"]
    assert flow_log["LogFormat"] == PLAN.log_format
    assert flow_log["MaxAggregationInterval"] == 600
    assert {tag["Key"]: tag["Value"] for tag in flow_log["Tags"]} == {
        "flowlag:run-id": PLAN.run_id,
        "flowlag:execution": PLAN.execution,
    }


@pytest.mark.usefixtures("on_an_interface", "decoder")
def test_t0_is_told_by_three_clocks_and_written_down(cloud: Cloud) -> None:
    creation = cloud.invoke("create_flow_log", load("create_flow_log"))
    (flow_log,) = clients.ec2().describe_flow_logs()["FlowLogs"]
    assert (creation["t0_before_call"], creation["t0_after_call"]) == (BEFORE, AFTER)
    assert creation["t0_service"] == micros(flow_log["CreationTime"])
    assert cloud.store.find_control(PLAN.run_id, f"{ARM}.creation") == creation


@pytest.mark.usefixtures("decoder")
def test_each_arm_has_its_own_log_group_and_flow_log(cloud: Cloud, on_an_interface: RunPlan) -> None:
    arms = (Arm(aggregation_interval_s=60), Arm(aggregation_interval_s=600))
    plan_of(cloud, on_an_interface, *arms)
    for arm in arms:
        create(cloud, arm)
    assert {
        flow_log["LogGroupName"]: flow_log["MaxAggregationInterval"]
        for flow_log in clients.ec2().describe_flow_logs()["FlowLogs"]
    } == {
        f"/flowlag/flowlag/{PLAN.run_id}/cloudwatch-60": 60,
        f"/flowlag/flowlag/{PLAN.run_id}/cloudwatch-600": 600,
    }


# ---------------------------------------------------------------- S3
@pytest.mark.parametrize(
    ("arm", "options"),
    [
        (Arm(destination="s3"), ("plain-text", False, False)),
        (Arm(destination="s3", file_format="parquet"), ("parquet", False, False)),
        (Arm(destination="s3", hive_compatible=True), ("plain-text", True, False)),
        (Arm(destination="s3", per_hour=True), ("plain-text", False, True)),
        (
            Arm(destination="s3", file_format="parquet", hive_compatible=True, per_hour=True),
            ("parquet", True, True),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Arm) else "",
)
def test_an_arm_to_s3_delivers_files_as_asked_for_into_a_folder_of_its_own(
    cloud: Cloud, on_an_interface: RunPlan, arm: Arm, options: tuple[str, bool, bool]
) -> None:
    plan_of(cloud, on_an_interface, arm)
    creation = create(cloud, arm)
    folder = f"deliveries/{PLAN.run_id}/{arm.name}"
    assert (creation["bucket"], creation["prefix"]) == (WORK_BUCKET, f"{folder}/")
    (flow_log,) = clients.ec2().describe_flow_logs()["FlowLogs"]
    assert flow_log["FlowLogId"] == creation["flow_log_id"]
    assert flow_log["LogDestinationType"] == "s3"
    assert flow_log["LogDestination"] == f"arn:aws:s3:::{WORK_BUCKET}/{folder}"
    (asked,) = [params for operation, params in cloud.calls if operation == "CreateFlowLogs"]
    names = ("FileFormat", "HiveCompatiblePartitions", "PerHourPartition")
    assert asked["DestinationOptions"] == dict(zip(names, options, strict=True))
    assert not {"LogGroupName", "DeliverLogsPermissionArn"} & asked.keys()
    assert asked["MaxAggregationInterval"] == 600


def test_an_arm_to_s3_is_told_and_tagged_like_any_other(cloud: Cloud, on_an_interface: RunPlan) -> None:
    arm = Arm(destination="s3", aggregation_interval_s=60)
    plan_of(cloud, on_an_interface, arm)
    creation = create(cloud, arm)
    assert (creation["t0_before_call"], creation["t0_after_call"]) == (BEFORE, AFTER)
    assert "log_group" not in creation
    assert cloud.store.find_control(PLAN.run_id, "s3-text-60.creation") == creation
    (flow_log,) = clients.ec2().describe_flow_logs()["FlowLogs"]
    assert flow_log["LogFormat"] == PLAN.log_format
    assert {"Key": "flowlag:execution", "Value": PLAN.execution} in flow_log["Tags"]
    assert clients.logs().describe_log_groups()["logGroups"] == []


# ---------------------------------------------------------------- levels
@pytest.mark.usefixtures("decoder")
def test_six_arms_watch_the_senders_interface_its_subnet_and_its_vpc(
    cloud: Cloud, on_an_interface: RunPlan
) -> None:
    arms = [Arm(aggregation_interval_s=interval) for interval in (60, 600)]
    arms += [
        Arm(destination="s3", per_hour=hourly, hive_compatible=hive)
        for hourly in (False, True)
        for hive in (False, True)
    ]
    plan = plan_of(cloud, on_an_interface, *arms)
    created = [create(cloud, arm)["flow_log_id"] for arm in arms]
    watched = {each["FlowLogId"]: each["ResourceId"] for each in clients.ec2().describe_flow_logs()["FlowLogs"]}
    assert [watched[each] for each in created] == [
        plan.interface_id,
        plan.interface_id,
        plan.subnet_id,
        plan.subnet_id,
        plan.vpc_id,
        plan.vpc_id,
    ]


@pytest.mark.usefixtures("decoder")
def test_no_subnet_and_no_vpc_but_the_stacks_is_watched(cloud: Cloud, on_an_interface: RunPlan) -> None:
    for level in ("subnet", "vpc"):
        arm = Arm(level=level)
        plan_of(cloud, on_an_interface, arm, **{f"{level}_id": f"{level}-0"})
        with pytest.raises(
            NotAllowed, match=f"CreateFlowLogFunction may not ec2:CreateFlowLogs on .*:{level}/{level}-0"
        ):
            create(cloud, arm)


# ---------------------------------------------------------------- again
@pytest.mark.usefixtures("on_an_interface", "decoder")
def test_a_retried_step_asks_for_the_same_flow_log(cloud: Cloud) -> None:
    cloud.invoke("create_flow_log", load("create_flow_log"))
    first = [params for operation, params in cloud.calls if operation == "CreateFlowLogs"]
    # AWS answers the same ClientToken by the same flow log (tests/contract); moto knows no tokens and objects.
    with pytest.raises(ClientError, match="FlowLogAlreadyExists"):
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert [params for operation, params in cloud.calls if operation == "CreateFlowLogs"] == first


@pytest.mark.usefixtures("decoder")
def test_every_arm_of_every_execution_has_a_token_of_its_own_that_ec2_takes(
    cloud: Cloud, on_an_interface: RunPlan
) -> None:
    tokens = []
    arms = (Arm(aggregation_interval_s=60), Arm())
    # The last two are runs of one name in two stacks.
    for run_id, owner in (("a" * 64, "a"), ("a" * 63 + "b", "b"), ("a" * 63 + "b", "c")):
        plan_of(cloud, on_an_interface, *arms, run_id=run_id, execution=execution(owner))
        for arm in arms:
            clients.ec2().delete_flow_logs(
                FlowLogIds=[each["FlowLogId"] for each in clients.ec2().describe_flow_logs()["FlowLogs"]]
            )
            create(cloud, arm, run_id)
            tokens += [params["ClientToken"] for operation, params in cloud.calls if operation == "CreateFlowLogs"]
    assert len(set(tokens)) == 6
    # "up to 64 ASCII characters": EC2's Ensuring idempotency, read 2026-11
    assert all(len(token) <= 64 and token.isascii() for token in tokens)


# ---------------------------------------------------------------- a run that ends meanwhile
@pytest.mark.usefixtures("on_an_interface", "decoder")
def test_a_run_that_was_stopped_meanwhile_keeps_no_flow_log(cloud: Cloud) -> None:
    cloud.store.put_control(PLAN.run_id, "stop", {"requested_at": BEFORE})
    with pytest.raises(
        RunStopped, match=f"run '{PLAN.run_id}' was stopped while its arm '{ARM}' was being created"
    ):
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert "CreateFlowLogs" in operations(cloud)
    assert clients.ec2().describe_flow_logs()["FlowLogs"] == []


def test_a_stopped_run_keeps_no_flow_log_to_s3_either(cloud: Cloud, on_an_interface: RunPlan) -> None:
    arm = Arm(destination="s3")
    plan_of(cloud, on_an_interface, arm)
    cloud.store.put_control(PLAN.run_id, "stop", {"requested_at": BEFORE})
    with pytest.raises(RunStopped):
        create(cloud, arm)
    assert clients.ec2().describe_flow_logs()["FlowLogs"] == []


# ---------------------------------------------------------------- refusals
@pytest.mark.usefixtures("planned", "decoder")
def test_unsuccessful_is_a_failure_although_the_call_succeeds(cloud: Cloud, stub: Callable[..., Stubber]) -> None:
    error = {"Code": "FlowLogsLimitExceeded", "Message": "the limit is 2"}
    answer = {"Unsuccessful": [{"ResourceId": PLAN.interface_id, "Error": error}], "FlowLogIds": []}
    parameters = ("ClientToken", "ResourceType", "ResourceIds", "TrafficType", "LogDestinationType", "LogGroupName")
    parameters += ("DeliverLogsPermissionArn", "LogFormat", "MaxAggregationInterval", "TagSpecifications")
    stub(clients.ec2()).add_response("create_flow_logs", answer, dict.fromkeys(parameters, ANY))
    with pytest.raises(FlowLogRefused) as refused:
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert str(refused.value) == (
        f"EC2 would not create a flow log ({PLAN.interface_id}): FlowLogsLimitExceeded: the limit is 2"
    )
    assert cloud.store.find_control(PLAN.run_id, f"{ARM}.creation") is None


@pytest.mark.usefixtures("planned", "decoder")
def test_an_arm_that_the_run_does_not_have_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    with pytest.raises(InvalidRequest, match="has no arm 'cloudwatch-60'"):
        cloud.invoke("create_flow_log", load("create_flow_log") | {"arm": "cloudwatch-60"})
    assert clients.logs().describe_log_groups()["logGroups"] == []
