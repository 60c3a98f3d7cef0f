from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from flowlag_aws import clients
from flowlag_aws import store as store_module
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
        assert store.put_new("key", data) is (data == b"first")
    assert store.get("key") == b"first"
    store.put("key", b"third")
    assert store.get("key") == b"third"


def test_what_was_read_is_replaced_unless_somebody_was_faster(store: Store) -> None:
    store.put("key", b"first")
    data, etag = store.get_with_etag("key")
    assert data == b"first"
    assert store.replace("key", b"second", etag)
    assert not store.replace("key", b"third", etag)
    assert store.get("key") == b"second"
    assert store.replace("key", b"third", store.get_with_etag("key")[1])
    assert store.get("key") == b"third"


def test_of_many_who_write_a_new_object_at_once_one_does(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda number: store.put_new("key", b"%d" % number), range(8)))
    assert sum(written) == 1
    assert store.get("key") == b"%d" % written.index(True)


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
    events = clients.s3(None).meta.events  # the store's own client
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


def test_everything_under_a_prefix_is_deleted_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_KEYS_PER_DELETE", 3)
    names = [f"deliveries/run/arm/{number}/é+ %.log.gz" for number in range(7)]
    others = ["deliveries/run-2/x", "deliveries/run.parquet", "landing/run/x"]
    for name in (*names, *others):
        store.put(name, b"")
    assert store.delete("deliveries/run/") == 7
    assert list(store.keys("")) == others
    assert store.delete("deliveries/run/") == 0
    assert store.delete("") == 3
    assert list(store.keys("")) == []


def test_the_folders_under_a_prefix_are_named_once_and_in_order(store: Store) -> None:
    for name in ("deliveries/b/1/x", "deliveries/b/2/x", "deliveries/a/x", "deliveries/x", "landing/c/x"):
        store.put(name, b"")
    assert list(store.folders("deliveries/")) == ["a", "b"]
    assert list(store.folders("deliveries/b/")) == ["1", "2"]
    assert list(store.folders("none/")) == []


def test_what_was_written_about_a_run_first_stays(store: Store) -> None:
    first, second = {"at": 1, "reason": "é"}, {"at": 2}
    assert store.put_new_control("run", "closed", first) == first
    assert store.put_new_control("run", "closed", second) == first
    assert store.find_control("run", "closed") == first


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
    assert store.put_plan(PLAN) == PLAN
    assert store.put_plan(replace(PLAN, planned_at=PLAN.planned_at + 1)) == PLAN
    assert store.plan(PLAN.run_id) == store.find_plan(PLAN.run_id) == PLAN
    with pytest.raises(NotStored):
        store.plan("another-run")
