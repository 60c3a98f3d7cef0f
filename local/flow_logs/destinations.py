"""Where flow logs deliver to: CloudWatch Logs, and S3.

A delivery goes out in parcels: to CloudWatch Logs as one, to S3 as one object for each five minutes that its
records end in. Either way the service's log says where a parcel went.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, groupby
from typing import TYPE_CHECKING, Final, Protocol

from flowlag.errors import FlowlagError
from local.cloud.bucket_policies import PUT_OBJECT, lets_logs_in
from local.flow_logs.objects import FILE_S, Folder, body

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

    from flowlag.record import FlowRecord, RecordFormat
    from local.flow_logs.cloud import Cloud
    from local.flow_logs.faults import Faults
    from local.flow_logs.flow_log import FlowLog, LogGroup
    from local.flow_logs.records import Interface, Window

MAX_EVENTS: Final = 10_000
MAX_BATCH_BYTES: Final = 1_048_576
EVENT_OVERHEAD_BYTES: Final = 26
"""The limits of one PutLogEvents: a batch counts each event's UTF-8 bytes and 26 more."""

type Facts = Mapping[str, object]
"""What the service's log says of a parcel, as JSON values."""


class AccessRefused(FlowlagError):
    """A destination does not let the flow-log service in."""


@dataclass(frozen=True, slots=True)
class Told:
    """A window's records as they are delivered, and how many of them got lost before."""

    window: Window
    records: Sequence[FlowRecord]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a destination gets in one piece, and where it is to lie."""

    place: Facts
    contents: Sequence[Told]

    @property
    def records(self) -> list[FlowRecord]:
        """Its records, in order."""
        return [record for told in self.contents for record in told.records]

    @property
    def lost(self) -> int:
        """How many further records it would have."""
        return sum(told.lost for told in self.contents)

    @property
    def windows(self) -> list[int]:
        """The labels of its windows."""
        return [told.window.label for told in self.contents]


class Destination(Protocol):
    """Where one flow log delivers to."""

    def parcels(self, delivery: Sequence[Told]) -> list[Parcel]:
        """Pack what becomes visible together."""

    def send(self, parcel: Parcel) -> Facts:
        """Deliver a parcel, and say what the destination says of it.

        Raises:
            AccessRefused: it does not let us.
            ClientError: it does not want this.
            BotoCoreError: it does not answer.
        """


def destination_of(flow_log: FlowLog, interface: Interface, cloud: Cloud, faults: Faults) -> Destination:
    """The destination that a flow log names, for the records of one interface."""
    if isinstance(flow_log.destination, Folder):
        return S3(flow_log, flow_log.destination, interface, cloud, faults)
    return CloudWatchLogs(flow_log, flow_log.destination, interface, cloud)


# ---------------------------------------------------------------- CloudWatch Logs
class CloudWatchLogs:
    """A log stream of a log group: one event a record, written with the rights of the flow log's role."""

    def __init__(self, flow_log: FlowLog, group: LogGroup, interface: Interface, cloud: Cloud) -> None:
        self._group = group
        self._stream = f"{interface.interface_id}-{flow_log.traffic_type.lower()}"
        self._record_format = flow_log.record_format
        self._cloud = cloud

    def parcels(self, delivery: Sequence[Told]) -> list[Parcel]:
        """All in one."""
        return [Parcel({"log_group": self._group.name}, delivery)]

    def send(self, parcel: Parcel) -> Facts:
        """Put the records as events. CloudWatch Logs says nothing of them."""
        logs = self._cloud.logs_as(self._group.role_arn)
        _put(logs, self._group.name, self._stream, log_events(parcel.records, self._record_format))
        return {}


def log_events(records: Iterable[FlowRecord], record_format: RecordFormat) -> list[InputLogEventTypeDef]:
    """Records as CloudWatch Logs gets them: one event each, its timestamp the record's `start`."""
    return [
        {"timestamp": (record.number("start") or 0) * 1_000, "message": record_format.format(record)}
        for record in records
    ]


def batches(events: Iterable[InputLogEventTypeDef]) -> Iterator[list[InputLogEventTypeDef]]:
    """The events, in order, in batches that PutLogEvents takes."""
    batch: list[InputLogEventTypeDef] = []
    size = 0
    for event in events:
        event_size = len(event["message"].encode()) + EVENT_OVERHEAD_BYTES
        if len(batch) == MAX_EVENTS or (batch and size + event_size > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event_size
    if batch:
        yield batch


def _put(logs: CloudWatchLogsClient, group: str, stream: str, events: Sequence[InputLogEventTypeDef]) -> None:
    """Put events into a stream, made where it is missing. The group never is: the template's role may not."""
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    for batch in batches(events):
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)


# ---------------------------------------------------------------- S3
class S3:
    """A folder of a bucket: an object for each five minutes, written if the bucket's policy lets AWS's service."""

    def __init__(
        self, flow_log: FlowLog, folder: Folder, interface: Interface, cloud: Cloud, faults: Faults
    ) -> None:
        self._flow_log = flow_log
        self._folder = folder
        self._interface = interface
        self._cloud = cloud
        self._faults = faults
        self._numbers = count()

    def parcels(self, delivery: Sequence[Told]) -> list[Parcel]:
        """One for each five minutes that windows end in; where all its records got lost, it is no object."""
        return [
            Parcel(self._place(second, holds_records=any(told.records for told in contents)), contents)
            for second, contents in ((second, list(contents)) for second, contents in groupby(delivery, _file_of))
        ]

    def _place(self, second: int, *, holds_records: bool) -> Facts:
        if not holds_records:
            return {"bucket": self._folder.bucket, "key": None, "truncated": False}
        number = next(self._numbers)
        digest = sha256(f"{self._flow_log.flow_log_id} {number}".encode()).hexdigest()[:8]
        return {
            "bucket": self._folder.bucket,
            "key": self._folder.key(self._flow_log.flow_log_id, self._interface, second, digest),
            "truncated": self._faults.truncated and number % 2 == 1,
        }

    def send(self, parcel: Parcel) -> Facts:
        """Put an object, and say when S3 says that it came: `last_modified`, ISO 8601, in whole seconds."""
        key = parcel.place["key"]
        if not isinstance(key, str):
            return {"last_modified": None}
        self._check_access(key)
        contents = body(self._folder.file_format, self._flow_log.record_format, parcel.records)
        if parcel.place["truncated"]:
            contents = contents[: len(contents) // 2]
        self._cloud.s3.put_object(Bucket=self._folder.bucket, Key=key, Body=contents)
        head = self._cloud.s3.head_object(Bucket=self._folder.bucket, Key=key)
        return {"last_modified": head["LastModified"].isoformat()}

    def _check_access(self, key: str) -> None:
        bucket, account_id, region = self._folder.bucket, self._interface.account_id, self._interface.region
        policy = self._cloud.bucket_policy(bucket)
        arn = f"arn:aws:s3:::{bucket}/{key}"
        if not lets_logs_in(policy, PUT_OBJECT, arn, account_id=account_id, region=region):
            raise AccessRefused(f"the policy of the bucket '{bucket}' does not let flow logs of {region} put {key}")


def _file_of(told: Told) -> int:
    """Where the five minutes begin that a window ends in, in seconds since the epoch."""
    return told.window.end // 1_000_000 // FILE_S * FILE_S
