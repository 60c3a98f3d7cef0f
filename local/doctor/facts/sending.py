"""What there is to send probes with, and whether they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from flowlag.ledger import END
from flowlag_aws.clock import micros
from flowlag_aws.store import CONTROL
from local.doctor.account import NO_BUCKET, in_words, is_one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_ec2.type_defs import InstanceTypeDef, IpPermissionTypeDef

    from flowlag.instants import Micros
    from flowlag.plan import RunPlan
    from local.doctor.account import Account
    from local.doctor.scope import Scope

_TAIL: Final = "bytes=-64"
"""More than the last line of a ledger."""


# ---------------------------------------------------------------- the region
def unreachable_services(account: Account, _: Scope) -> dict[str, str]:
    """The services that do not answer, each with why. One that refuses has answered."""
    calls: dict[str, Callable[[], object]] = {
        "EC2": account.ec2.describe_availability_zones,
        "Systems Manager": account.ssm.describe_instance_information,
    }
    failures = {}
    for service, call in calls.items():
        try:
            call()
        except ClientError:
            pass
        except BotoCoreError as reason:
            failures[service] = in_words(reason)
    return failures


# ---------------------------------------------------------------- the instances
@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An instance. `state` is None where there is no such instance any more."""

    role: str
    instance_id: str
    state: str | None = None
    is_online: bool = False
    kind: str | None = None
    address: str | None = None
    groups: frozenset[str] = frozenset()


def machines(account: Account, scope: Scope) -> list[Machine]:
    """Sender and target of the run that is under way; else all that the stack has."""
    roles = _roles(scope)
    pages = account.ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-id", "Values": list(roles)}]
    )
    found = {
        instance["InstanceId"]: instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }
    online = _online(account, list(roles))
    return [_machine(role, each, found.get(each), is_online=each in online) for each, role in roles.items()]


def _roles(scope: Scope) -> dict[str, str]:
    """Instance id to role. Those of a run that is over may be gone for good."""
    resources, plan = scope.stack.resources, scope.plan
    if plan and scope.run and not scope.run.is_over:
        roles = {plan.sender_instance_id: "sender", plan.target_instance_id: "target"}
    else:
        names = {"SenderInstance": "sender", "SecondSenderInstance": "second sender", "TargetInstance": "target"}
        roles = {resources.get(name): role for name, role in names.items()}
    return {instance_id: role for instance_id, role in roles.items() if instance_id}


def _online(account: Account, ids: Sequence[str]) -> set[str]:
    pages = account.ssm.get_paginator("describe_instance_information").paginate(
        Filters=[{"Key": "InstanceIds", "Values": list(ids)}]
    )
    return {
        each["InstanceId"]
        for page in pages
        for each in page["InstanceInformationList"]
        if each["PingStatus"] == "Online"
    }


def _machine(role: str, instance_id: str, instance: InstanceTypeDef | None, *, is_online: bool) -> Machine:
    if instance is None or instance["State"]["Name"] == "terminated":
        return Machine(role=role, instance_id=instance_id)
    return Machine(
        role=role,
        instance_id=instance_id,
        state=instance["State"]["Name"],
        is_online=is_online,
        kind=instance["InstanceType"],
        address=instance.get("PrivateIpAddress"),
        groups=frozenset(group["GroupId"] for group in instance.get("SecurityGroups", [])),
    )


# ---------------------------------------------------------------- traffic
@dataclass(frozen=True, slots=True)
class Order:
    """An order to the sender: `start-sending` or `stop-sending`, when, and what became of it."""

    action: str
    at: Micros
    status: str


@dataclass(frozen=True, slots=True)
class Upload:
    """The ledger as it was uploaded last; `is_closed` if the sender has ended in good order."""

    at: Micros
    is_closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What there is to send with, what the sender was last ordered to do in this run, and what it uploaded."""

    machines: Sequence[Machine]
    order: Order | None = None
    upload: Upload | None = None


def traffic(account: Account, scope: Scope) -> Traffic:
    """Whether probes are leaving, as far as one sees from outside."""
    if scope.plan is None:
        return Traffic(machines=machines(account, scope))
    return Traffic(
        machines=machines(account, scope),
        order=_last_order(account, scope, scope.plan),
        upload=_upload(account, scope, scope.plan),
    )


def _last_order(account: Account, scope: Scope, plan: RunPlan) -> Order | None:
    document = scope.stack.resources["TrafficDocument"]
    orders = (
        Order(each["Parameters"]["Action"][0], micros(each["RequestedDateTime"]), each["Status"])
        for each in account.ssm.list_commands(InstanceId=plan.sender_instance_id)["Commands"]
        if each["DocumentName"] == document and each["Parameters"]["RunId"] == [plan.run_id]
    )
    return max(orders, key=lambda order: order.at, default=None)


def _upload(account: Account, scope: Scope, plan: RunPlan) -> Upload | None:
    key = f"{CONTROL}{plan.run_id}/ledger.csv"
    try:
        answer = account.s3.get_object(Bucket=scope.stack.work_bucket, Key=key, Range=_TAIL)
    except ClientError as reason:
        if is_one_of(reason, {"NoSuchKey", NO_BUCKET}):
            return None
        raise
    lines = answer["Body"].read().decode().splitlines()
    return Upload(micros(answer["LastModified"]), is_closed=lines[-1:] == [END])


# ---------------------------------------------------------------- security groups
@dataclass(frozen=True, slots=True)
class Rule:
    """What a security group lets through: a protocol, ports, and to or from whom (CIDRs, groups, prefix lists)."""

    protocol: str
    low: int
    high: int
    peers: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the security groups of sender and target let through. `target` is None where it is somebody's own."""

    sender: Machine | None
    target: Machine | None
    address: str | None
    port: int
    egress: Sequence[Rule] = ()
    ingress: Sequence[Rule] = ()


def doors(account: Account, scope: Scope) -> Doors:
    """The rules on the way of a probe."""
    by_role = {each.role: each for each in machines(account, scope)}
    sender, target, plan = by_role.get("sender"), by_role.get("target"), scope.plan
    parameters = scope.stack.parameters
    return Doors(
        sender=sender,
        target=target,
        address=plan.target_address if plan else target.address if target else parameters.get("TargetAddress"),
        port=plan.target_port if plan else int(parameters["ProbePort"]),
        egress=_rules(account, sender, "IpPermissionsEgress"),
        ingress=_rules(account, target, "IpPermissions"),
    )


def _rules(account: Account, machine: Machine | None, direction: str) -> list[Rule]:
    if machine is None or not machine.groups:
        return []
    groups = account.ec2.describe_security_groups(GroupIds=sorted(machine.groups))["SecurityGroups"]
    return [_rule(each) for group in groups for each in group.get(direction, [])]  # type: ignore[attr-defined]


def _rule(permission: IpPermissionTypeDef) -> Rule:
    """Without ports it is about all of them; protocol -1 is every one."""
    peers = [
        *(each.get("CidrIp") for each in permission.get("IpRanges", [])),
        *(each.get("GroupId") for each in permission.get("UserIdGroupPairs", [])),
        *(each.get("PrefixListId") for each in permission.get("PrefixListIds", [])),
    ]
    return Rule(
        permission["IpProtocol"],
        permission.get("FromPort", 0),
        permission.get("ToPort", 65_535),
        frozenset(each for each in peers if each),
    )


# ---------------------------------------------------------------- the hypervisor
def hypervisor(account: Account, scope: Scope) -> str | None:
    """The sender's, from DescribeInstanceTypes; DescribeInstances says `xen` for Nitro, too."""
    if scope.plan:
        return scope.plan.hypervisor
    kinds = [each.kind for each in machines(account, scope) if each.role == "sender" and each.kind]
    if not kinds:
        return None
    described = account.ec2.describe_instance_types(InstanceTypes=kinds)["InstanceTypes"]  # type: ignore[arg-type]
    return described[0].get("Hypervisor") if described else None
