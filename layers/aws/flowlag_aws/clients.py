"""boto3 clients, one a service and process: making one costs more than using it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

_PATIENT = Config(retries={"mode": "standard", "max_attempts": 8})
"""FilterLogEvents allows five calls a second in an account; throttling is met by waiting."""


@cache
def ec2() -> EC2Client:
    """Flow logs and instances."""
    return boto3.client("ec2", config=_PATIENT)


@cache
def logs() -> CloudWatchLogsClient:
    """Log groups and their events."""
    return boto3.client("logs", config=_PATIENT)


@cache
def s3() -> S3Client:
    """The results bucket."""
    return boto3.client("s3", config=_PATIENT)


@cache
def ssm() -> SSMClient:
    """Commands on the sender and the target."""
    return boto3.client("ssm", config=_PATIENT)
