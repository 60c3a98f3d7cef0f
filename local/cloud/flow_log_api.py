"""EC2's flow-log API as AWS documents it: CreateFlowLogs, DescribeFlowLogs and DeleteFlowLogs.

MiniStack keeps flow logs but takes whatever it is given. These are its three request handlers anew, on its own
store; `local.cloud.seams` puts them in place. A handler takes EC2's query parameters, each a list, and returns
status, headers and body.
"""

# ruff: noqa: SLF001 - MiniStack's stores and helpers have private names only

from __future__ import annotations

import re
import secrets
from collections import Counter
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import cloudwatch_logs, ec2, s3

from flowlag.errors import FlowlagError, InvalidFormat
from flowlag.plan import CLOUDWATCH, FILE_FORMATS, PLAIN_TEXT, S3
from flowlag.record import DEFAULT_FORMAT, RecordFormat
from local.cloud.bucket_policies import GET_BUCKET_ACL, PUT_OBJECT, lets_logs_in
from local.flow_logs.objects import RESERVED, Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    type Parameters = Mapping[str, list[str]]
    type Response = tuple[int, dict[str, str], bytes]
    type FlowLog = dict[str, str]

MOST_PER_RESOURCE: Final = 2
"""The VPC quota until 2019, which may still hold: nobody should rely on more."""

_RESOURCES: Final[Mapping[str, tuple[Any, str]]] = {
    "VPC": (ec2._vpcs, "InvalidVpcID.NotFound"),
    "Subnet": (ec2._subnets, "InvalidSubnetID.NotFound"),
    "NetworkInterface": (ec2._network_interfaces, "InvalidNetworkInterfaceID.NotFound"),
}
"""Where resources of a type are kept, and what EC2 says of one that is not there."""

_FORMAT = re.compile(r"\$\{[a-z0-9-]+\}( \$\{[a-z0-9-]+\})*")
_BUCKET_ARN = re.compile(r"arn:aws:s3:::[^/]+(/.*)?")
_TRUE: Final = "true"
_FILTERS: Final = {
    "deliver-log-status": "DeliverLogsStatus",
    "flow-log-id": "FlowLogId",
    "log-destination-type": "LogDestinationType",
    "log-group-name": "LogGroupName",
    "resource-id": "ResourceId",
    "traffic-type": "TrafficType",
}
_SHOWN: Final = (
    "FlowLogId", "FlowLogStatus", "CreationTime", "ResourceId", "TrafficType", "LogDestinationType",
    "LogDestination", "LogGroupName", "LogFormat", "DeliverLogsPermissionArn", "DeliverLogsStatus",
    "DeliverLogsErrorMessage", "MaxAggregationInterval",
)  # fmt: skip

_OPTIONS: Final = ("FileFormat", "HiveCompatiblePartitions", "PerHourPartition")

_answered: Any = AccountRegionScopedDict()
"""ClientToken to the request that it came with and the ids that it got: a repetition gets the same."""


class _Refused(FlowlagError):
    """The request as a whole is refused, with an error code of EC2."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# ---------------------------------------------------------------- the three calls
def create_flow_logs(parameters: Parameters) -> Response:
    """CreateFlowLogs: one flow log a resource. What is wrong with one resource only is in `Unsuccessful`."""
    try:
        wanted = _wanted(parameters)
        token = _one(parameters, "ClientToken")
        ids, unsuccessful = _again(token, parameters) or _create(wanted, parameters)
    except _Refused as refusal:
        return _error(refusal)
    if token and ids:
        _answered[token] = (_fingerprint(parameters), ids)
    return _answer(
        "CreateFlowLogs",
        f"<clientToken>{escape(token or '')}</clientToken>"
        f"<flowLogIdSet>{_items(ids)}</flowLogIdSet><unsuccessful>{_items(unsuccessful)}</unsuccessful>",
    )


def describe_flow_logs(parameters: Parameters) -> Response:
    """DescribeFlowLogs: all flow logs, or those with the given ids that pass all filters."""
    ids = ec2._parse_member_list(parameters, "FlowLogId")
    filters: dict[str, list[str]] = ec2._parse_filters(parameters)
    try:
        tests = [_test(name, values) for name, values in filters.items()]
    except _Refused as refusal:
        return _error(refusal)
    found = [each for each in _all() if (not ids or each["FlowLogId"] in ids) and all(test(each) for test in tests)]
    return _answer("DescribeFlowLogs", f"<flowLogSet>{_items(map(_description, found))}</flowLogSet>")


def delete_flow_logs(parameters: Parameters) -> Response:
    """DeleteFlowLogs: delete what exists; what does not is in `Unsuccessful`."""
    unsuccessful = []
    for flow_log_id in ec2._parse_member_list(parameters, "FlowLogId"):
        if ec2._flow_logs.pop(flow_log_id, None) is None:
            message = f"These flow log ids in the input list are not found: [TotalCount: 1] {flow_log_id}"
            unsuccessful.append(_unsuccessful(flow_log_id, "InvalidFlowLogId.NotFound", message))
        ec2._tags.pop(flow_log_id, None)
    return _answer("DeleteFlowLogs", f"<unsuccessful>{_items(unsuccessful)}</unsuccessful>")


# ---------------------------------------------------------------- creation
def _wanted(parameters: Parameters) -> FlowLog:
    """The flow log that a request describes, but for its resource; absent parameters are absent.

    Raises:
        _Refused: the parameters contradict each other, or what AWS allows.
    """
    kind = _one(parameters, "ResourceType")
    if kind not in _RESOURCES:
        raise _Refused("InvalidParameter", f"ResourceType is one of {', '.join(_RESOURCES)}, not {kind}")
    if not ec2._parse_member_list(parameters, "ResourceId"):
        raise _Refused("MissingParameter", "The request must contain the parameter ResourceIds")
    traffic = _one(parameters, "TrafficType")
    if traffic is None:
        raise _Refused("MissingParameter", "The request must contain the parameter TrafficType")
    if traffic not in ("ACCEPT", "REJECT", "ALL"):
        raise _Refused("InvalidParameter", f"TrafficType is one of ACCEPT, REJECT, ALL, not {traffic}")
    interval = _one(parameters, "MaxAggregationInterval") or "600"
    if interval not in ("60", "600"):
        raise _Refused("InvalidParameter", "Invalid Flow Log Max Aggregation Interval")
    wanted = {
        "ResourceType": kind,
        "TrafficType": traffic,
        "MaxAggregationInterval": interval,
        "LogFormat": _log_format(parameters),
        **_destination(parameters),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _log_format(parameters: Parameters) -> str:
    log_format = _one(parameters, "LogFormat")
    if log_format is None:
        return DEFAULT_FORMAT.log_format
    try:
        if _FORMAT.fullmatch(log_format):
            return RecordFormat.of_string(log_format).log_format
    except InvalidFormat as reason:
        raise _Refused("InvalidParameter", f"LogFormat: {reason}") from None
    raise _Refused("InvalidParameter", f"Value '{log_format}' at 'logFormat' has an invalid format")


def _destination(parameters: Parameters) -> dict[str, str | None]:
    kind = _one(parameters, "LogDestinationType") or CLOUDWATCH
    destination, group = _one(parameters, "LogDestination"), _one(parameters, "LogGroupName")
    role = _one(parameters, "DeliverLogsPermissionArn")
    if kind not in (CLOUDWATCH, S3):
        raise _Refused("InvalidParameter", f"LogDestinationType is {CLOUDWATCH} or {S3} here, not {kind}")
    if not destination and not group:
        raise _Refused("InvalidParameter", "LogDestination can't be empty if LogGroupName is not provided.")
    if kind == S3 and group:
        raise _Refused("InvalidParameter", f"LogDestination type must be {CLOUDWATCH} if LogGroupName is provided.")
    if kind == S3 and role:
        raise _Refused("InvalidParameter", "DeliverLogsPermissionArn is not applicable for s3 delivery.")
    if kind == CLOUDWATCH and not role:
        raise _Refused(
            "InvalidParameter",
            f"DeliverLogsPermissionArn can't be empty if LogDestinationType is {CLOUDWATCH}.",
        )
    if kind == S3:
        return {"LogDestinationType": S3, "LogDestination": _bucket_arn(destination), **_options(parameters)}
    if any(_one(parameters, f"DestinationOptions.{name}") for name in _OPTIONS):
        raise _Refused("InvalidParameter", f"DestinationOptions is not applicable for {CLOUDWATCH} delivery.")
    return {
        "LogDestinationType": CLOUDWATCH,
        "LogDestination": destination,
        "LogGroupName": group or (destination or "").partition(":log-group:")[2] or None,
        "DeliverLogsPermissionArn": role,
    }


def _bucket_arn(destination: str | None) -> str:
    if destination is None or not _BUCKET_ARN.fullmatch(destination):
        raise _Refused("InvalidParameter", f"LogDestination: {destination} is not the ARN of a bucket")
    if RESERVED in destination.split("/"):
        raise _Refused("InvalidParameter", f"LogDestination: {RESERVED} is a reserved term")
    return destination


def _options(parameters: Parameters) -> dict[str, str]:
    file_format, *switches = (_one(parameters, f"DestinationOptions.{name}") for name in _OPTIONS)
    if file_format not in (None, *FILE_FORMATS):
        raise _Refused("InvalidParameter", f"FileFormat is one of {', '.join(FILE_FORMATS)}, not {file_format}")
    if not {*switches} <= {None, _TRUE, "false"}:
        raise _Refused("InvalidParameter", f"{' and '.join(_OPTIONS[1:])} are true or false")
    values = (file_format or PLAIN_TEXT, *(switch or "false" for switch in switches))
    return dict(zip(_OPTIONS, values, strict=True))


def _again(token: str | None, parameters: Parameters) -> tuple[list[str], list[str]] | None:
    """The answer to an earlier request with the same ClientToken."""
    if token not in _answered:
        return None
    fingerprint, ids = _answered[token]
    if fingerprint != _fingerprint(parameters):
        raise _Refused("IdempotentParameterMismatch", "The client token was used before, with other parameters.")
    return ids, []


def _fingerprint(parameters: Parameters) -> list[tuple[str, list[str]]]:
    return sorted((name, values) for name, values in parameters.items() if name != "ClientToken")


def _create(wanted: FlowLog, parameters: Parameters) -> tuple[list[str], list[str]]:
    resources = ec2._parse_member_list(parameters, "ResourceId")
    for resource in resources:
        if any(_is_like(each, wanted, resource) for each in _all()):
            raise _Refused(
                "FlowLogAlreadyExists",
                "Error. There is an existing Flow Log with the same configuration and log destination.",
            )
    ids, unsuccessful = [], []
    for resource in resources:
        problem = _problem(wanted, resource)
        if problem is None:
            ids.append(_add(wanted, resource, parameters))
        else:
            unsuccessful.append(_unsuccessful(resource, *problem))
    return ids, unsuccessful


def _is_like(existing: FlowLog, wanted: FlowLog, resource: str) -> bool:
    place = ("LogDestination", "LogGroupName")
    return existing["ResourceId"] == resource and all(existing.get(each) == wanted.get(each) for each in place)


def _problem(wanted: FlowLog, resource: str) -> tuple[str, str] | None:
    """Code and message of why this resource gets no flow log."""
    store, not_found = _RESOURCES[wanted["ResourceType"]]
    if resource not in store:
        return not_found, f"The {wanted['ResourceType']} '{resource}' does not exist"
    if wanted["LogDestinationType"] == S3:
        bucket = _folder(wanted).bucket
        if bucket not in s3._buckets:
            return "400", f"LogDestination: {bucket} does not exist"
        if not _bucket_lets_logs_in(wanted):
            return "400", f"Access Denied for LogDestination: {bucket}. Please check LogDestination permission"
    if Counter(each["ResourceId"] for each in _all())[resource] >= MOST_PER_RESOURCE:
        return "FlowLogsLimitExceeded", f"{resource} has {MOST_PER_RESOURCE} flow logs already"
    return None


def _folder(flow_log: FlowLog) -> Folder:
    return Folder.of_arn(
        flow_log["LogDestination"],
        file_format=flow_log["FileFormat"],
        hive_compatible=flow_log["HiveCompatiblePartitions"] == _TRUE,
        per_hour=flow_log["PerHourPartition"] == _TRUE,
    )


def _bucket_lets_logs_in(flow_log: FlowLog) -> bool:
    """Whether the bucket's policy has the two rights that AWS documents (flow-logs-s3-permissions.html).

    AWS would write such a policy by itself, over the one that is there, if the caller may: ours may not.
    """
    folder, account_id, region = _folder(flow_log), get_account_id(), get_region()
    bucket = f"arn:aws:s3:::{folder.bucket}"
    path = folder.path(account_id, region, int(datetime.now(UTC).timestamp()))
    return all(
        lets_logs_in(s3._bucket_policies.get(folder.bucket), action, arn, account_id=account_id, region=region)
        for action, arn in ((PUT_OBJECT, f"{bucket}/{path}"), (GET_BUCKET_ACL, bucket))
    )


def _add(wanted: FlowLog, resource: str, parameters: Parameters) -> str:
    flow_log_id = f"fl-{secrets.token_hex(9)[:17]}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ec2._flow_logs[flow_log_id] = {
        **wanted,
        "FlowLogId": flow_log_id,
        "ResourceId": resource,
        "FlowLogStatus": "ACTIVE",
        "CreationTime": now,
    }
    ec2._parse_tag_specs(parameters, "vpc-flow-log", flow_log_id)
    return flow_log_id


# ---------------------------------------------------------------- description
def _all() -> list[FlowLog]:
    return [_with_delivery_status(each) for each in ec2._flow_logs.values()]


def _with_delivery_status(flow_log: FlowLog) -> FlowLog:
    """SUCCESS says only that nothing is known to be wrong, as on AWS.

    Here, that the log group exists, or that the bucket does and its policy lets flow logs in.
    """
    if _is_accessible(flow_log):
        return {**flow_log, "DeliverLogsStatus": "SUCCESS"}
    return {**flow_log, "DeliverLogsStatus": "FAILED", "DeliverLogsErrorMessage": "Access error"}


def _is_accessible(flow_log: FlowLog) -> bool:
    if flow_log["LogDestinationType"] == S3:
        return _bucket_lets_logs_in(flow_log)
    group = flow_log.get("LogGroupName")
    return group is None or group in cloudwatch_logs._log_groups


def _test(name: str, values: list[str]) -> Callable[[FlowLog], bool]:
    if name == "tag-key" or name.startswith("tag:"):
        return lambda flow_log: bool(ec2._resource_matches_tag_filters(flow_log["FlowLogId"], {name: values}))
    if name not in _FILTERS:
        raise _Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
    return lambda flow_log: any(fnmatchcase(flow_log.get(_FILTERS[name], ""), value) for value in values)


def _description(flow_log: FlowLog) -> str:
    options = _elements(flow_log, _OPTIONS)
    return (
        _elements(flow_log, _SHOWN)
        + (f"<destinationOptions>{options}</destinationOptions>" if options else "")
        + str(ec2._tag_set_xml(flow_log["FlowLogId"]))
    )


# ---------------------------------------------------------------- EC2's XML
def _one(parameters: Parameters, name: str) -> str | None:
    return str(ec2._p(parameters, name)) or None


def _elements(flow_log: FlowLog, names: Iterable[str]) -> str:
    return "".join(f"<{_tag(name)}>{escape(flow_log[name])}</{_tag(name)}>" for name in names if name in flow_log)


def _tag(name: str) -> str:
    return name[0].lower() + name[1:]


def _items(contents: Iterable[str]) -> str:
    return "".join(f"<item>{content}</item>" for content in contents)


def _unsuccessful(resource: str, code: str, message: str) -> str:
    error = f"<error><code>{code}</code><message>{escape(message)}</message></error>"
    return f"{error}<resourceId>{escape(resource)}</resourceId>"


def _answer(call: str, content: str) -> Response:
    response: Response = ec2._xml(200, f"{call}Response", content)
    return response


def _error(refusal: _Refused) -> Response:
    response: Response = ec2._error(refusal.code, escape(str(refusal)), 400)
    return response
