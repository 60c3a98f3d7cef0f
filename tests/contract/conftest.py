"""The adapters against two clouds: MiniStack with our seams, and moto.

Where one of them is not like AWS, the test that shows it says so, and what AWS does.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from uuid import uuid4

import boto3
import pytest

from flowlag_aws import clients
from flowlag_aws.store import Store
from tests.contract.clouds import MODULES, REGION, Cloud, server


@pytest.fixture(scope="session")
def endpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Where a cloud answers, which is started when it is first asked for."""
    with ExitStack() as up:

        @cache
        def endpoint_of(name: str) -> str:
            return up.enter_context(server(MODULES[name], folder=tmp_path_factory.mktemp(name)))

        yield endpoint_of


@pytest.fixture(scope="module", params=MODULES)
def aws(request: pytest.FixtureRequest, endpoint_of: Callable[[str], str]) -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", endpoint_of(request.param))
        patched.setenv("AWS_DEFAULT_REGION", REGION)
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setattr(boto3, "DEFAULT_SESSION", None)
        forget_clients()
        yield Cloud(request.param)
    forget_clients()


def forget_clients() -> None:
    for client in (clients.ec2, clients.logs, clients.s3, clients.ssm, clients.stepfunctions):
        client.cache_clear()


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
