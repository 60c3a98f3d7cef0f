"""The objects of a flow log in S3: which are read, and when each was delivered."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from flowlag.probe import Sifted
from flowlag_aws import clients, flow_log_objects
from flowlag_aws.clock import micros, now
from flowlag_aws.store import Store
from tests import flow_records
from tests.contract.flow_log_files import FLOW_LOG, FOREIGN, NODATA, gzipped, key, parquet
from tests.flow_records import OURS, Record

pytestmark = pytest.mark.slow

ARM = "deliveries/run-1/s3-text-600"
OLDER = "fl-0fedcba9876543210"
LAYOUTS = {
    "by day": "012345678901/vpcflowlogs/us-east-1/{day}",
    "by hour": "012345678901/vpcflowlogs/us-east-1/{day}/{hour}",
    "hive": "aws-account-id=012345678901/aws-service=vpcflowlogs/aws-region=us-east-1/year=2022/month=03/{day}",
}

TICK = now() // 1_000_000 - 300
"""The clouds stamp what is put with the time of this machine, and a tick is told by its delivery, too."""


def record(tick: int = TICK) -> Record:
    return flow_records.record(tick)


def put(store: Store, below: str, data: bytes, *, prefix: str = ARM) -> int:
    """Deliver an object, and return when it was delivered, in whole seconds."""
    whole = f"{prefix}/{below}"
    store.put(whole, data)
    return micros(clients.s3().head_object(Bucket=store.bucket, Key=whole)["LastModified"])


def sift(store: Store, prefix: str = ARM, until: int | None = None) -> Sifted:
    return flow_log_objects.sift(store.bucket, prefix, FLOW_LOG, OURS, until=until)


def ticks(sifted: Sifted) -> list[int]:
    return sorted(probe.tick for _, probe in sifted.probes)


@contextmanager
def in_pages_of(size: int) -> Iterator[list[str]]:
    """Have S3 list few keys at once; the prefixes that it is asked for, in order."""
    asked = []

    def ask_for_few(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = size
        asked.append(str(params["Prefix"]))

    events = clients.s3().meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", ask_for_few)
    try:
        yield asked
    finally:
        events.unregister("before-parameter-build.s3.ListObjectsV2", ask_for_few)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_read_across_the_hour_and_across_midnight(store: Store, layout: str) -> None:
    for number, minute in enumerate(["20220303T2255", "20220303T2300", "20220303T2355", "20220304T0000"]):
        put(store, key(minute, layout=layout), gzipped([record(TICK + number)]))
    assert ticks(sift(store)) == [TICK, TICK + 1, TICK + 2, TICK + 3]


def test_a_record_was_delivered_when_its_object_was_last_modified(store: Store) -> None:
    begin = now()
    texts = [record() | FOREIGN, record(TICK + 1)]
    first = put(store, key("20220303T1900"), gzipped(texts))
    second = put(store, key("20220303T1905", kind="parquet"), parquet([record(TICK + 2)]))
    sifted = sift(store)
    names = [key("20220303T1900").rpartition("/")[2], key("20220303T1905", kind="parquet").rpartition("/")[2]]
    found = [(event.event_id, event.delivered_at // 1_000_000) for event, _ in sifted.probes]
    assert found == [(f"{names[0]}#2", first // 1_000_000), (f"{names[1]}#1", second // 1_000_000)]
    assert sifted.foreign == 1
    assert sifted.first_record_at is not None
    assert sifted.first_record_at // 1_000_000 == first // 1_000_000
    assert begin // 1_000_000 <= sifted.first_record_at // 1_000_000 <= now() // 1_000_000


def test_every_page_is_read(store: Store) -> None:
    for number in range(7):
        put(store, key("20220303T1900", f"{number:08x}"), gzipped([record(TICK + number)]))
    with in_pages_of(2) as asked:
        assert ticks(sift(store)) == [TICK + number for number in range(7)]
    assert asked == [f"{ARM}/"] * 4


def test_an_arm_whose_name_begins_alike_is_another(store: Store) -> None:
    put(store, key("20220303T1900"), gzipped([record()]))
    put(store, key("20220303T1900"), gzipped([record(TICK + 1)]), prefix=f"{ARM}-hive")
    assert ticks(sift(store)) == ticks(sift(store, f"{ARM}/")) == [TICK]
    assert ticks(sift(store, f"{ARM}-hive")) == [TICK + 1]


def test_what_another_flow_log_delivers_is_stale_record_by_record(store: Store) -> None:
    put(store, key("20220303T1900", flow_log=OLDER), gzipped([record(), record() | FOREIGN, record() | NODATA]))
    put(store, key("20220303T1900", flow_log=OLDER, kind="parquet"), parquet([record()]))
    sifted = sift(store)
    assert (sifted.counts()["stale"], sum(sifted.counts().values())) == (4, 4)
    assert sifted.first_record_at is None
    put(store, key("20220303T1905"), gzipped([record()]))
    assert (sift(store).stale, ticks(sift(store))) == (4, [TICK])


def test_what_came_after_the_run_was_closed_is_late_record_by_record(store: Store) -> None:
    first = put(store, key("20220303T1900"), gzipped([record()]))
    late = first
    while late == first:  # S3 tells whole seconds
        late = put(store, key("20220303T1905"), gzipped([record(TICK + 1), record() | FOREIGN]))
    closed = sift(store, until=first + 999_999)
    assert (ticks(closed), closed.foreign, closed.late) == ([TICK], 0, 2)
    still_open = sift(store, until=late + 999_999)
    assert (ticks(still_open), still_open.foreign, still_open.late) == ([TICK, TICK + 1], 1, 0)


def test_what_is_no_file_of_flow_records_is_not_read(store: Store) -> None:
    for below in ("AWSLogs/", key("20220303T1900", kind="csv"), "AWSLogs/notes.gz"):
        put(store, below, b"not read")
    sifted = sift(store)
    assert (sum(sifted.counts().values()), sifted.first_record_at) == (0, None)


def test_an_object_that_cannot_be_read_does_not_hide_the_others(store: Store) -> None:
    put(store, key("20220303T1900"), gzipped([record()])[:-9])
    put(store, key("20220303T1905"), gzipped([record(TICK + 1)]))
    put(store, key("20220303T1910", kind="parquet"), parquet([record()])[:-9])
    sifted = sift(store)
    assert ticks(sifted)[-1] == TICK + 1
    assert [each.message for each in sifted.unparsable] == [
        f"{ARM}/{key('20220303T1900')}",
        f"{ARM}/{key('20220303T1910', kind='parquet')}",
    ]


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_cannot_be_listed_is_an_error(unique: str) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        flow_log_objects.sift(unique, ARM, FLOW_LOG, OURS)


def test_an_object_that_is_gone_when_it_is_read_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, key("20220303T1900"), gzipped([record()]))
    get = clients.s3().get_object

    def get_after_a_sweep(**asked: str) -> object:
        clients.s3().delete_object(**asked)
        return get(**asked)

    monkeypatch.setattr(clients.s3(), "get_object", get_after_a_sweep)
    with pytest.raises(ClientError, match="NoSuchKey"):
        sift(store)
