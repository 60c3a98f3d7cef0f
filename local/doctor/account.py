"""The account that is looked at, through boto3 clients that can only read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient

READING: Final = ("Describe", "Filter", "Get", "List", "Simulate")
"""What names of calls that change nothing begin with."""

NO_BUCKET: Final = "NoSuchBucket"
NOT_FOUND: Final = "ResourceNotFoundException"
"""What CloudWatch Logs and Lambda say of what does not exist."""

_BRISK: Final = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
_BRIEF: Final = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
_AT_ONCE: Final = 12


class NotLooked(FlowlagError):
    """There is nothing to look at, or no way to it; the message says why, and what to do."""


class WriteRefused(Exception):
    """The doctor was about to change something, which is a defect of it."""


class Account:
    """An account in one region.

    Args:
        region: its name; None leaves it to the environment, as the AWS CLI does.

    Raises:
        NotLooked: no region is configured, or there are no credentials.
    """

    def __init__(self, region: str | None) -> None:
        try:
            self._session = boto3.Session(region_name=region)
            has_credentials = self._session.get_credentials() is not None
        except BotoCoreError as reason:
            raise NotLooked(f"the AWS configuration cannot be used: {str(reason).rstrip('.')}") from None
        if not has_credentials:
            raise NotLooked("there are no AWS credentials: configure them as for the AWS CLI")
        if self._session.region_name is None:
            raise NotLooked("no region is configured: give --region")
        self._session.events.register("before-call", _refuse_to_write)
        self.region: str = self._session.region_name

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """Stacks."""
        return self._session.client("cloudformation", config=_BRISK)

    @cached_property
    def cloudwatch(self) -> Any:  # noqa: ANN401 - its types are not installed
        """Metrics."""
        return self._session.client("cloudwatch", config=_BRISK)

    @cached_property
    def ec2(self) -> EC2Client:
        """Flow logs, instances and security groups."""
        return self._session.client("ec2", config=_BRISK)

    @cached_property
    def functions(self) -> LambdaClient:
        """Functions."""
        return self._session.client("lambda", config=_BRISK)

    @cached_property
    def iam(self) -> Any:  # noqa: ANN401 - its types are not installed
        """Roles."""
        return self._session.client("iam", config=_BRISK)

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """Log groups."""
        return self._session.client("logs", config=_BRISK)

    @cached_property
    def s3(self) -> S3Client:
        """Buckets, of other regions, too."""
        return self._session.client("s3", config=_BRISK)

    @cached_property
    def ssm(self) -> SSMClient:
        """Orders to instances."""
        return self._session.client("ssm", config=_BRISK)

    @cached_property
    def states(self) -> SFNClient:
        """Executions."""
        return self._session.client("stepfunctions", config=_BRISK)

    def other_regions_with(self, stack: str) -> list[str]:
        """The other regions that have a stack of this name, as far as they can be asked."""
        try:
            described = self.ec2.describe_regions()["Regions"]
        except (BotoCoreError, ClientError):
            return []
        names = sorted({each["RegionName"] for each in described} - {self.region})
        clients = [self._session.client("cloudformation", name, config=_BRIEF) for name in names]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda client: _has(client, stack), clients)
            return [name for name, has_it in zip(names, found, strict=True) if has_it]


def _has(client: CloudFormationClient, stack: str) -> bool:
    with suppress(BotoCoreError, ClientError):
        return bool(client.describe_stacks(StackName=stack)["Stacks"])
    return False


def _refuse_to_write(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
    if not model.name.startswith(READING):
        raise WriteRefused(f"{model.name} is not a call that only reads")


def code_of(reason: Exception) -> str:
    """The code of AWS's refusal; the name of what else went wrong."""
    return str(reason.response["Error"]["Code"]) if isinstance(reason, ClientError) else type(reason).__name__


def in_words(reason: BotoCoreError | ClientError) -> str:
    """Why AWS did not answer, as one clause."""
    if isinstance(reason, ClientError):
        return f"AWS refused {reason.operation_name} ({code_of(reason)})"
    return f"AWS did not answer: {str(reason).rstrip('.')}"


def is_one_of(reason: ClientError, codes: Iterable[str]) -> bool:
    """Whether AWS's refusal has one of these codes."""
    return code_of(reason) in codes
