"""The adapters against two clouds: MiniStack with our seams, and moto.

Where one of them is not like AWS, the test that shows it says so, and what AWS does.
"""

from collections.abc import Iterator
from uuid import uuid4

import boto3
import pytest

from flowlag_aws import clients
from flowlag_aws.store import Store
from tests.contract.clouds import MODULES, REGION, Cloud, free_port, server


@pytest.fixture(scope="module", params=MODULES)
def aws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp(request.param)
    with (
        server(MODULES[request.param], free_port(), folder=folder) as endpoint,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("AWS_ENDPOINT_URL", endpoint)
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
