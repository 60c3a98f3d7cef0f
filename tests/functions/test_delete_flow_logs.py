from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from flowlag_aws import clients, flow_logs
from flowlag_aws.flow_logs import FlowLogRefused, FlowLogsRemain
from tests.functions.events import load
from tests.functions.run import PLAN
from tests.functions.stack import Cloud

OURS = {"Filters": [{"Name": "tag:flowlag:execution", "Values": [PLAN.execution]}]}


def create(group: str, owner: str | None) -> str:
    """A flow log of a run of our run's name, with the tags of its execution or without any."""
    ec2 = clients.ec2()
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    values = {} if owner is None else {"flowlag:run-id": PLAN.run_id, "flowlag:execution": owner}
    tags = [{"Key": key, "Value": value} for key, value in values.items()]
    specifications = [{"ResourceType": "vpc-flow-log", "Tags": tags}]
    (flow_log_id,) = ec2.create_flow_logs(
        ResourceType="VPC",
        ResourceIds=[vpc],
        TrafficType="ALL",
        LogGroupName=group,
        DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/deliver",
        **({"TagSpecifications": specifications} if tags else {}),
    )["FlowLogIds"]
    return flow_log_id


def left() -> set[str]:
    return {flow_log["FlowLogId"] for flow_log in clients.ec2().describe_flow_logs()["FlowLogs"]}


def test_a_runs_flow_logs_are_deleted_by_their_tag_and_no_others(cloud: Cloud) -> None:
    ours = {create("first", PLAN.execution), create("second", PLAN.execution)}
    other_stack = PLAN.execution.replace("flowlag-benchmark", "flowlag-2-benchmark")
    others = {create("third", other_stack), create("fourth", f"{PLAN.execution}-2"), create("fifth", None)}
    deleted = cloud.invoke("delete_flow_logs", load("delete_flow_logs"))["deleted"]
    assert sorted(deleted) == sorted(ours)
    assert left() == others


def test_where_there_is_nothing_nothing_is_deleted(cloud: Cloud) -> None:
    create("first", PLAN.execution)
    assert len(cloud.invoke("delete_flow_logs", load("delete_flow_logs"))["deleted"]) == 1
    assert cloud.invoke("delete_flow_logs", load("delete_flow_logs")) == {"deleted": []}
    assert "DeleteFlowLogs" not in [operation for operation, _ in cloud.calls]


def test_every_page_of_them_is_deleted(cloud: Cloud, stub: Callable[..., Stubber]) -> None:
    ec2 = stub(clients.ec2())
    ec2.add_response("describe_flow_logs", {"FlowLogs": [{"FlowLogId": "fl-1"}], "NextToken": "more"}, OURS)
    ec2.add_response("describe_flow_logs", {"FlowLogs": [], "NextToken": "yet more"}, OURS | {"NextToken": "more"})
    last = {"FlowLogs": [{"FlowLogId": "fl-2"}]}
    ec2.add_response("describe_flow_logs", last, OURS | {"NextToken": "yet more"})
    ec2.add_response("delete_flow_logs", {"Unsuccessful": []}, {"FlowLogIds": ["fl-1", "fl-2"]})
    ec2.add_response("describe_flow_logs", {"FlowLogs": []}, OURS)
    assert cloud.invoke("delete_flow_logs", load("delete_flow_logs")) == {"deleted": ["fl-1", "fl-2"]}


def test_unsuccessful_is_a_failure_although_the_call_succeeds(cloud: Cloud, stub: Callable[..., Stubber]) -> None:
    ec2 = stub(clients.ec2())
    ec2.add_response("describe_flow_logs", {"FlowLogs": [{"FlowLogId": "fl-1"}]}, OURS)
    error = {"Code": "UnauthorizedOperation", "Message": "not yours"}
    answer = {"Unsuccessful": [{"ResourceId": "fl-1", "Error": error}]}
    ec2.add_response("delete_flow_logs", answer, {"FlowLogIds": ["fl-1"]})
    with pytest.raises(
        FlowLogRefused, match=r"would not delete a flow log \(fl-1\): UnauthorizedOperation: not you"
    ):
        cloud.invoke("delete_flow_logs", load("delete_flow_logs"))


def test_flow_logs_that_somebody_else_deletes_at_the_same_time_are_gone_all_the_same(
    cloud: Cloud, stub: Callable[..., Stubber]
) -> None:
    ec2 = stub(clients.ec2())
    for tell in ("in the answer", "by an error"):
        described(ec2, "fl-1", "fl-2")
        if tell == "in the answer":
            error = {"Code": "InvalidFlowLogId.NotFound", "Message": "no such flow log"}
            gone = {"Unsuccessful": [{"ResourceId": each, "Error": error} for each in ("fl-1", "fl-2")]}
            ec2.add_response("delete_flow_logs", gone, {"FlowLogIds": ["fl-1", "fl-2"]})
        else:
            ec2.add_client_error("delete_flow_logs", "InvalidFlowLogId.NotFound")
        described(ec2)
        assert cloud.invoke("delete_flow_logs", load("delete_flow_logs")) == {"deleted": ["fl-1", "fl-2"]}


def test_any_other_error_is_one(cloud: Cloud, stub: Callable[..., Stubber]) -> None:
    ec2 = stub(clients.ec2())
    described(ec2, "fl-1")
    ec2.add_client_error("delete_flow_logs", "UnauthorizedOperation")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        cloud.invoke("delete_flow_logs", load("delete_flow_logs"))


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three looks, without a pause."""
    monkeypatch.setattr(flow_logs, "LOOKS", 3)
    monkeypatch.setattr(flow_logs, "LOOK_EVERY_S", 0)


def described(ec2: Stubber, *flow_log_ids: str) -> None:
    ec2.add_response("describe_flow_logs", {"FlowLogs": [{"FlowLogId": each} for each in flow_log_ids]}, OURS)


@pytest.mark.usefixtures("patience")
def test_a_deleted_flow_log_may_be_described_for_a_while(cloud: Cloud, stub: Callable[..., Stubber]) -> None:
    ec2 = stub(clients.ec2())
    described(ec2, "fl-1")
    ec2.add_response("delete_flow_logs", {"Unsuccessful": []}, {"FlowLogIds": ["fl-1"]})
    described(ec2, "fl-1")
    described(ec2)
    assert cloud.invoke("delete_flow_logs", load("delete_flow_logs")) == {"deleted": ["fl-1"]}


@pytest.mark.usefixtures("patience")
def test_a_flow_log_that_outlives_its_deletion_is_a_failure(cloud: Cloud, stub: Callable[..., Stubber]) -> None:
    ec2 = stub(clients.ec2())
    described(ec2, "fl-1")
    ec2.add_response("delete_flow_logs", {"Unsuccessful": []}, {"FlowLogIds": ["fl-1"]})
    for _ in range(3):
        described(ec2, "fl-1")
    with pytest.raises(FlowLogsRemain, match=f"{PLAN.execution} still has the flow logs fl-1 after deleting them"):
        cloud.invoke("delete_flow_logs", load("delete_flow_logs"))
