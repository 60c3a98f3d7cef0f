"""A flow log as DescribeFlowLogs tells it, and how its deliveries are timed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from flowlag.delivery import Preset, Schedule
from flowlag.plan import PLAIN_TEXT, S3
from flowlag.record import DEFAULT_FORMAT, RecordFormat
from local.flow_logs.objects import Folder

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FlowLogTypeDef


@dataclass(frozen=True, slots=True)
class LogGroup:
    """Where in CloudWatch Logs a flow log delivers to, and with whose rights."""

    name: str
    role_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLog:
    """A flow log, as it was created."""

    flow_log_id: str
    resource_id: str
    traffic_type: str
    record_format: RecordFormat
    destination: LogGroup | Folder

    @classmethod
    def of_description(cls, description: FlowLogTypeDef) -> Self:
        """Read one of DescribeFlowLogs."""
        return cls(
            flow_log_id=description["FlowLogId"],
            resource_id=description["ResourceId"],
            traffic_type=description["TrafficType"],
            record_format=RecordFormat.of_string(description.get("LogFormat") or DEFAULT_FORMAT.log_format),
            destination=_destination(description),
        )

    def schedule(self, preset: Preset) -> Schedule:
        """Its own schedule. Its phase follows from its id: nobody chose it, and it can be told again."""
        habits = preset.to_s3 if isinstance(self.destination, Folder) else preset
        period = round(habits.publish_every_s * 1_000_000)
        digest = sha256(self.flow_log_id.encode()).digest()
        return Schedule(habits, int.from_bytes(digest[:8], "big") % period)


def _destination(description: FlowLogTypeDef) -> LogGroup | Folder:
    destination = description.get("LogDestination", "")
    if description.get("LogDestinationType") == S3:
        options = description.get("DestinationOptions", {})
        return Folder.of_arn(
            destination,
            file_format=options.get("FileFormat", PLAIN_TEXT),
            hive_compatible=options.get("HiveCompatiblePartitions", False),
            per_hour=options.get("PerHourPartition", False),
        )
    return LogGroup(
        name=description.get("LogGroupName") or destination.partition(":log-group:")[2] or destination,
        role_arn=description.get("DeliverLogsPermissionArn", ""),
    )
