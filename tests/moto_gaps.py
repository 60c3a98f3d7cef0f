"""What moto lacks of AWS and our adapters need, whether it runs in a test's process or in one of its own."""

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses.flow_logs import FlowLogs
from moto.s3.models import FakeBucket, S3Backend

type Patch = Callable[[Any, str, Any], None]
"""`setattr`, or that of a MonkeyPatch."""


def fill(patch: Patch) -> None:
    """Fill every gap."""
    deliver_into_folders_of_buckets(patch)
    describe_destination_options(patch)


def deliver_into_folders_of_buckets(patch: Patch) -> None:
    """Let a flow log deliver into a folder of a bucket; moto takes `bucket/folder` for the name of the bucket.

    No bucket's name has a slash, so that nobody else asks for such a one.
    """
    get_bucket = S3Backend.get_bucket

    def get_bucket_of_folder(backend: S3Backend, name: str) -> FakeBucket:
        return get_bucket(backend, name.partition("/")[0])

    patch(S3Backend, "get_bucket", get_bucket_of_folder)


def describe_destination_options(patch: Patch) -> None:
    """Describe a flow log with its DestinationOptions, which moto drops."""
    create = FlowLogs.create_flow_logs

    def create_flow_logs(request: FlowLogs) -> ActionResult:
        answer = create(request)
        for flow_log_id in answer.result["FlowLogIds"]:
            flow_log = request.ec2_backend.flow_logs[flow_log_id]
            flow_log.destination_options = request._get_param("DestinationOptions")
        return answer

    patch(FlowLogs, "create_flow_logs", create_flow_logs)
