import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from flowlag.errors import InvalidRequest
from flowlag.plan import Arm, RunPlan, RunRequest
from flowlag_aws import clients
from flowlag_aws.clock import micros
from flowlag_aws.flow_logs import FlowLogRefused
from functions.create_flow_log import RunStopped
from tests.functions.events import EXECUTION, load
from tests.functions.run import ARM, LOG_GROUP, NOON, PLAN, instant
from tests.functions.stack import Cloud

type SetClock = Callable[..., None]

BEFORE, AFTER = instant(NOON) + 100_000, instant(NOON) + 600_000


@pytest.fixture(autouse=True)
def clock(at: SetClock) -> None:
    at(BEFORE, AFTER)


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


def operations(cloud: Cloud) -> list[str]:
    return [operation for operation, _ in cloud.calls]


# ---------------------------------------------------------------- the log group
@pytest.mark.usefixtures("on_an_interface")
def test_the_log_group_is_subscribed_before_the_flow_log_exists(cloud: Cloud, decoder: str) -> None:
    cloud.invoke("create_flow_log", load("create_flow_log"))
    in_order = ["CreateLogGroup", "PutRetentionPolicy", "PutSubscriptionFilter", "CreateFlowLogs"]
    assert [operation for operation in operations(cloud) if operation in in_order] == in_order
    (group,) = clients.logs().describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (LOG_GROUP, 7)
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
        "flowlag:execution": EXECUTION,
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
    cloud.store.put_plan(replace(on_an_interface, request=RunRequest(arms=arms)))
    for arm in arms:
        cloud.invoke("create_flow_log", load("create_flow_log") | {"arm": arm.name})
    assert {
        flow_log["LogGroupName"]: flow_log["MaxAggregationInterval"]
        for flow_log in clients.ec2().describe_flow_logs()["FlowLogs"]
    } == {
        f"/flowlag/flowlag/{PLAN.run_id}/cloudwatch-60": 60,
        f"/flowlag/flowlag/{PLAN.run_id}/cloudwatch-600": 600,
    }


# ---------------------------------------------------------------- again
@pytest.mark.usefixtures("on_an_interface", "decoder")
def test_a_retried_step_asks_for_the_same_flow_log(cloud: Cloud) -> None:
    cloud.invoke("create_flow_log", load("create_flow_log"))
    first = [params for operation, params in cloud.calls if operation == "CreateFlowLogs"]
    # AWS answers the same ClientToken by the same flow log (tests/contract); moto knows no tokens and objects.
    with pytest.raises(ClientError, match="FlowLogAlreadyExists"):
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert [params for operation, params in cloud.calls if operation == "CreateFlowLogs"] == first


@pytest.mark.usefixtures("on_an_interface", "decoder")
def test_a_flow_log_that_comes_after_the_end_of_its_run_is_deleted(cloud: Cloud) -> None:
    cloud.store.put_control(PLAN.run_id, "stop", {"requested_at": BEFORE})
    with pytest.raises(RunStopped, match="was stopped while its arm 'cloudwatch-600' was being created"):
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert clients.ec2().describe_flow_logs()["FlowLogs"] == []


@pytest.mark.usefixtures("decoder")
def test_every_arm_of_every_run_has_a_token_of_its_own_that_ec2_takes(
    cloud: Cloud, on_an_interface: RunPlan
) -> None:
    tokens = []
    for run_id in ("a" * 64, "a" * 63 + "b"):
        request = RunRequest(arms=(Arm(aggregation_interval_s=60), Arm()))
        cloud.store.put_plan(replace(on_an_interface, run_id=run_id, request=request))
        for arm in request.arms:
            cloud.invoke("create_flow_log", load("create_flow_log") | {"run_id": run_id, "arm": arm.name})
            tokens += [params["ClientToken"] for operation, params in cloud.calls if operation == "CreateFlowLogs"]
    assert len(set(tokens)) == 4
    # "up to 64 ASCII characters": EC2's Ensuring idempotency, read 2026-11
    assert all(len(token) <= 64 and token.isascii() for token in tokens)


@pytest.mark.usefixtures("on_an_interface", "decoder")
def test_a_run_that_was_stopped_meanwhile_keeps_no_flow_log(cloud: Cloud) -> None:
    cloud.store.put_control(PLAN.run_id, "stop", {"requested_at": BEFORE})
    with pytest.raises(
        RunStopped, match=f"run '{PLAN.run_id}' was stopped while its arm '{ARM}' was being created"
    ):
        cloud.invoke("create_flow_log", load("create_flow_log"))
    assert "CreateFlowLogs" in operations(cloud)
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
