"""The adapters against two clouds: MiniStack with our seams, and moto.

Where one of them is not like AWS, the test that shows it says so, and what AWS does.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import settings
from moto.server import ThreadedMotoServer

from flowlag_aws import clients
from flowlag_aws.store import Store

# A gate says the same of the same code: examples are derived from the test, and a busy machine is no failure.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.load_profile("gate")

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that is up, and that `flowlag_aws.clients` and `boto3.client` talk to."""

    name: str

    @property
    def is_moto(self) -> bool:
        return self.name == "moto"


@pytest.fixture(scope="module", params=["ministack", "moto"])
def aws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    start = {"ministack": ministack, "moto": moto}[request.param]
    with start(tmp_path_factory.mktemp(request.param)) as endpoint, pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", endpoint)
        patched.setenv("AWS_DEFAULT_REGION", REGION)
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setattr(boto3, "DEFAULT_SESSION", None)
        forget_clients()
        yield Cloud(request.param)
    forget_clients()


def forget_clients() -> None:
    for client in (clients.ec2, clients.logs, clients.s3, clients.ssm):
        client.cache_clear()


@contextmanager
def moto(_folder: Path) -> Iterator[str]:
    server = ThreadedMotoServer(LOOPBACK, 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    endpoint = f"http://{LOOPBACK}:{port}"
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.ministack_cloud", str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
        ) as process,
    ):
        try:
            await_answer(endpoint, process, folder / "log")
            yield endpoint
        finally:
            process.stdin.close()  # which it ends by
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


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def store(aws: Cloud, unique: str) -> Store:
    """The store of a bucket of its own."""
    assert aws
    clients.s3().create_bucket(Bucket=unique)
    return Store(unique)
