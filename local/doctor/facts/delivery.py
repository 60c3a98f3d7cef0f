"""The flow logs of a run, what lets their records in, and where to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from flowlag_aws.clock import micros
from flowlag_aws.flow_logs import OWNER_TAG
from local.doctor.account import NO_BUCKET, is_one_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from local.doctor.account import Account
    from local.doctor.policies import Policy
    from local.doctor.scope import Scope


# ---------------------------------------------------------------- flow logs
@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLog:
    """A flow log of the run. `destination` is a log group or the folder of a bucket, without the bucket's ARN."""

    flow_log_id: str
    destination: str
    created_at: Micros
    status: str
    delivery: str
    error: str
    traffic_type: str
    log_format: str
    role_arn: str


def flow_logs(account: Account, scope: Scope) -> dict[str, FlowLog]:
    """Arm to its flow log, of those that there are; by their owner's tag and where they deliver to."""
    if scope.run is None:
        return {}
    pages = account.ec2.get_paginator("describe_flow_logs").paginate(
        Filters=[{"Name": f"tag:{OWNER_TAG}", "Values": [scope.run.execution]}]
    )
    found = {each.destination: each for page in pages for each in map(_flow_log, page["FlowLogs"])}
    places = {**scope.log_groups, **scope.folders}
    return {arm: found[place] for arm, place in places.items() if place in found}


def _flow_log(described: Mapping[str, Any]) -> FlowLog:
    folder = described.get("LogDestination", "").partition("/")[2].strip("/")
    return FlowLog(
        flow_log_id=described["FlowLogId"],
        destination=described.get("LogGroupName") or folder,
        created_at=micros(described["CreationTime"]),
        status=described["FlowLogStatus"],
        delivery=described.get("DeliverLogsStatus", ""),
        error=described.get("DeliverLogsErrorMessage", ""),
        traffic_type=described["TrafficType"],
        log_format=described.get("LogFormat", ""),
        role_arn=described.get("DeliverLogsPermissionArn", ""),
    )


# ---------------------------------------------------------------- the delivery role
@dataclass(frozen=True, slots=True)
class Role:
    """A role: what it is refused, as pairs of arm and action; None where there is no such role."""

    refused: Sequence[tuple[str, str]] | None


def delivery_role(account: Account, scope: Scope) -> Role:
    """What the delivery role may do to the log groups, by AWS's own simulator."""
    arn = _role_arn(account, scope)
    if arn is None:
        return Role(None)
    return Role(
        [
            (arm, action)
            for arm, group in scope.log_groups.items()
            for resource, actions in _needed(scope, group).items()
            for action in _refused(account, arn, actions, resource)
        ]
    )


def _needed(scope: Scope, group: str) -> dict[str, list[str]]:
    """Resource to the actions on it that delivering to a log group takes.

    The service authorization reference pairs them so (list_amazoncloudwatchlogs.html, read 2026-11).
    """
    arn = scope.stack.arn("logs", f"log-group:{group}")
    return {
        f"{arn}:*": ["logs:CreateLogStream", "logs:DescribeLogStreams"],
        f"{arn}:log-stream:any": ["logs:PutLogEvents"],
        "*": ["logs:DescribeLogGroups"],
    }


def _refused(account: Account, role_arn: str, actions: Sequence[str], resource: str) -> list[str]:
    simulated = account.iam.simulate_principal_policy(
        PolicySourceArn=role_arn, ActionNames=actions, ResourceArns=[resource]
    )
    return [each["EvalActionName"] for each in simulated["EvaluationResults"] if each["EvalDecision"] != "allowed"]


def _role_arn(account: Account, scope: Scope) -> str | None:
    role = _role(account, scope)
    return role["Arn"] if role else None


def _role(account: Account, scope: Scope) -> Mapping[str, Any] | None:
    try:
        role: Mapping[str, Any] = account.iam.get_role(RoleName=scope.stack.resources["FlowLogDeliveryRole"])[
            "Role"
        ]
    except ClientError as reason:
        if is_one_of(reason, {"NoSuchEntity"}):
            return None
        raise
    return role


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may assume the delivery role; the policy is None where there is no role."""

    policy: Policy | None


def delivery_trust(account: Account, scope: Scope) -> Trust:
    """The trust policy of the delivery role."""
    role = _role(account, scope)
    return Trust(role["AssumeRolePolicyDocument"] if role else None)


# ---------------------------------------------------------------- the destinations
@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group: how many days it keeps its events (None: for ever), and its class."""

    retention_days: int | None
    kind: str


def log_groups(account: Account, scope: Scope) -> dict[str, LogGroup]:
    """Arm to its log group, of those that there are."""
    arms = {group: arm for arm, group in scope.log_groups.items()}
    if not arms:
        return {}
    prefix = f"{next(iter(arms)).rpartition('/')[0]}/"
    pages = account.logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return {
        arms[each["logGroupName"]]: LogGroup(each.get("retentionInDays"), each.get("logGroupClass", "STANDARD"))
        for page in pages
        for each in page["logGroups"]
        if each["logGroupName"] in arms
    }


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, if it exists, and its policy, if it has one."""

    exists: bool
    policy: Policy | None = None


def work_bucket(account: Account, scope: Scope) -> Bucket:
    """The bucket that flow logs deliver to."""
    try:
        return Bucket(
            exists=True, policy=json.loads(account.s3.get_bucket_policy(Bucket=scope.stack.work_bucket)["Policy"])
        )
    except ClientError as reason:
        if is_one_of(reason, {"NoSuchBucketPolicy"}):
            return Bucket(exists=True)
        if is_one_of(reason, {NO_BUCKET}):
            return Bucket(exists=False)
        raise


def results_bucket(account: Account, scope: Scope) -> Bucket:
    """The bucket that results go to, wherever it is."""
    try:
        account.s3.list_objects_v2(Bucket=scope.stack.results_bucket, MaxKeys=1)
    except ClientError as reason:
        if is_one_of(reason, {NO_BUCKET}):
            return Bucket(exists=False)
        raise
    return Bucket(exists=True)
