"""The flow-log service that no emulator has: from packets on the sender's interface to records in CloudWatch Logs.

It finds the flow logs by asking the embedded AWS for them, cuts the captured traffic into capture windows, and
delivers those in bursts as the delivery model deals them, with the rights of the role that each flow log names.

Everything that it does is written to its own log, one JSON object a line and flushed, so that a test can hold what
flowlag measured against what happened. Instants are nanoseconds since the epoch; `windows` are the `start` labels
that the records carry. The events:

    captured       at_ns, src, srcport, dst, dstport, length
    delivery       flow_log_id, log_group, began_ns, finished_ns, records, lost, windows
    undeliverable  flow_log_id, log_group, at_ns, reason, records, windows
    unreachable    at_ns, reason: the embedded AWS did not answer when asked for its flow logs
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Final, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from flowlag.delivery import Preset, Schedule
from flowlag.errors import InvalidFormat
from flowlag.plan import CLOUDWATCH
from flowlag.record import DEFAULT_FORMAT, RecordFormat
from local.flow_logs.records import Delivery, Interface, Packet, Pipeline, records
from local.network.virtual import SENDER_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from mypy_boto3_ec2.type_defs import FlowLogTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

    from local.network.capture import PacketSource

POLL_S: Final = 0.3
"""How often the embedded AWS is asked for its flow logs; a new one is seen that late at most."""

MAX_EVENTS: Final = 10_000
MAX_BATCH_BYTES: Final = 1_048_576
EVENT_OVERHEAD_BYTES: Final = 26
"""The limits of one PutLogEvents: a batch counts each event's UTF-8 bytes and 26 more."""

_ACCESS_ERRORS = {"AccessDenied", "AccessDeniedException", "ResourceNotFoundException", "ValidationError"}
_IMPATIENT = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)
"""A try that fails is told and not repeated: the next poll or burst is near."""


# ---------------------------------------------------------------- the flow logs
@dataclass(frozen=True, slots=True)
class FlowLog:
    """A flow log to CloudWatch Logs, as it was created."""

    flow_log_id: str
    resource_id: str
    traffic_type: str
    log_group: str
    log_format: str
    role_arn: str

    @classmethod
    def of_description(cls, description: FlowLogTypeDef) -> Self:
        """Read one of DescribeFlowLogs."""
        destination = description.get("LogDestination", "")
        return cls(
            flow_log_id=description["FlowLogId"],
            resource_id=description["ResourceId"],
            traffic_type=description["TrafficType"],
            log_group=description.get("LogGroupName") or destination.partition(":log-group:")[2] or destination,
            log_format=description.get("LogFormat") or DEFAULT_FORMAT.log_format,
            role_arn=description.get("DeliverLogsPermissionArn", ""),
        )


def schedule_of(flow_log_id: str, preset: Preset) -> Schedule:
    """The flow log's own schedule. Its phase follows from its id: nobody chose it, and it can be told again."""
    period = round(preset.publish_every_s * 1_000_000)
    return Schedule(preset, int.from_bytes(sha256(flow_log_id.encode()).digest()[:8], "big") % period)


@dataclass(frozen=True, slots=True)
class _Watch:
    """A flow log that the service works for."""

    flow_log: FlowLog
    interface: Interface
    pipeline: Pipeline

    def add(self, packet: Packet) -> None:
        # Nothing is ever rejected here: there are no security groups.
        if self.flow_log.traffic_type != "REJECT":
            self.pipeline.add(packet)

    @property
    def log_stream(self) -> str:
        return f"{self.interface.interface_id}-{self.flow_log.traffic_type.lower()}"


# ---------------------------------------------------------------- the service
class FlowLogService:
    """The service, in a thread of its own between `start` and `stop`.

    Args:
        endpoint: URL of the embedded AWS.
        region: the region that it plays.
        preset: the habits to show, unscaled.
        time_scale: how many times as fast.
        packets: what the sender's interface sees; closed by `stop`.
        log: the file to write events to; an older one is replaced.
        loss: share of the records that vanish before their delivery, from 0 to 1.
        seed: which ones.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own
        self,
        *,
        endpoint: str,
        region: str,
        preset: Preset,
        time_scale: float,
        packets: PacketSource,
        log: Path,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._cloud = _Cloud(endpoint, region)
        self._preset = preset.scaled(time_scale)
        self._packets = packets
        self._journal = _Journal(log)
        self._loss = loss
        self._chance = Random(seed)  # noqa: S311 - which records get lost is no secret
        self._watches: dict[str, _Watch] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flow-log service", daemon=True)

    def start(self) -> None:
        """Begin to capture, and to work for every flow log on the sender's interface, its subnet or its VPC."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once: what is not delivered yet never will be."""
        self._stopping.set()
        self._thread.join()
        self._packets.close()
        self._journal.close()

    def _run(self) -> None:
        next_poll = time.time_ns()
        while not self._stopping.is_set():
            now = time.time_ns()
            self._capture()  # after `now`: so every packet of that instant is counted before its window leaves
            if now >= next_poll:
                self._poll()
                next_poll = now + round(POLL_S * 1e9)
            self._deliver_due(now // 1_000)
            self._stopping.wait((self._next_due(next_poll) - time.time_ns()) / 1e9)
        self._capture()

    def _next_due(self, next_poll: int) -> int:
        return min([next_poll, *(watch.pipeline.next_due * 1_000 for watch in self._watches.values())])

    def _capture(self) -> None:
        for packet in self._packets.drain():
            flow = packet.flow
            self._journal.write(
                "captured",
                at_ns=packet.at_ns,
                src=flow.source,
                srcport=flow.srcport,
                dst=flow.destination,
                dstport=flow.dstport,
                length=packet.length,
            )
            for watch in self._watches.values():
                watch.add(packet)

    def _poll(self) -> None:
        """Learn which flow logs there are. A new one counts from now on; one that is gone counted until now."""
        seen_at = time.time_ns() // 1_000
        try:
            flow_logs = self._cloud.active_flow_logs()
            new = [flow_log for flow_log in flow_logs if flow_log.flow_log_id not in self._watches]
            interface = self._cloud.interface(SENDER_ADDRESS) if new else None
        except (BotoCoreError, ClientError) as reason:
            self._journal.write("unreachable", at_ns=time.time_ns(), reason=str(reason))
            return
        for gone in self._watches.keys() - {flow_log.flow_log_id for flow_log in flow_logs}:
            self._watches[gone].pipeline.delete(seen_at)
        for flow_log in new:
            if interface and flow_log.resource_id in interface.resources:
                pipeline = Pipeline(schedule_of(flow_log.flow_log_id, self._preset), seen_at)
                self._watches[flow_log.flow_log_id] = _Watch(flow_log, interface, pipeline)

    def _deliver_due(self, now: int) -> None:
        for flow_log_id, watch in list(self._watches.items()):
            for delivery in watch.pipeline.due(now):
                self._deliver(watch, delivery)
            if watch.pipeline.is_over:
                del self._watches[flow_log_id]

    def _deliver(self, watch: _Watch, delivery: Delivery) -> None:
        flow_log = watch.flow_log
        write = partial(
            self._journal.write,
            flow_log_id=flow_log.flow_log_id,
            log_group=flow_log.log_group,
            windows=[window.label for window in delivery.windows],
        )
        events: list[InputLogEventTypeDef] = []
        try:
            events = log_events(delivery, watch.interface, RecordFormat.of_string(flow_log.log_format))
            kept = [event for event in events if self._chance.random() >= self._loss]
            logs = self._cloud.logs_as(flow_log.role_arn)
            began_ns = time.time_ns()
            _put(logs, flow_log.log_group, watch.log_stream, kept)
        except (BotoCoreError, ClientError, InvalidFormat) as reason:
            write("undeliverable", at_ns=time.time_ns(), reason=_explained(reason), records=len(events))
        else:
            lost = len(events) - len(kept)
            write("delivery", began_ns=began_ns, finished_ns=time.time_ns(), records=len(kept), lost=lost)


# ---------------------------------------------------------------- log events
def log_events(delivery: Delivery, interface: Interface, record_format: RecordFormat) -> list[InputLogEventTypeDef]:
    """A delivery as CloudWatch Logs gets it: one event a record, its timestamp the record's `start`."""
    return [
        {"timestamp": window.label * 1_000, "message": record_format.format(record)}
        for window in delivery.windows
        for record in records(window, interface, record_format)
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


def _explained(reason: Exception) -> str:
    """The reason in AWS's words, as `DeliverLogsErrorMessage` has them, and in its own."""
    code = reason.response["Error"]["Code"] if isinstance(reason, ClientError) else ""
    return f"{'Access error' if code in _ACCESS_ERRORS else 'Unknown error'}: {reason}"


# ---------------------------------------------------------------- the embedded AWS
class _Cloud:
    """What the service asks of the embedded AWS, as its root."""

    def __init__(self, endpoint: str, region: str) -> None:
        self._region = region
        self._endpoint = endpoint
        self._session = boto3.Session("test", "test", region_name=region)
        self._ec2 = self._session.client("ec2", endpoint_url=endpoint, config=_IMPATIENT)
        self._sts = self._session.client("sts", endpoint_url=endpoint, config=_IMPATIENT)

    def active_flow_logs(self) -> list[FlowLog]:
        """The flow logs to CloudWatch Logs that are active."""
        pages = self._ec2.get_paginator("describe_flow_logs").paginate()
        return [
            FlowLog.of_description(each)
            for page in pages
            for each in page["FlowLogs"]
            if each["FlowLogStatus"] == "ACTIVE" and each.get("LogDestinationType") == CLOUDWATCH
        ]

    def interface(self, address: str) -> Interface | None:
        """The network interface with this private address; None while there is none."""
        for page in self._ec2.get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    if instance.get("PrivateIpAddress") == address and instance["State"]["Name"] == "running":
                        return Interface(
                            interface_id=instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
                            account_id=reservation["OwnerId"],
                            instance_id=instance["InstanceId"],
                            subnet_id=instance["SubnetId"],
                            vpc_id=instance["VpcId"],
                            region=self._region,
                            az_id=self._az_id(instance["Placement"]["AvailabilityZone"]),
                        )
        return None

    def _az_id(self, zone_name: str) -> str:
        (zone,) = self._ec2.describe_availability_zones(ZoneNames=[zone_name])["AvailabilityZones"]
        return zone["ZoneId"]

    def logs_as(self, role_arn: str) -> CloudWatchLogsClient:
        """A client with the rights of a role."""
        credentials = self._sts.assume_role(RoleArn=role_arn, RoleSessionName="vpc-flow-logs")["Credentials"]
        return self._session.client(
            "logs",
            endpoint_url=self._endpoint,
            config=_IMPATIENT,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )


class _Journal:
    """The service's own log."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, event: str, **facts: object) -> None:
        """Write one event; a reader has it when this returns."""
        self._file.write(json.dumps({"event": event, **facts}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
