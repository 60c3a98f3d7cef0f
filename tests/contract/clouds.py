"""The clouds that the adapters must work with, each in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.ports import LOOPBACK, port_of_ours

REGION = "us-east-1"
START_TIMEOUT_S = 60
MODULES = {"ministack": "tests.contract.ministack_cloud", "moto": "tests.contract.moto_cloud"}

ONLY_MINISTACK, ONLY_MOTO = (
    pytest.mark.parametrize("aws", [name], indirect=True, scope="module") for name in MODULES
)
"""Marks of tests that show what one of them alone has or lacks."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that is up, and that `flowlag_aws.clients` and `boto3.client` talk to."""

    name: str

    @property
    def is_moto(self) -> bool:
        return self.name == "moto"


@contextmanager
def server(module: str, *, folder: Path) -> Iterator[str]:
    """Run a cloud in a process of its own, with its temporary files and its log in `folder`."""
    with (
        port_of_ours() as port,
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", module, str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
        ) as process,
    ):
        endpoint = f"http://{LOOPBACK}:{port}"
        try:
            await_answer(endpoint, process, folder / "log")
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def await_answer(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    sts = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION).client(
        "sts", endpoint_url=endpoint
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            sts.get_caller_identity()
        except (BotoCoreError, ClientError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return
