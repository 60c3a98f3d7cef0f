"""EC2: the instances of a stack, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowlag.errors import InvalidRequest
from flowlag.plan import Site
from flowlag_aws import clients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2.type_defs import InstanceTypeDef


def describe_site(
    *, source: str, senders: Sequence[str], hypervisor: str | None, target: str | None, address: str, port: int
) -> Site:
    """What a run needs to know of its two instances.

    Args:
        source: of `flowlag.plan.SOURCES`.
        senders: ids of the stack's senders.
        hypervisor: which of them is to send; None takes the first.
        target: id of the stack's target; None where it is somebody's own.
        address: the target's.
        port: the target's.

    Raises:
        InvalidRequest: no sender runs on that hypervisor.
    """
    instances = _instances(senders)
    hypervisors = _hypervisors([each["InstanceType"] for each in instances])
    wanted = [each for each in instances if hypervisor in (None, hypervisors.get(each["InstanceType"]))]
    if not wanted:
        raise InvalidRequest(f"this stack has no sender on {hypervisor}: its SenderInstanceTypes decide")
    sender = wanted[0]
    zone = sender["Placement"]["AvailabilityZone"]
    zones = clients.ec2().describe_availability_zones(ZoneNames=[zone])["AvailabilityZones"]
    return Site(
        source=source,
        region=clients.ec2().meta.region_name,
        az_id=zones[0].get("ZoneId") if zones else None,
        instance_type=sender["InstanceType"],
        hypervisor=hypervisors.get(sender["InstanceType"]),
        sender_instance_id=sender["InstanceId"],
        interface_id=sender["NetworkInterfaces"][0]["NetworkInterfaceId"],
        subnet_id=sender["SubnetId"],
        vpc_id=sender["VpcId"],
        sender_address=sender["PrivateIpAddress"],
        target_instance_id=target,
        target_address=address,
        target_port=port,
    )


def _instances(ids: Sequence[str]) -> list[InstanceTypeDef]:
    """The instances, in the order of their ids."""
    found = {
        instance["InstanceId"]: instance
        for reservation in clients.ec2().describe_instances(InstanceIds=list(ids))["Reservations"]
        for instance in reservation["Instances"]
    }
    return [found[each] for each in ids]


def _hypervisors(kinds: Sequence[str]) -> Mapping[str, str]:
    """Instance type to hypervisor.

    From DescribeInstanceTypes: DescribeInstances says `xen` for Nitro too, as its documentation admits
    (API_Instance.html, read 2026-11).
    """
    types = clients.ec2().describe_instance_types(InstanceTypes=sorted(set(kinds)))["InstanceTypes"]  # type: ignore[arg-type]
    return {each["InstanceType"]: each["Hypervisor"] for each in types if "Hypervisor" in each}
