"""The results bucket: tables of Parquet, and the control documents by which the functions of a run hand over.

<table>/region=<r>/dt=<yyyy-mm-dd>/<name>.parquet     what Athena reads
landing/<run>/<arm>/<digest>.parquet                  what DecodeRecords knows at once, before the run is closed
control/<run>/...                                     plan, ledger, capture, creation and first delivery of arms
control/bundles/<sha256>.zip                          the sender's code
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from flowlag.errors import FlowlagError
from flowlag.plan import RunPlan
from flowlag_aws import clients

if TYPE_CHECKING:
    from collections.abc import Iterator


class NotStored(FlowlagError):
    """An object that an earlier step should have written is not there."""


class Store:
    """The results bucket of one stack. A key names its content, so that every write may be repeated."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def put(self, key: str, data: bytes) -> str:
        """Write an object, whole or not at all, and return its key."""
        clients.s3().put_object(Bucket=self.bucket, Key=key, Body=data)
        return key

    def put_new(self, key: str, data: bytes) -> str:
        """Write an object unless its key is taken, and return the key. What was written first stays."""
        try:
            clients.s3().put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
        return key

    def find(self, key: str) -> bytes | None:
        """An object's bytes; None if it does not exist."""
        try:
            return clients.s3().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            # Without s3:ListBucket a missing key is answered with 403; the functions have it, for a clear 404.
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return None
            raise

    def get(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            NotStored: it does not exist.
        """
        data = self.find(key)
        if data is None:
            raise NotStored(f"s3://{self.bucket}/{key} does not exist: the step that writes it did not run")
        return data

    def exists(self, key: str) -> bool:
        """Whether an object exists."""
        return key in set(self.keys(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        pages = clients.s3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
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

    def put_plan(self, plan: RunPlan) -> None:
        """Write a run's plan."""
        self.put_control(plan.run_id, "plan", plan.to_json())

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

    def landing_keys(self, run_id: str, arm: str) -> Iterator[str]:
        """The objects that DecodeRecords wrote for an arm."""
        return self.keys(f"landing/{run_id}/{arm}/")


def landing_key(run_id: str, arm: str, digest: str) -> str:
    """Where DecodeRecords puts one delivery."""
    return f"landing/{run_id}/{arm}/{digest}.parquet"


def bundle_key(sha256: str) -> str:
    """Where the sender's code lies."""
    return f"control/bundles/{sha256}.zip"


def _control_key(run_id: str, name: str) -> str:
    return f"control/{run_id}/{name}"
