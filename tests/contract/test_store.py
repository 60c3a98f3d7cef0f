import pytest
from botocore.exceptions import ClientError

from flowlag_aws import clients
from flowlag_aws.store import NotStored, Store
from tests.functions.run import PLAN

pytestmark = pytest.mark.slow


def test_what_was_put_is_found_under_its_key(store: Store) -> None:
    data = bytes(range(256)) * 300
    assert store.put("a/region=r/dt=2026-11-23/x.parquet", data) == "a/region=r/dt=2026-11-23/x.parquet"
    assert store.find("a/region=r/dt=2026-11-23/x.parquet") == data
    assert store.get("a/region=r/dt=2026-11-23/x.parquet") == data


def test_what_is_put_again_replaces(store: Store) -> None:
    for data in (b"first", b"second"):
        store.put("key", data)
    assert (store.get("key"), list(store.keys(""))) == (b"second", ["key"])


def test_what_is_new_only_once_stays(store: Store) -> None:
    for data in (b"first", b"second"):
        assert store.put_new("key", data) == "key"
    assert store.get("key") == b"first"
    store.put("key", b"third")
    assert store.get("key") == b"third"


def test_what_is_not_there_is_not_found(store: Store) -> None:
    assert store.find("key") is None
    with pytest.raises(NotStored) as missing:
        store.get("key")
    assert str(missing.value) == f"s3://{store.bucket}/key does not exist: the step that writes it did not run"


def test_an_empty_object_is_there(store: Store) -> None:
    store.put("key", b"")
    assert (store.find("key"), store.exists("key")) == (b"", True)


def test_a_key_exists_if_it_is_that_key(store: Store) -> None:
    store.put("control/bundles/abc.zip", b"")
    assert store.exists("control/bundles/abc.zip")
    assert not store.exists("control/bundles/abc")
    assert not store.exists("control/bundles")


def test_the_keys_under_a_prefix_come_in_order_from_every_page(store: Store) -> None:
    names = [f"landing/run/arm/{number}.parquet" for number in range(7)]
    for name in (*reversed(names), "landing/run/arm-2/0.parquet", "landing/run-2/arm/0.parquet"):
        store.put(name, b"")

    def in_pages_of_two(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 2

    asked = []
    events = clients.s3().meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", in_pages_of_two)
    events.register("before-call.s3.ListObjectsV2", lambda **_: asked.append(1))
    try:
        assert list(store.landing_keys("run", "arm")) == names
        assert len(asked) == 4
        assert list(store.landing_keys("run", "none")) == []
    finally:
        events.unregister("before-parameter-build.s3.ListObjectsV2", in_pages_of_two)


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_is_not_there_is_an_error_and_not_an_absence(unique: str) -> None:
    store = Store(unique)
    for use in (lambda: store.find("key"), lambda: store.put("key", b""), lambda: store.put_new("key", b"")):
        with pytest.raises(ClientError, match="NoSuchBucket"):
            use()


def test_control_documents_and_texts_come_back_as_they_were(store: Store) -> None:
    document = {"polls": 1, "first_hit_at": None, "reason": "é \n"}
    store.put_control("run", "arm.first_delivery", document)
    assert store.find_control("run", "arm.first_delivery") == document
    assert store.find_control("run", "arm.creation") is None
    store.put("control/run/ledger.csv", "tick,é\n".encode())
    assert store.find_text("run", "ledger.csv") == "tick,é\n"
    assert store.find_text("run", "capture.csv") is None


def test_a_plan_comes_back_as_it_was(store: Store) -> None:
    assert store.find_plan(PLAN.run_id) is None
    store.put_plan(PLAN)
    assert store.plan(PLAN.run_id) == store.find_plan(PLAN.run_id) == PLAN
    with pytest.raises(NotStored):
        store.plan("another-run")
