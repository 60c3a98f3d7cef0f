"""EC2: flow logs and the instances they watch."""

from __future__ import annotations

from hashlib import sha256
from time import sleep
from typing import TYPE_CHECKING, Any

from flowlag.errors import FlowlagError
from flowlag.plan import Site
from flowlag_aws import clients
from flowlag_aws.clock import micros, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_ec2.type_defs import UnsuccessfulItemTypeDef

    from flowlag.plan import Arm, RunPlan

RUN_TAG = "flowlag:run-id"
"""Which run a flow log belongs to: how cleanup finds what a crashed step left behind."""
OWNER_TAG = "flowlag:execution"
"""The execution that owns a flow log: whoever sweeps can ask whether it still lives."""

LOOKS = 10
LOOK_EVERY_S = 2.0
"""EC2 is eventually consistent: a deleted flow log may be described for some seconds more."""


class FlowLogRefused(FlowlagError):
    """CreateFlowLogs or DeleteFlowLogs answered HTTP 200 with `Unsuccessful`."""


class FlowLogsRemain(FlowlagError):
    """A run's flow logs are still there after they were deleted."""


def describe_site(*, source: str, sender: str, target: str, target_port: int) -> Site:
    """What a run needs to know of its two instances.

    The hypervisor comes from DescribeInstanceTypes: DescribeInstances says `xen` for Nitro too, as its
    documentation admits (API_Instance.html, read 2026-11).
    """
    client = clients.ec2()
    found = {
        instance["InstanceId"]: instance
        for reservation in client.describe_instances(InstanceIds=[sender, target])["Reservations"]
        for instance in reservation["Instances"]
    }
    instance = found[sender]
    kind = instance["InstanceType"]
    zone = instance["Placement"]["AvailabilityZone"]
    types = client.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
    zones = client.describe_availability_zones(ZoneNames=[zone])["AvailabilityZones"]
    return Site(
        source=source,
        region=client.meta.region_name,
        az_id=zones[0].get("ZoneId") if zones else None,
        instance_type=kind,
        hypervisor=types[0].get("Hypervisor") if types else None,
        sender_instance_id=sender,
        interface_id=instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
        sender_address=instance["PrivateIpAddress"],
        target_instance_id=target,
        target_address=found[target]["PrivateIpAddress"],
        target_port=target_port,
    )


def create_flow_log(plan: RunPlan, arm: Arm, *, log_group: str, role_arn: str, owner: str) -> dict[str, Any]:
    """Create the flow log of an arm on the sender's interface, and say when: its T0 on three clocks.

    Returns:
        `flow_log_id`, and in microseconds `t0_before_call`, `t0_after_call` (our clock), `t0_service` (AWS's).

    Raises:
        FlowLogRefused: AWS would not create it, although the call itself succeeded.
    """
    client = clients.ec2()
    before = now()
    answer = client.create_flow_logs(
        # A retried step gets the same flow log, not a second one. Hashed: a token has 64 characters at most.
        ClientToken=sha256(f"{plan.run_id}.{arm.name}".encode()).hexdigest(),
        ResourceType="NetworkInterface",
        ResourceIds=[plan.interface_id],
        TrafficType="ALL",
        LogDestinationType="cloud-watch-logs",
        LogGroupName=log_group,
        DeliverLogsPermissionArn=role_arn,
        LogFormat=plan.log_format,
        MaxAggregationInterval=arm.aggregation_interval_s,
        TagSpecifications=[
            {
                "ResourceType": "vpc-flow-log",
                "Tags": [{"Key": RUN_TAG, "Value": plan.run_id}, {"Key": OWNER_TAG, "Value": owner}],
            }
        ],
    )
    after = now()
    _refuse(answer.get("Unsuccessful", []), "create a flow log")
    flow_log_id = answer["FlowLogIds"][0]
    described = client.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
    return {
        "flow_log_id": flow_log_id,
        "log_group": log_group,
        "t0_before_call": before,
        "t0_after_call": after,
        "t0_service": micros(described[0]["CreationTime"]) if described else None,
    }


def delete_flow_logs(run_id: str) -> list[str]:
    """Delete every flow log of a run, found by its tag, and make sure that none is left.

    Returns:
        The ids of the deleted flow logs.

    Raises:
        FlowLogRefused: AWS would not delete one.
        FlowLogsRemain: one is still there.
    """
    ids = find_flow_logs(run_id)
    if ids:
        answer = clients.ec2().delete_flow_logs(FlowLogIds=ids)
        _refuse(answer.get("Unsuccessful", []), "delete a flow log")
    for _ in range(LOOKS):
        left = find_flow_logs(run_id)
        if not left:
            return ids
        sleep(LOOK_EVERY_S)
    raise FlowLogsRemain(f"run '{run_id}' still has the flow logs {', '.join(left)} after deleting them")


def find_flow_logs(run_id: str) -> list[str]:
    """The ids of a run's flow logs."""
    pages = (
        clients.ec2()
        .get_paginator("describe_flow_logs")
        .paginate(Filters=[{"Name": f"tag:{RUN_TAG}", "Values": [run_id]}])
    )
    return [each["FlowLogId"] for page in pages for each in page["FlowLogs"]]


def _refuse(unsuccessful: Sequence[UnsuccessfulItemTypeDef], what: str) -> None:
    for item in unsuccessful:
        error = item.get("Error", {})
        raise FlowLogRefused(
            f"EC2 would not {what} ({item.get('ResourceId', '')}): {error.get('Code')}: {error.get('Message')}"
        )
