"""What is in an object: read as far as it can be, and never dropped silently. No cloud is needed."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from flowlag.probe import Sifted, Unparsable
from flowlag.record import DEFAULT_FORMAT, PROBE_FORMAT, RecordFormat
from flowlag_aws import flow_log_objects, flow_log_parquet
from flowlag_aws.flow_log_objects import sift_object
from tests.contract import flow_log_files as files
from tests.contract.flow_log_files import FOREIGN, NODATA, REFUSAL, SKIPDATA, gzipped, lines_of, sift_every, text
from tests.flow_records import DELIVERED_AT, OURS, TICK, record

ROOT = Path(__file__).parents[2]
TEXT, PARQUET = "deliveries/run/arm/AWSLogs/x.log.gz", "deliveries/run/arm/AWSLogs/x.log.parquet"
NOTHING = {"probes": 0, "foreign": 0, "nodata": 0, "skipdata": 0, "stale": 0, "unparsable": 0}
KINDS = [
    {},
    FOREIGN,
    FOREIGN,
    REFUSAL,
    NODATA,
    SKIPDATA,
    {"log-status": "LATEDATA", "dstport": 443},
    {"log-status": None, "dstport": 443},
    {"bytes": 541},
    {"interface-id": "eni-0fedcba9876543210"},
    {"srcport": 65_536},
    {"start": TICK + 65_536},
    {"start": (TICK - 40) * 1_000},
    {"srcport": (TICK - 300) % 65_536, "start": TICK - 340},
]
RECORDS = st.lists(st.sampled_from(KINDS).map(lambda changed: record() | changed), max_size=20)
FORMATS = st.sampled_from([PROBE_FORMAT, DEFAULT_FORMAT]) | st.permutations(PROBE_FORMAT.names).flatmap(
    lambda names: st.integers(1, len(names)).map(lambda count: RecordFormat(tuple(names[:count])))
)
BOTH = pytest.mark.parametrize(
    ("key", "write"), [(TEXT, gzipped), (PARQUET, files.parquet)], ids=["text", "parquet"]
)

type Write = Callable[..., bytes]


def sift(key: str, data: bytes, **changed: Any) -> Sifted:
    return sift_object(key, BytesIO(data), DELIVERED_AT, replace(OURS, **changed))


@contextmanager
def at_once(size: int) -> Iterator[None]:
    """Have objects read in small pieces: so many bytes of a text, or rows."""
    with patch.object(flow_log_objects, "CHUNK_BYTES", size), patch.object(flow_log_parquet, "ROWS_AT_ONCE", size):
        yield


def ticks(sifted: Sifted) -> list[int]:
    return [probe.tick for _, probe in sifted.probes]


def same(sifted: Sifted, expected: Sifted) -> bool:
    return replace(sifted, first_record_at=None) == expected


# ---------------------------------------------------------------- whole objects
@given(records=RECORDS, record_format=FORMATS, size=st.integers(1, 700), data=st.data())
def test_a_text_says_what_its_lines_say_wherever_it_is_cut(
    records: list[files.Record], record_format: RecordFormat, size: int, data: st.DataObject
) -> None:
    lines = lines_of(records, record_format)
    plain = text(lines, record_format)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(plain)), max_size=3)))
    members = [plain[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(plain)], strict=True)]
    with at_once(size):
        sifted = sift(TEXT, b"".join(map(gzip.compress, members)))
    assert same(sifted, sift_every("x.log.gz", lines, record_format))


@given(records=RECORDS, record_format=FORMATS, size=st.integers(1, 30), row_group=st.integers(1, 30))
def test_a_parquet_says_what_its_records_say_as_lines(
    records: list[files.Record], record_format: RecordFormat, size: int, row_group: int
) -> None:
    data = files.parquet(records, record_format, row_group=row_group)
    with at_once(size):
        sifted = sift(PARQUET, data)
    assert same(sifted, sift_every("x.log.parquet", lines_of(records, record_format), record_format))


@BOTH
def test_a_record_is_known_by_its_object_and_its_number(key: str, write: Write) -> None:
    records = [record() | FOREIGN, record(TICK + 1), record() | NODATA, record(TICK + 2), record(srcport=65_536)]
    sifted = sift(key, write(records))
    assert sifted.counts() == NOTHING | {"probes": 2, "foreign": 1, "nodata": 1, "unparsable": 1}
    name = key.rpartition("/")[2]
    lines = lines_of(records)
    assert [(event, probe.tick) for event, probe in sifted.probes] == [
        ((f"{name}#2", lines[1], DELIVERED_AT), TICK + 1),
        ((f"{name}#4", lines[3], DELIVERED_AT), TICK + 2),
    ]
    assert sifted.unparsable == [Unparsable(f"{name}#5", lines[4], "the source port is 65536")]


@BOTH
@pytest.mark.parametrize("names", [("log-status",), ("srcport", "dstport"), ("start", "log-status", "action")])
def test_an_object_without_the_fields_of_a_probe_has_none(key: str, write: Write, names: tuple[str, ...]) -> None:
    sifted = sift(key, write([record(), record() | FOREIGN], RecordFormat(names)))
    assert sifted.counts() == NOTHING | {"foreign": 2}


@BOTH
def test_an_object_without_records_is_none_of_anything(key: str, write: Write) -> None:
    sifted = sift(key, write([]))
    assert (sifted.counts(), sifted.first_record_at) == (NOTHING, None)


def test_a_last_line_without_an_end_is_a_record() -> None:
    sifted = sift(TEXT, gzip.compress(text(lines_of([record() | FOREIGN, record()])).removesuffix(b"\n")))
    assert sifted.counts() == NOTHING | {"probes": 1, "foreign": 1}


def test_parquet_may_call_its_fields_and_keep_its_texts_as_it_likes() -> None:
    fields = record()
    table = pa.table(
        {
            "year": pa.array([2022]),
            **{
                name: pa.array([value]).dictionary_encode() if isinstance(value, str) else pa.array([value])
                for name, value in fields.items()
            },
            "az-id": pa.array(["euw1-az1"], pa.large_string()),
        }
    )
    sifted = sift(PARQUET, files.written(table))
    assert ticks(sifted) == [TICK]
    assert sifted.probes[0][0].message == lines_of([fields])[0]


def test_the_lines_of_parquet_have_the_fields_that_are_asked_for_in_their_order() -> None:
    asked_for = RecordFormat(("log-status", "dstport", "version"))
    with flow_log_parquet.opened(BytesIO(files.parquet([record()]))) as file:
        glances = list(flow_log_parquet.glances(file, asked_for, OURS.target_port))
    assert glances[0].doubtful == [(1, "OK 7777 5")]


def test_what_is_absent_in_parquet_is_a_dash_in_its_line() -> None:
    fields = record(**{"log-status": "odd", "srcport": None, "action": None})
    table = pa.table({name.replace("-", "_"): [value] for name, value in fields.items()})
    table = table.set_column(5, "srcport", pa.array([None], pa.int32()))
    table = table.set_column(12, "action", pa.array([None], pa.string()))
    assert sift(PARQUET, files.written(table)).foreign == 1
    assert sift(PARQUET, files.written(table), target_port=9).unparsable == [
        Unparsable("x.log.parquet#1", lines_of([fields])[0], "the log status is 'odd'")
    ]


# ---------------------------------------------------------------- when it was first delivered
@BOTH
@pytest.mark.parametrize(
    ("records", "is_first"),
    [
        ([record() | FOREIGN], True),
        ([record() | NODATA], True),
        ([record(TICK - 300)], False),
        ([record(TICK - 300) | FOREIGN, record() | FOREIGN], False),
        ([record(TICK - 300) | FOREIGN, record()], True),
        ([record(start=None) | FOREIGN], True),
        ([record(**{"az-id": "euw1 az1"})], True),
        ([record(TICK - 180)], True),  # before the flow log, but by less than a minute
    ],
)
def test_an_object_is_a_first_delivery_if_it_begins_with_a_current_record_or_holds_a_probe(
    key: str, write: Write, records: list[files.Record], *, is_first: bool
) -> None:
    assert sift(key, write(records)).first_record_at == (DELIVERED_AT if is_first else None)
    assert sift(key, write(records), since=None).first_record_at == DELIVERED_AT


@BOTH
def test_a_probe_that_is_older_than_the_flow_log_is_stale(key: str, write: Write) -> None:
    sifted = sift(key, write([record(TICK - 300), record()]))
    assert (sifted.stale, ticks(sifted)) == (1, [TICK])


# ---------------------------------------------------------------- half there, or not a flow log
def quarantined(key: str, data: bytes) -> str:
    """Why an object of which nothing could be read is in quarantine."""
    sifted = sift(key, data)
    assert (sifted.counts(), sifted.first_record_at) == (NOTHING | {"unparsable": 1}, None)
    ((event_id, message, reason),) = sifted.unparsable
    assert (event_id, message) == (key.rpartition("/")[2], key)
    return reason.removesuffix("; records that could be read: 0")


WHOLE = [record(TICK + number) | (FOREIGN if number % 3 else {}) for number in range(40)]


@given(end=st.integers(0, len(gzipped(WHOLE)) - 1), size=st.integers(1, 2_000))
def test_of_a_text_that_is_cut_short_what_is_there_is_kept(end: int, size: int) -> None:
    with at_once(size):
        whole, sifted = sift(TEXT, gzipped(WHOLE)), sift(TEXT, gzipped(WHOLE)[:end])
    *others, (event_id, message, reason) = sifted.unparsable
    assert (others, event_id, message) == ([], "x.log.gz", TEXT)
    assert sifted.probes == whole.probes[: len(sifted.probes)]
    read = len(sifted.probes) + sifted.foreign
    assert reason.endswith(f"; records that could be read: {read}")
    assert sifted.first_record_at == (DELIVERED_AT if read else None)


def test_of_a_large_text_nearly_all_is_kept() -> None:
    records = [record(TICK + number % 7) | (FOREIGN if number % 50 else {}) for number in range(5_000)]
    data = gzipped(records)
    sifted = sift(TEXT, data[: len(data) * 9 // 10])
    assert 4_000 <= sifted.foreign + len(sifted.probes) < 5_000
    assert "damaged or cut short as a gzip file" in sifted.unparsable[-1].reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (text(lines_of([record()])), "it is damaged or cut short as a gzip file"),
        (gzipped([record()])[:10] + b"\xff" * 50, "it is damaged or cut short as a gzip file"),
        (b"\x1f\x8b", "it is damaged or cut short as a gzip file"),
        (b"", "its first line does not name the fields of a flow log (the format names no field)"),
        (gzip.compress(b""), "its first line does not name the fields of a flow log (the format names no field)"),
        (
            gzip.compress("\n".join(lines_of([record()])).encode()),
            "its first line does not name the fields of a flow log (flow logs have no field '5')",
        ),
        (
            gzip.compress(text([], PROBE_FORMAT).replace(b"version", b"v\xff")),
            r"its first line does not name the fields of a flow log (flow logs have no field 'v\xff')",
        ),
    ],
    ids=["plain", "damaged", "a magic number", "empty", "empty inside", "no header", "an unknown field"],
)
def test_what_is_no_text_of_a_flow_log_is_quarantined_by_its_key(data: bytes, reason: str) -> None:
    assert quarantined(TEXT, data) == reason


def test_a_header_without_an_end_is_not_kept() -> None:
    reason = quarantined(TEXT, gzip.compress(b"x" * 10_000_000))
    assert reason.startswith("its first line does not name the fields of a flow log (flow logs have no field 'xx")
    assert len(reason) < 300


def test_a_text_whose_checksum_is_wrong_is_kept_and_quarantined() -> None:
    sifted = sift(TEXT, gzipped([record()])[:-8] + bytes(8))
    assert ticks(sifted) == [TICK]
    assert sifted.unparsable == [
        Unparsable("x.log.gz", TEXT, "it is damaged or cut short as a gzip file; records that could be read: 1")
    ]


def test_a_line_that_cannot_be_read_is_quarantined_as_itself() -> None:
    lines = [b"", b"\xff\xfe\x00", b"5 7777 OK", *(each.encode() for each in lines_of([record()]))]
    sifted = sift(TEXT, gzip.compress(text(lines)))
    assert ticks(sifted) == [TICK]
    assert [(each.event_id, each.message) for each in sifted.unparsable] == [
        ("x.log.gz#1", ""),
        ("x.log.gz#2", "\\xff\\xfe\x00"),
        ("x.log.gz#3", "5 7777 OK"),
    ]


def test_what_is_no_parquet_of_a_flow_log_is_quarantined_by_its_key() -> None:
    whole = files.parquet([record()])
    damaged = "it is not a flow log in Parquet (it is damaged or cut short as a Parquet file)"
    for data in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], gzipped([record()])):
        assert quarantined(PARQUET, data) == damaged
    assert quarantined(PARQUET, files.written(pa.table({"a": [1]}))) == (
        "it is not a flow log in Parquet (the format names no field)"
    )
    assert quarantined(PARQUET, files.written(pa.table({"dstport": ["7777"]}))) == (
        "it is not a flow log in Parquet (the column 'dstport' is string, not a whole number)"
    )
    assert quarantined(PARQUET, files.written(pa.table({"log_status": [1]}))) == (
        "it is not a flow log in Parquet (the column 'log_status' is int64, not text)"
    )


def test_of_a_parquet_with_a_damaged_page_what_came_before_is_kept() -> None:
    data = bytearray(files.parquet([record(TICK + number) for number in range(300)], row_group=100))
    page = pq.ParquetFile(BytesIO(data)).metadata.row_group(2).column(0).data_page_offset
    data[page : page + 10] = b"\xff" * 10
    with at_once(100):
        sifted = sift(PARQUET, bytes(data))
    assert ticks(sifted) == [TICK + number for number in range(200)]
    ((event_id, _, reason),) = sifted.unparsable
    assert event_id == "x.log.parquet"
    assert reason == (
        "it is not a flow log in Parquet (it is damaged or cut short as a Parquet file); "
        "records that could be read: 200"
    )


def test_a_row_that_is_no_text_is_kept_readable() -> None:
    raw = pa.array([b"euw1\xff"], pa.binary())
    not_text = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    fields = {name.replace("-", "_"): pa.array([value]) for name, value in record().items()}
    sifted = sift(PARQUET, files.written(pa.table(fields | {"az_id": not_text})))
    assert sifted.probes[0][0].message == lines_of([record()])[0].replace("euw1-az1", r"euw1\xff")


@BOTH
def test_a_connection_that_breaks_is_no_damage(key: str, write: Write) -> None:
    class Breaking(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ReadTimeoutError(endpoint_url="https://s3.example")
            return super().read(2 if size == -1 else size)

    with pytest.raises(ReadTimeoutError):
        sift_object(key, Breaking(write([record()])), DELIVERED_AT, OURS)


# ---------------------------------------------------------------- memory
READ_IN_A_PROCESS_OF_ITS_OWN = """
import re, sys
from dataclasses import replace
from pathlib import Path
from flowlag_aws import clients
from flowlag_aws.flow_log_objects import sift_object
from tests.flow_records import DELIVERED_AT, OURS

clients.s3()  # what the function has, too
with open(sys.argv[1], "rb") as body:
    sifted = sift_object(sys.argv[1], body, DELIVERED_AT, OURS)
print(len(sifted.probes), sum(sifted.counts().values()))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a process's memory in /proc")
@pytest.mark.parametrize("kind", ["gz", "parquet"])
def test_a_million_records_take_less_than_250_mb(tmp_path: Path, kind: str) -> None:
    some = [record(TICK + number % 60) | (FOREIGN if number % 33 else {}) for number in range(10_000)]
    path = tmp_path / f"x.log.{kind}"
    if kind == "gz":
        header, _, lines = text(lines_of(some)).partition(b"\n")
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(header + b"\n")
            for _ in range(100):
                file.write(lines)
    else:
        path.write_bytes(files.written(pa.concat_tables([pq.read_table(BytesIO(files.parquet(some)))] * 100)))
    environment = os.environ | {"AWS_DEFAULT_REGION": "us-east-1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    said = subprocess.run(
        [sys.executable, "-c", READ_IN_A_PROCESS_OF_ITS_OWN, path],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    probes, records, most_kb = map(int, said)
    assert (probes, records) == (30_400, 1_000_000)
    assert most_kb * 1_024 < 250_000_000
