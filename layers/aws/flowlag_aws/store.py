"""The two buckets of a stack.

The work bucket stays in the stack's region and goes with it:

    control/<run>/...                     plan, ledger, capture, creation and first delivery of arms
    control/claims/<instance>.json        which run a sender works for
    control/bundles/<sha256>.zip          the sender's code
    landing/<run>/<arm>/<digest>.parquet  what DecodeRecords knows at once, before the run is closed
    deliveries/<run>/<arm>/AWSLogs/...    what flow logs deliver to S3

The results bucket is one for all regions and outlives every stack:

    <table>/region=<r>/dt=<yyyy-mm-dd>/<name>.parquet
    profiles/..., report/...              of `reports`
"""

from __future__ import annotations

import json
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from flowlag.errors import FlowlagError
from flowlag.plan import RunPlan
from flowlag_aws import clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client


CONTROL: Final = "control/"
CLAIMS: Final = "control/claims/"
DELIVERIES: Final = "deliveries/"
LANDING: Final = "landing/"

_KEYS_PER_DELETE = 1_000
_CONDITION_FAILED = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
"""The second: two conditional writes of one key at once (S3's PutObject, read 2026-11)."""


class NotDeleted(FlowlagError):
    """S3 answered DeleteObjects with HTTP 200 and errors."""


class NotStored(FlowlagError):
    """An object that an earlier step should have written is not there."""


class Store:
    """One bucket. A key names its content, so that every write may be repeated.

    Args:
        bucket: its name.
        region: where it is, if not here.
    """

    def __init__(self, bucket: str, region: str | None = None) -> None:
        self.bucket = bucket
        self._region = region

    @property
    def _s3(self) -> S3Client:
        return clients.s3(self._region)

    def put(self, key: str, data: bytes) -> str:
        """Write an object, whole or not at all, and return its key."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=data)
        return key

    def put_for_browsers(self, key: str, data: bytes, content_type: str, cache_control: str) -> None:
        """Write an object as `put` does, with what a browser has to know of it."""
        self._s3.put_object(
            Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, CacheControl=cache_control
        )

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object unless its key is taken, and tell whether it was written. What was first stays."""
        return self._put_if(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Write an object over the one that was read with `etag`; False if somebody else was faster."""
        return self._put_if(key, data, IfMatch=etag)

    def _put_if(self, key: str, data: bytes, **condition: str) -> bool:
        try:
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=data, **condition)  # type: ignore[arg-type]
        except ClientError as error:
            if error.response["Error"]["Code"] in _CONDITION_FAILED:
                return False
            raise
        return True

    def find(self, key: str) -> bytes | None:
        """An object's bytes; None if it does not exist."""
        try:
            return self.get(key)
        except NotStored:
            return None

    def get(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            NotStored: it does not exist.
        """
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """An object's bytes, and the name of this version of it, for `replace`.

        Raises:
            NotStored: it does not exist.
        """
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            # Without s3:ListBucket a missing key is answered with 403; the functions have it, for a clear 404.
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                raise NotStored(
                    f"s3://{self.bucket}/{key} does not exist: the step that writes it did not run"
                ) from None
            raise
        return answer["Body"].read(), answer["ETag"]

    def exists(self, key: str) -> bool:
        """Whether an object exists."""
        return key in set(self.keys(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for each in page.get("Contents", []):
                yield each["Key"]

    def put_control(self, run_id: str, name: str, document: dict[str, Any]) -> None:
        """Write a control document of a run."""
        self.put(_control_key(run_id, f"{name}.json"), json.dumps(document, indent=1).encode())

    def find_control(self, run_id: str, name: str) -> dict[str, Any] | None:
        """A control document of a run; None if it was not written."""
        data = self.find(_control_key(run_id, f"{name}.json"))
        return None if data is None else json.loads(data)

    def find_text(self, run_id: str, name: str) -> str | None:
        """A text file that the sender or the target uploaded; None if it did not."""
        data = self.find(_control_key(run_id, name))
        return None if data is None else data.decode()

    def put_new_control(self, run_id: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """Write a control document of a run unless it was written before, and return the one that stays."""
        key = _control_key(run_id, f"{name}.json")
        if self.put_new(key, json.dumps(document, indent=1).encode()):
            return document
        written: dict[str, Any] = json.loads(self.get(key))
        return written

    def put_plan(self, plan: RunPlan) -> RunPlan:
        """Write a run's plan unless it has one, and return the one that stays."""
        return RunPlan.of_json(self.put_new_control(plan.run_id, "plan", plan.to_json()))

    def plan(self, run_id: str) -> RunPlan:
        """A run's plan.

        Raises:
            NotStored: there is none, so PlanRun did not get that far.
        """
        return RunPlan.of_json(json.loads(self.get(_control_key(run_id, "plan.json"))))

    def find_plan(self, run_id: str) -> RunPlan | None:
        """A run's plan; None if PlanRun did not get that far."""
        document = self.find_control(run_id, "plan")
        return None if document is None else RunPlan.of_json(document)

    def delete(self, prefix: str) -> int:
        """Delete every object under a prefix, and return how many."""
        deleted = 0
        for keys in batched(self.keys(prefix), _KEYS_PER_DELETE, strict=False):
            answer = self._s3.delete_objects(
                Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
            for error in answer.get("Errors", []):
                raise NotDeleted(f"s3://{self.bucket}/{error.get('Key')} was not deleted: {error.get('Message')}")
            deleted += len(keys)
        return deleted

    def folders(self, prefix: str) -> Iterator[str]:
        """The names right under a prefix that have something under themselves, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            for each in page.get("CommonPrefixes", []):
                yield each["Prefix"].removeprefix(prefix).removesuffix("/")

    def landing_keys(self, run_id: str, arm: str) -> Iterator[str]:
        """The objects that DecodeRecords wrote for an arm."""
        return self.keys(f"{LANDING}{run_id}/{arm}/")


def landing_key(run_id: str, arm: str, digest: str) -> str:
    """Where DecodeRecords puts one delivery."""
    return f"{LANDING}{run_id}/{arm}/{digest}.parquet"


def delivery_prefix(run_id: str, arm: str) -> str:
    """Where the flow log of an arm delivers to."""
    return f"{DELIVERIES}{run_id}/{arm}"


def claim_key(instance_id: str) -> str:
    """Where it says which run a sender works for."""
    return f"{CLAIMS}{instance_id}.json"


def bundle_key(sha256: str) -> str:
    """Where the sender's code lies."""
    return f"control/bundles/{sha256}.zip"


def _control_key(run_id: str, name: str) -> str:
    return f"{CONTROL}{run_id}/{name}"
