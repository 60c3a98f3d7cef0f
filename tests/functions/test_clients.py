from collections.abc import Iterator

import pytest

from flowlag_aws import clients
from tests.functions.run import REGION


@pytest.fixture(autouse=True)
def on_lambda(guarded_clients: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert guarded_clients  # they are made with its session
    monkeypatch.setenv("AWS_REGION", REGION)
    clients.s3.cache_clear()
    yield
    clients.s3.cache_clear()


def test_in_its_own_region_a_function_has_one_client_of_s3_however_it_asks() -> None:
    assert clients.s3(REGION) is clients.s3()
    assert clients.s3().meta.region_name == REGION


def test_another_region_has_a_client_of_its_own() -> None:
    away = clients.s3("eu-central-1")
    assert away is clients.s3("eu-central-1")
    assert away is not clients.s3()
    assert away.meta.region_name == "eu-central-1"
