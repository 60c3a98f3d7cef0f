"""What has arrived, and how it comes from the log groups to the decoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from flowlag.probe import Event, ProbeFilter
from flowlag_aws.clock import micros
from local.doctor.account import NO_BUCKET, NOT_FOUND, is_one_of
from local.doctor.facts.delivery import flow_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from flowlag.plan import RunPlan
    from local.doctor.account import Account
    from local.doctor.facts.delivery import FlowLog
    from local.doctor.policies import Policy
    from local.doctor.scope import Scope


# ---------------------------------------------------------------- records
@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What an arm's flow log has delivered lately.

    Attributes:
        flow_log: None where it is gone, as after a run; then `lately` is ever.
        probes: how many of its records are probes; None in S3, where a file is not opened.
        others: how many records are none; files, in S3.
        is_there: whether there is a log group to look into.
    """

    flow_log: FlowLog | None
    probes: int | None
    others: int
    is_there: bool = True


def arrived(account: Account, scope: Scope, lately_s: Mapping[str, float]) -> dict[str, Arrived]:
    """Arm to what has arrived within its `lately_s` seconds; ever, where its flow log is gone."""
    if scope.plan is None:
        return {}
    there = flow_logs(account, scope)
    since = {arm: scope.at - round(lately_s[arm] * 1_000_000) if arm in there else 0 for arm in lately_s}
    return {
        **{
            arm: _events(account, group, scope.plan, since[arm], there.get(arm))
            for arm, group in scope.log_groups.items()
        },
        **{
            arm: _objects(account, scope.stack.work_bucket, folder, since[arm], there.get(arm))
            for arm, folder in scope.folders.items()
        },
    }


def _events(account: Account, group: str, plan: RunPlan, since: Micros, flow_log: FlowLog | None) -> Arrived:
    """The first page with something on it tells enough; pages may be empty."""
    pages = account.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since // 1_000)
    try:
        events = next((page["events"] for page in pages if page["events"]), [])
    except ClientError as reason:
        if is_one_of(reason, {NOT_FOUND}):
            return Arrived(flow_log=flow_log, probes=0, others=0, is_there=False)
        raise
    sifted = ProbeFilter.of(plan).sift(
        Event(str(each["eventId"]), each["message"], each["ingestionTime"] * 1_000) for each in events
    )
    return Arrived(flow_log=flow_log, probes=len(sifted.probes), others=len(events) - len(sifted.probes))


def _objects(account: Account, bucket: str, folder: str, since: Micros, flow_log: FlowLog | None) -> Arrived:
    pages = account.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
    try:
        files = [
            each for page in pages for each in page.get("Contents", []) if micros(each["LastModified"]) >= since
        ]
    except ClientError as reason:
        if is_one_of(reason, {NO_BUCKET}):
            return Arrived(flow_log=flow_log, probes=None, others=0, is_there=False)
        raise
    return Arrived(flow_log=flow_log, probes=None, others=len(files))


# ---------------------------------------------------------------- the subscription
@dataclass(frozen=True, slots=True)
class Filter:
    """A subscription filter: where it sends what it lets through."""

    destination: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """The function DecodeRecords.

    Attributes:
        reserved: its reserved concurrency; None where none is reserved.
        policy: who may invoke it; None where nobody but the account itself may.
        errors: how often it failed in the last hour.
    """

    arn: str
    state: str
    reserved: int | None
    policy: Policy | None
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """How records come from the log groups to the decoder; an arm without a log group is not in `filters`."""

    decoder: Decoder | None
    filters: Mapping[str, Sequence[Filter]]


def subscription(account: Account, scope: Scope) -> Subscription:
    """The decoder, and the filters of the run's log groups."""
    filters = {}
    for arm, group in scope.log_groups.items() if scope.plan else ():
        try:
            found = account.logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
        except ClientError as reason:
            if not is_one_of(reason, {NOT_FOUND}):
                raise
        else:
            filters[arm] = [Filter(each["destinationArn"], each.get("filterPattern", "")) for each in found]
    return Subscription(decoder=_decoder(account, scope), filters=filters)


def _decoder(account: Account, scope: Scope) -> Decoder | None:
    name = scope.stack.resources["DecodeRecordsFunction"]
    try:
        described = account.functions.get_function_configuration(FunctionName=name)
    except ClientError as reason:
        if is_one_of(reason, {NOT_FOUND}):
            return None
        raise
    return Decoder(
        arn=described["FunctionArn"],
        state=described.get("State", "Active"),
        reserved=account.functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
        policy=_policy_of_function(account, name),
        errors=_errors(account, scope, name),
    )


def _policy_of_function(account: Account, name: str) -> Policy | None:
    try:
        policy: Policy = json.loads(account.functions.get_policy(FunctionName=name)["Policy"])
    except ClientError as reason:
        if is_one_of(reason, {NOT_FOUND}):
            return None
        raise
    return policy


def _errors(account: Account, scope: Scope, name: str) -> int:
    until = datetime.fromtimestamp(scope.at / 1_000_000, UTC)
    points: list[dict[str, float]] = account.cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=until - timedelta(hours=1),
        EndTime=until,
        Period=3_600,
        Statistics=["Sum"],
    )["Datapoints"]
    return round(sum(each["Sum"] for each in points))
