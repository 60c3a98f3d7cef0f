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
    aggregation_interval_s: int
    destination: LogGroup | Folder

    @classmethod
    def of_description(cls, description: FlowLogTypeDef) -> Self:
        """Read one of DescribeFlowLogs."""
        return cls(
            flow_log_id=description["FlowLogId"],
            resource_id=description["ResourceId"],
            traffic_type=description["TrafficType"],
            record_format=RecordFormat.of_string(description.get("LogFormat") or DEFAULT_FORMAT.log_format),
            aggregation_interval_s=description.get("MaxAggregationInterval", 600),
            destination=_destination(description),
        )

    def schedule(self, preset: Preset, time_scale: float = 1) -> Schedule:
        """Its own schedule. Phase and lag follow from its id: nobody chose them, and they can be told again.

        Args:
            preset: the habits of the service.
            time_scale: how many times as fast it is.
        """
        is_to_s3 = isinstance(self.destination, Folder)
        habits = preset.to_s3 if is_to_s3 else preset.under(self.aggregation_interval_s)
        digest = sha256(self.flow_log_id.encode()).digest()
        phase, lag = (int.from_bytes(each, "big") / 2**64 for each in (digest[:8], digest[8:16]))
        return Schedule.drawn(habits.scaled(time_scale), phase, lag)


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
