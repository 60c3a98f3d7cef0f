"""EC2: flow logs, and the instances of a stack."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id
from ministack.services import ec2

from local.cloud import flow_log_api
from local.cloud.boxes import ROLE_TAG
from local.network.virtual import SENDER_ADDRESS, TARGET_ADDRESS

if TYPE_CHECKING:
    from local.cloud.seams.replies import Properties, Provisioned, Response


def validate_flow_logs() -> None:
    """Create, describe and delete flow logs as AWS documents it: MiniStack takes anything, and keeps little."""
    ec2._ACTION_MAP.update(
        CreateFlowLogs=flow_log_api.create_flow_logs,
        DescribeFlowLogs=flow_log_api.describe_flow_logs,
        DeleteFlowLogs=flow_log_api.delete_flow_logs,
    )


def describe_ec2_as_aws_does() -> None:
    """Fill in what describes a run's site.

    MiniStack calls every instance type Xen on x86_64, gives all Availability Zones to who asks for one, and shows
    an instance without its network interface.
    """
    types, zones, instance = (
        ec2._ACTION_MAP["DescribeInstanceTypes"],
        ec2._describe_availability_zones,
        ec2._instance_xml,
    )

    def describe_instance_types(parameters: Properties) -> Response:
        status, headers, body = types(parameters)
        return status, headers, _INSTANCE_TYPE.sub(_as_sold, body)

    def describe_availability_zones(parameters: Properties) -> Response:
        status, headers, body = zones(parameters)
        wanted = [name.encode() for name in ec2._parse_member_list(parameters, "ZoneName")]
        return status, headers, _ZONE.sub(lambda zone: zone[0] if not wanted or zone[1] in wanted else b"", body)

    def instance_xml(record: Properties) -> str:
        interfaces = "".join(
            ec2._eni_fields_xml(each)
            for each in ec2._network_interfaces.values()
            if (each["Attachment"] or {}).get("InstanceId") == record["InstanceId"]
        )
        text = str(instance(record)).rpartition("</item>")[0]
        return f"{text}<networkInterfaceSet>{interfaces}</networkInterfaceSet></item>"

    ec2._ACTION_MAP["DescribeInstanceTypes"] = describe_instance_types
    ec2._ACTION_MAP["DescribeAvailabilityZones"] = describe_availability_zones
    ec2._instance_xml = instance_xml


_ZONE = re.compile(rb"<item>\s*<zoneName>(.*?)</zoneName>.*?</item>", re.DOTALL)
_INSTANCE_TYPE = re.compile(
    rb"(<instanceType>(\w+)\..*?<hypervisor>)xen(</hypervisor>.*?<supportedArchitectures><item>)x86_64", re.DOTALL
)
_XEN = re.compile(r"t2|[mcr]4")
_GRAVITON = re.compile(r"[a-z]+\d+g[a-z]*")


def _as_sold(kind: re.Match[bytes]) -> bytes:
    family = kind[2].decode()
    hypervisor = "xen" if _XEN.fullmatch(family) else "nitro"
    return b"".join((kind[1], hypervisor.encode(), kind[3], _processor(family).encode()))


def _processor(family: str) -> str:
    return "arm64" if _GRAVITON.fullmatch(family) else "x86_64"


def create_instance(_logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    """Create an AWS::EC2::Instance with its primary network interface."""
    subnet = ec2._subnets.get(properties["SubnetId"])
    if subnet is None:
        raise ValueError(f"The subnet ID '{properties['SubnetId']}' does not exist")
    address = properties.get("PrivateIpAddress")
    if address is None:
        address = _address_of_host(properties, subnet)
    else:
        _check_address(address, subnet)
    profile_name = properties.get("IamInstanceProfile", "")
    profile, _ = ec2._resolve_iam_instance_profile(iam_name=profile_name)
    if profile_name and profile is None:
        raise ValueError(f"Value ({profile_name}) for parameter iamInstanceProfile.name is invalid")
    (instance,) = ec2._launch_instances_internal(
        properties["ImageId"],
        properties["InstanceType"],
        properties["SubnetId"],
        1,
        sg_ids=properties.get("SecurityGroupIds"),
        requested_private_ip=address,
        iam_profile=profile,
    )
    instance["Architecture"] = _processor(properties["InstanceType"].partition(".")[0])
    instance["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
    if not subnet["MapPublicIpOnLaunch"]:
        instance.update(PublicIpAddress="", PublicDnsName="")
    ec2._tags[instance["InstanceId"]] = list(properties.get("Tags", []))
    _attach_interface(instance)
    return instance["InstanceId"], {
        "InstanceId": instance["InstanceId"],
        "AvailabilityZone": subnet["AvailabilityZone"],
        "PrivateIp": instance["PrivateIpAddress"],
        "PrivateDnsName": instance["PrivateDnsName"],
        "PublicIp": instance["PublicIpAddress"],
        "PublicDnsName": instance["PublicDnsName"],
        "VpcId": instance["VpcId"],
    }


def _address_of_host(properties: Properties, subnet: Properties) -> str | None:
    """The address of the host that an instance stands for; None, and so any, where there is none or it is taken.

    AWS draws an address. Here it has to be the one that the virtual network has.
    """
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    address = _HOSTS.get(tags.get(ROLE_TAG, ""))
    try:
        if address is not None:
            _check_address(address, subnet)
    except ValueError:
        return None
    return address


_HOSTS: Final = {"sender": SENDER_ADDRESS, "target": TARGET_ADDRESS}


def _check_address(address: str, subnet: Properties) -> None:
    if ip_address(address) not in ip_network(subnet["CidrBlock"]):
        raise ValueError(f"Address {address} does not fall within the subnet's address range")
    for interface in ec2._network_interfaces.values():
        if (interface["SubnetId"], interface["PrivateIpAddress"]) == (subnet["SubnetId"], address):
            raise ValueError(f"Address {address} is in use.")


def _interface_of(instance_id: str) -> str:
    return instance_id.replace("i-", "eni-", 1)


def _attach_interface(instance: Properties) -> None:
    """Give an instance its primary network interface, whose id follows from the instance's."""
    interface_id = _interface_of(instance["InstanceId"])
    digits = interface_id[-10:]
    ec2._network_interfaces[interface_id] = {
        "NetworkInterfaceId": interface_id,
        "SubnetId": instance["SubnetId"],
        "VpcId": instance["VpcId"],
        "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
        "Description": "",
        "OwnerId": get_account_id(),
        "Status": "in-use",
        "PrivateIpAddress": instance["PrivateIpAddress"],
        "InterfaceType": "interface",
        "SourceDestCheck": True,
        "MacAddress": ":".join(["02", *(digits[at : at + 2] for at in range(0, len(digits), 2))]),
        "Groups": instance["SecurityGroups"],
        "Attachment": {
            "AttachmentId": instance["InstanceId"].replace("i-", "eni-attach-", 1),
            "InstanceId": instance["InstanceId"],
            "DeviceIndex": 0,
            "Status": "attached",
            "AttachTime": instance["LaunchTime"],
        },
    }


def delete_instance(instance_id: str, _properties: Properties) -> None:
    """Delete an AWS::EC2::Instance."""
    ec2._terminate_instances({"InstanceId.1": [instance_id]})
    ec2._network_interfaces.pop(_interface_of(instance_id), None)
    ec2._tags.pop(instance_id, None)
