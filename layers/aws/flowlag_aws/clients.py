"""boto3 clients, one a service and process: making one costs more than using it."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient

_PATIENT = Config(retries={"mode": "legacy", "total_max_attempts": 7})
"""Throttling is met by waiting, for a minute at most: FilterLogEvents allows five calls a second in an account.

Mode `standard` has a budget of retries for each client, and a call that succeeds at its third attempt gives back
only what the third one cost. After a hundred such calls, which a reconciliation makes easily, the client would give
up at the first refusal (botocore 1.43, `retries/standard.py`).
"""


@cache
def ec2() -> EC2Client:
    """Flow logs and instances."""
    return boto3.client("ec2", config=_PATIENT)


@cache
def logs() -> CloudWatchLogsClient:
    """Log groups and their events."""
    return boto3.client("logs", config=_PATIENT)


@cache
def s3(region: str | None = None) -> S3Client:
    """Buckets of this region, or of another one; by whatever name it is called, a region has one client."""
    if region is not None and region == os.environ.get("AWS_REGION"):
        return s3()
    return boto3.client("s3", region_name=region, config=_PATIENT)


@cache
def ssm() -> SSMClient:
    """Commands on the sender and the target."""
    return boto3.client("ssm", config=_PATIENT)


@cache
def stepfunctions() -> SFNClient:
    """Executions, which own what a run makes."""
    return boto3.client("stepfunctions", config=_PATIENT)
