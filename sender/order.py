"""The order: what one run wants of an instance, and where that instance keeps the run's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowlag.address import check_private
from flowlag.errors import InvalidRequest
from flowlag.signature import LONGEST, RUN_ID, SHORTEST

if TYPE_CHECKING:
    from pathlib import Path

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_BOUNDS = {
    "port": (1, 65_535),
    "rate": (1, 1_000),
    "payload_bytes": (SHORTEST, LONGEST),
    "duration_s": (1, 172_800),  # 48 hours, the longest that SSM lets a command run
}


@dataclass(frozen=True)
class Order:
    """What was ordered. `port` is the target's, `rate` is probes a second, `home` holds the files of every run.

    Raises:
        InvalidRequest: a value cannot be used; the message names it.
    """

    run_id: str
    bucket: str
    source: str
    target: str
    port: int
    rate: int
    payload_bytes: int
    duration_s: int
    home: Path

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run_id):
            raise InvalidRequest(f"a run id is 1 to 64 letters, digits, '-' or '_', not '{self.run_id[:80]}'")
        if not _BUCKET.fullmatch(self.bucket):
            raise InvalidRequest(f"'{self.bucket[:80]}' is not the name of an S3 bucket")
        check_private(self.source, "source")  # whatever answers a probe would answer a forged one, too
        check_private(self.target, "target")
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidRequest(f"{name} is a number from {low} to {high}, not {value}")

    @property
    def directory(self) -> Path:
        """Where this instance keeps the run's files."""
        return self.home / "runs" / self.run_id

    @property
    def ledger(self) -> Path:
        """The ledger, in the format of `flowlag.ledger`."""
        return self.directory / "ledger.csv"

    @property
    def capture(self) -> Path:
        """The capture, in the format of `flowlag.capture`."""
        return self.directory / "capture.csv"

    def uri(self, file: Path) -> str:
        """Where in S3 one of the run's files belongs."""
        return f"s3://{self.bucket}/control/{self.run_id}/{file.name}"

    def arguments(self) -> list[str]:
        """The order as the command line that `python -m sender ACTION` takes."""
        return [
            *("--run-id", self.run_id),
            *("--bucket", self.bucket),
            *("--source", self.source),
            *("--target", self.target),
            *("--port", str(self.port)),
            *("--rate", str(self.rate)),
            *("--payload-bytes", str(self.payload_bytes)),
            *("--duration", str(self.duration_s)),
        ]
