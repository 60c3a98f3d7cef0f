"""What the flow-log service asks of the embedded AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

from flowlag.plan import DESTINATIONS
from local.flow_logs.flow_log import FlowLog
from local.flow_logs.records import Interface

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

SESSION: Final = "vpc-flow-logs"
"""What the service calls its sessions, by which its calls are told from others in a role."""

_IMPATIENT = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)
"""A try that fails is told and not repeated: the next poll or burst is near."""


class Cloud:
    """The embedded AWS, one of its regions, as its root.

    Attributes:
        s3: a client.
    """

    def __init__(self, endpoint: str, region: str) -> None:
        self._region = region
        self._endpoint = endpoint
        self._session = boto3.Session("test", "test", region_name=region)
        self._ec2 = self._session.client("ec2", endpoint_url=endpoint, config=_IMPATIENT)
        self._sts = self._session.client("sts", endpoint_url=endpoint, config=_IMPATIENT)
        self.s3 = self._session.client("s3", endpoint_url=endpoint, config=_IMPATIENT)

    def active_flow_logs(self) -> list[FlowLog]:
        """The flow logs to CloudWatch Logs and to S3 that are active."""
        pages = self._ec2.get_paginator("describe_flow_logs").paginate()
        return [
            FlowLog.of_description(each)
            for page in pages
            for each in page["FlowLogs"]
            if each["FlowLogStatus"] == "ACTIVE" and each.get("LogDestinationType") in DESTINATIONS
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
        """A client of CloudWatch Logs with the rights of a role."""
        credentials = self._sts.assume_role(RoleArn=role_arn, RoleSessionName=SESSION)["Credentials"]
        return self._session.client(
            "logs",
            endpoint_url=self._endpoint,
            config=_IMPATIENT,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )

    def bucket_policy(self, bucket: str) -> str | None:
        """A bucket's policy; None where it has none."""
        try:
            return self.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        except self.s3.exceptions.ClientError as reason:
            if reason.response["Error"]["Code"] == "NoSuchBucketPolicy":
                return None
            raise
