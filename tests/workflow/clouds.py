"""The clouds that the state machine must run on, each in a process of its own; and ours to talk to it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.ports import LOOPBACK, port_of_ours

REGION = "us-east-1"
CLOUDS = ("ministack", "moto")

TIME_SCALE = 0.05
"""A Wait state or a pause before a retry takes this share of what it says: at least a twentieth of a second."""

START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that is up."""

    name: str
    endpoint: str

    def client(self, service: str) -> Any:
        """A client of one of its services. May be shared by threads."""
        return _client(self.endpoint, service)


@cache
def _client(endpoint: str, service: str) -> Any:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION).client(
        service, endpoint_url=endpoint, config=Config(retries={"mode": "standard"})
    )


@contextmanager
def running(name: str, folder: Path) -> Iterator[Cloud]:
    """Run a cloud, with its temporary files and its log in `folder`."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "SFN_WAIT_SCALE": str(TIME_SCALE),
    }
    with (
        port_of_ours() as port,
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", f"tests.workflow.{name}_cloud", str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us: we end it
        ) as process,
    ):
        cloud = Cloud(name, f"http://{LOOPBACK}:{port}")
        try:
            _await_answer(cloud, process)
            yield cloud
        finally:
            process.stdin.close()  # which it ends by
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _await_answer(cloud: Cloud, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            cloud.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError):
            assert process.poll() is None, f"{cloud.name} did not start"
            assert time.monotonic() < deadline, f"{cloud.name} does not answer"
            time.sleep(0.1)
        else:
            return
