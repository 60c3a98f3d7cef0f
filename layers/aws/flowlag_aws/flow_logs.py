"""EC2: flow logs."""

from __future__ import annotations

from hashlib import sha256
from time import sleep
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from flowlag.errors import FlowlagError
from flowlag.plan import CLOUDWATCH, INTERFACE, S3, SUBNET, VPC
from flowlag_aws import clients
from flowlag_aws.clock import micros, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_ec2.literals import FlowLogsResourceTypeType
    from mypy_boto3_ec2.type_defs import FilterTypeDef, FlowLogTypeDef, UnsuccessfulItemTypeDef

    from flowlag.plan import Arm, RunPlan

RUN_TAG = "flowlag:run-id"
"""Which run a flow log belongs to, for people and policies."""
OWNER_TAG = "flowlag:execution"
"""The execution that owns a flow log: how cleanup finds what a crashed step left behind, and nobody else's. Two
stacks in a region may have runs of one name, for a schedule names its runs by region and time."""

_RESOURCE_TYPES: Mapping[str, FlowLogsResourceTypeType] = {
    INTERFACE: "NetworkInterface",
    SUBNET: "Subnet",
    VPC: "VPC",
}

_GONE = "InvalidFlowLogId.NotFound"
"""Of the call or in `Unsuccessful`: it is not documented which (API_DeleteFlowLogs.html, read 2026-11)."""

LOOKS = 10
LOOK_EVERY_S = 2.0
"""EC2 is eventually consistent: a deleted flow log may be described for some seconds more."""


class FlowLogRefused(FlowlagError):
    """CreateFlowLogs or DeleteFlowLogs answered HTTP 200 with `Unsuccessful`."""


class FlowLogsRemain(FlowlagError):
    """A run's flow logs are still there after they were deleted."""


def to_log_group(log_group: str, role_arn: str) -> dict[str, Any]:
    """The part of CreateFlowLogs that says: to CloudWatch Logs."""
    return {
        "LogDestinationType": CLOUDWATCH,
        "LogGroupName": log_group,
        "DeliverLogsPermissionArn": role_arn,
    }


def to_prefix(arm: Arm, partition: str, bucket: str, prefix: str) -> dict[str, Any]:
    """The part of CreateFlowLogs that says: to S3."""
    return {
        "LogDestinationType": S3,
        "LogDestination": f"arn:{partition}:s3:::{bucket}/{prefix}",
        "DestinationOptions": {
            "FileFormat": str(arm.file_format),
            "HiveCompatiblePartitions": arm.hive_compatible,
            "PerHourPartition": arm.per_hour,
        },
    }


def create_flow_log(plan: RunPlan, arm: Arm, destination: Mapping[str, Any]) -> dict[str, Any]:
    """Create the flow log of an arm, and say when: its T0 on three clocks.

    Args:
        plan: the run.
        arm: the arm.
        destination: what `to_log_group` or `to_prefix` gave.

    Returns:
        `flow_log_id`, and in microseconds `t0_before_call`, `t0_after_call` (our clock), `t0_service` (AWS's).

    Raises:
        FlowLogRefused: AWS would not create it, although the call itself succeeded.
    """
    client = clients.ec2()
    before = now()
    answer = client.create_flow_logs(
        # A retried step gets the same flow log, not a second one. Hashed: a token has 64 characters at most.
        ClientToken=sha256(f"{plan.execution}.{arm.name}".encode()).hexdigest(),
        ResourceType=_RESOURCE_TYPES[plan.level(arm)],
        ResourceIds=[plan.resource_id(arm)],
        TrafficType="ALL",
        LogFormat=plan.log_format,
        MaxAggregationInterval=arm.aggregation_interval_s,
        TagSpecifications=[
            {
                "ResourceType": "vpc-flow-log",
                "Tags": [{"Key": RUN_TAG, "Value": plan.run_id}, {"Key": OWNER_TAG, "Value": plan.execution}],
            }
        ],
        **destination,
    )
    after = now()
    _refuse(answer.get("Unsuccessful", []), "create a flow log")
    flow_log_id = answer["FlowLogIds"][0]
    described = client.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
    return {
        "flow_log_id": flow_log_id,
        "t0_before_call": before,
        "t0_after_call": after,
        "t0_service": micros(described[0]["CreationTime"]) if described else None,
    }


def delete_flow_logs(execution: str) -> list[str]:
    """Delete every flow log that an execution owns, by its tag, and make sure that none is left.

    Somebody else may be deleting them at the same time.

    Returns:
        The ids of the flow logs that were there.

    Raises:
        FlowLogRefused: AWS would not delete one.
        FlowLogsRemain: one is still there.
    """
    ids = find_flow_logs(execution)
    if ids:
        _delete(ids)
    for _ in range(LOOKS):
        left = find_flow_logs(execution)
        if not left:
            return ids
        sleep(LOOK_EVERY_S)
    raise FlowLogsRemain(f"{execution} still has the flow logs {', '.join(left)} after deleting them")


def _delete(ids: Sequence[str]) -> None:
    try:
        answer = clients.ec2().delete_flow_logs(FlowLogIds=ids)
    except ClientError as error:
        if error.response["Error"]["Code"] != _GONE:
            raise
    else:
        refused = [each for each in answer.get("Unsuccessful", []) if each.get("Error", {}).get("Code") != _GONE]
        _refuse(refused, "delete a flow log")


def find_flow_logs(execution: str) -> list[str]:
    """The ids of the flow logs that an execution owns."""
    return [each["FlowLogId"] for each in _describe({"Name": f"tag:{OWNER_TAG}", "Values": [execution]})]


def owners_of_flow_logs(state_machine_arn: str) -> dict[str, str]:
    """The executions of a state machine that own flow logs, by their runs."""
    executions = state_machine_arn.replace(":stateMachine:", ":execution:", 1) + ":"
    tagged = _describe({"Name": "tag-key", "Values": [OWNER_TAG]})
    tags = ({tag["Key"]: tag["Value"] for tag in each["Tags"]} for each in tagged)
    return {each[RUN_TAG]: each[OWNER_TAG] for each in tags if each[OWNER_TAG].startswith(executions)}


def _describe(condition: FilterTypeDef) -> Iterator[FlowLogTypeDef]:
    for page in clients.ec2().get_paginator("describe_flow_logs").paginate(Filters=[condition]):
        yield from page["FlowLogs"]


def _refuse(unsuccessful: Sequence[UnsuccessfulItemTypeDef], what: str) -> None:
    for item in unsuccessful:
        error = item.get("Error", {})
        raise FlowLogRefused(
            f"EC2 would not {what} ({item.get('ResourceId', '')}): {error.get('Code')}: {error.get('Message')}"
        )
