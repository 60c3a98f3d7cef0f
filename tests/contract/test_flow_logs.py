import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowlag.plan import Arm, RunPlan, RunRequest
from flowlag_aws import clients
from flowlag_aws.clock import now
from flowlag_aws.flow_logs import (
    FlowLogRefused,
    create_flow_log,
    delete_flow_logs,
    find_flow_logs,
    owners_of_flow_logs,
    to_log_group,
    to_prefix,
)
from flowlag_aws.store import Store
from tests.contract.clouds import ONLY_MINISTACK, Cloud
from tests.functions.run import PLAN

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::000000000000:role/deliver"


TO_LOGS_OF_S3 = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "delivery.logs.amazonaws.com"},
            "Action": ["s3:PutObject", "s3:GetBucketAcl"],
            "Resource": "*",
        }
    ],
}


def execution_of(run_id: str, machine: str = "flowlag-benchmark") -> str:
    return f"arn:aws:states:us-east-1:000000000000:execution:{machine}:{run_id}"


@pytest.fixture(scope="module")
def subnet(aws: Cloud) -> tuple[str, str]:
    """A VPC and a subnet in it."""
    assert aws
    vpc = clients.ec2().create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    return vpc, clients.ec2().create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]


@pytest.fixture
def plan(subnet: tuple[str, str], unique: str) -> RunPlan:
    """A run on an interface of its own."""
    vpc, subnet_id = subnet
    interface = clients.ec2().create_network_interface(SubnetId=subnet_id)["NetworkInterface"]
    return replace(
        PLAN,
        run_id=unique,
        execution=execution_of(unique),
        interface_id=interface["NetworkInterfaceId"],
        subnet_id=subnet_id,
        vpc_id=vpc,
    )


def planned(plan: RunPlan, *arms: Arm, run_id: str | None = None) -> RunPlan:
    """The same plan for other arms, of another run."""
    of = {} if run_id is None else {"run_id": run_id, "execution": execution_of(run_id)}
    return replace(plan, request=RunRequest(arms=arms or (Arm(),)), **of)  # type: ignore[arg-type]


@pytest.fixture
def create(plan: RunPlan) -> Callable[..., str]:
    """Create the run's flow log in a log group of this name, and return its id."""

    def create(group: str, of: RunPlan = plan, arm: Arm | None = None) -> str:
        return create_flow_log(of, arm or of.arms[0], to_log_group(group, ROLE))["flow_log_id"]

    return create


@pytest.fixture
def bucket(store: Store) -> str:
    """A bucket whose policy lets flow logs in."""
    clients.s3().put_bucket_policy(Bucket=store.bucket, Policy=json.dumps(TO_LOGS_OF_S3))
    return store.bucket


def describe(flow_log_id: str) -> dict[str, Any]:
    (flow_log,) = clients.ec2().describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
    return flow_log


# ---------------------------------------------------------------- create
def test_a_flow_log_is_what_was_asked_for(plan: RunPlan, unique: str) -> None:
    clients.logs().create_log_group(logGroupName=unique)
    creation = create_flow_log(plan, Arm(), to_log_group(unique, ROLE))
    flow_log = describe(creation["flow_log_id"])
    assert flow_log["ResourceId"] == plan.interface_id
    assert flow_log["TrafficType"] == "ALL"
    assert flow_log["LogDestinationType"] == "cloud-watch-logs"
    assert flow_log["LogGroupName"] == unique
    assert flow_log["DeliverLogsPermissionArn"] == ROLE
    assert flow_log["DeliverLogsStatus"] == "SUCCESS"
    assert flow_log["LogFormat"] == plan.log_format
    assert flow_log["MaxAggregationInterval"] == 600
    assert flow_log["FlowLogStatus"] == "ACTIVE"
    assert {tag["Key"]: tag["Value"] for tag in flow_log["Tags"]} == {
        "flowlag:run-id": plan.run_id,
        "flowlag:execution": plan.execution,
    }


def test_the_three_clocks_agree(aws: Cloud, plan: RunPlan, unique: str) -> None:
    before = now()
    creation = create_flow_log(plan, Arm(), to_log_group(unique, ROLE))
    after = now()
    assert before <= creation["t0_before_call"] <= creation["t0_after_call"] <= after
    resolution = 1_000_000 if aws.is_moto else 1_000  # moto's has whole seconds, AWS's milliseconds
    assert creation["t0_before_call"] - resolution < creation["t0_service"] <= creation["t0_after_call"]


def test_the_same_arm_asked_for_again_is_the_same_flow_log(
    aws: Cloud, create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    first = create(unique)
    if aws.is_moto:  # it knows no ClientToken; AWS answers by the flow log of the first request
        with pytest.raises(ClientError, match="FlowLogAlreadyExists"):
            create(unique)
    else:
        assert create(unique) == first
    assert find_flow_logs(plan.execution) == [first]


def test_two_arms_of_a_run_are_two_flow_logs(create: Callable[..., str], plan: RunPlan, unique: str) -> None:
    plan = planned(plan, Arm(aggregation_interval_s=60), Arm())
    ids = [create(f"{unique}/{arm.name}", plan, arm) for arm in plan.arms]
    assert [describe(each)["MaxAggregationInterval"] for each in ids] == [60, 600]
    assert sorted(find_flow_logs(plan.execution)) == sorted(ids)


@pytest.mark.parametrize(
    "arm",
    [
        Arm(destination="s3", aggregation_interval_s=60),
        Arm(destination="s3", file_format="parquet", hive_compatible=True, per_hour=True),
    ],
    ids=lambda arm: arm.name,
)
def test_a_flow_log_to_s3_is_what_was_asked_for(plan: RunPlan, bucket: str, arm: Arm) -> None:
    plan = planned(plan, arm)
    creation = create_flow_log(plan, arm, to_prefix(arm, "aws", bucket, "deliveries/run/arm"))
    flow_log = describe(creation["flow_log_id"])
    assert flow_log["ResourceId"] == plan.interface_id
    assert flow_log["LogDestinationType"] == "s3"
    assert flow_log["LogDestination"] == f"arn:aws:s3:::{bucket}/deliveries/run/arm"
    assert flow_log["DestinationOptions"] == {
        "FileFormat": arm.file_format,
        "HiveCompatiblePartitions": arm.hive_compatible,
        "PerHourPartition": arm.per_hour,
    }
    assert flow_log["DeliverLogsStatus"] == "SUCCESS"
    assert flow_log["LogFormat"] == plan.log_format
    assert flow_log["MaxAggregationInterval"] == arm.aggregation_interval_s
    assert "LogGroupName" not in flow_log
    assert "DeliverLogsPermissionArn" not in flow_log


def test_a_bucket_that_is_not_there_is_told_by_unsuccessful(plan: RunPlan, unique: str) -> None:
    arm = Arm(destination="s3")
    with pytest.raises(FlowLogRefused, match=rf"flow log \({plan.interface_id}\): 400: LogDestination: {unique}"):
        create_flow_log(planned(plan, arm), arm, to_prefix(arm, "aws", unique, "deliveries/run/arm"))


@ONLY_MINISTACK  # moto asks for no policy
def test_a_bucket_whose_policy_does_not_let_flow_logs_in_is_told_by_unsuccessful(
    plan: RunPlan, store: Store
) -> None:
    arm = Arm(destination="s3")
    with pytest.raises(FlowLogRefused, match="Access Denied for LogDestination"):
        create_flow_log(planned(plan, arm), arm, to_prefix(arm, "aws", store.bucket, "deliveries/run/arm"))


def test_each_level_is_watched(create: Callable[..., str], plan: RunPlan, unique: str) -> None:
    plan = planned(plan, Arm(level="vpc"), Arm(level="subnet"), Arm())
    ids = [create(f"{unique}/{arm.name}", plan, arm) for arm in plan.arms]
    assert [describe(each)["ResourceId"] for each in ids] == [plan.vpc_id, plan.subnet_id, plan.interface_id]
    assert delete_flow_logs(plan.execution)  # two are all that the VPC and the subnet may have


@ONLY_MINISTACK  # moto has no quota, and so no Unsuccessful for an interface
def test_an_interface_that_has_two_flow_logs_gets_no_third(
    create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    for number in range(2):
        create(f"{unique}/{number}", planned(plan, run_id=f"{unique}-{number}"))
    with pytest.raises(
        FlowLogRefused, match=rf"create a flow log \({plan.interface_id}\): FlowLogsLimitExceeded: "
    ):
        create(f"{unique}/2")
    assert find_flow_logs(plan.execution) == []


def test_an_interface_that_is_not_there_is_an_error(
    aws: Cloud, create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    # MiniStack with our seam answers it in Unsuccessful, moto by an error; AWS documents both for other resources.
    refusal = ClientError if aws.is_moto else FlowLogRefused
    with pytest.raises(refusal, match=r"InvalidNetworkInterfaceID\.NotFound"):
        create(unique, replace(plan, interface_id="eni-0123456789abcdef0"))


def test_a_log_group_that_is_not_there_is_not_noticed(create: Callable[..., str], unique: str) -> None:
    # Why CreateFlowLog makes the group first: AWS creates the flow log all the same, and fails to deliver.
    assert describe(create(unique))["DeliverLogsStatus"] == "FAILED"


# ---------------------------------------------------------------- find and delete
def test_an_executions_flow_logs_are_deleted_and_no_others(
    create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    of_another_run = planned(plan, run_id=f"{unique}-2")
    of_another_stack = replace(plan, execution=execution_of(unique, "flowlag-2-benchmark"))
    others = [create(f"{unique}/{number}", of) for number, of in enumerate((of_another_run, of_another_stack))]
    ours = [create(f"{unique}/ours", replace(plan, interface_id=another_interface(plan)))]
    assert delete_flow_logs(plan.execution) == ours
    assert find_flow_logs(plan.execution) == []
    assert [*find_flow_logs(of_another_run.execution), *find_flow_logs(of_another_stack.execution)] == others
    assert delete_flow_logs(plan.execution) == []


def another_interface(plan: RunPlan) -> str:
    interface = clients.ec2().create_network_interface(SubnetId=plan.subnet_id)["NetworkInterface"]
    return interface["NetworkInterfaceId"]


@pytest.mark.usefixtures("aws")
def test_an_execution_without_flow_logs_has_none(unique: str) -> None:
    assert find_flow_logs(execution_of(unique)) == []


def test_what_was_deleted_by_somebody_else_meanwhile_is_no_failure(
    create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    flow_log_id = create(unique)
    events = clients.ec2().meta.events

    def delete_it_first(**_: object) -> None:
        events.unregister("before-call.ec2.DeleteFlowLogs", delete_it_first)
        clients.ec2().delete_flow_logs(FlowLogIds=[flow_log_id])

    events.register("before-call.ec2.DeleteFlowLogs", delete_it_first)
    assert delete_flow_logs(plan.execution) == [flow_log_id]
    assert find_flow_logs(plan.execution) == []


def test_a_state_machines_flow_logs_are_told_by_their_owners(
    create: Callable[..., str], plan: RunPlan, unique: str
) -> None:
    ours, theirs = (replace(plan, execution=execution_of(unique, f"{unique}{end}")) for end in ("", "-2"))
    for of in (ours, theirs, plan):
        create(f"{unique}/{of.execution[-20:]}", replace(of, interface_id=another_interface(plan)))
    machine = ours.execution.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    assert owners_of_flow_logs(machine) == {unique: ours.execution}
    assert owners_of_flow_logs(f"{machine}-3") == {}
