"""What is written is what is read, whatever it is. No cloud is needed for that."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlag.tables import OBSERVATIONS, RUNS, SCHEMA_VERSION, TABLES
from flowlag_aws import parquet

INT32, INT64 = (st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (32, 64))
INSTANTS = st.sampled_from([-(2**63), -1, 0, 1, 253_402_300_799_999_999, 2**63 - 1]) | INT64
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "int": INT32,
    "bigint": INT64,
    "double": st.floats(allow_nan=False),
    "timestamp": INSTANTS,
}


def values(kind: str) -> st.SearchStrategy[Any]:
    """What a column of a Glue type may hold; null, too."""
    return st.none() | contents(kind)


def contents(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("array<"):
        return st.lists(contents(kind.removeprefix("array<").removesuffix(">")), max_size=3)
    if kind.startswith("struct<"):
        members = (each.split(":") for each in kind.removeprefix("struct<").removesuffix(">").split(","))
        return st.fixed_dictionaries({name: values(member) for name, member in members})
    return VALUES[kind]


def rows(table: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({name: values(kind) for name, kind in TABLES[table].items()}), max_size=4)


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=40)  # each is a table with hundreds of values
@given(data=st.data())
def test_any_rows_of_any_table_come_back_as_they_were(table: str, data: st.DataObject) -> None:
    written = data.draw(rows(table))
    file = parquet.encode_rows(TABLES[table], written)
    columns = parquet.decode(file, TABLES[table])
    assert [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)] == written


@pytest.mark.parametrize("table", TABLES)
def test_a_file_has_its_tables_columns_and_says_its_schemas_version(table: str) -> None:
    file = pq.ParquetFile(BytesIO(parquet.encode_rows(TABLES[table], [])))
    assert file.schema_arrow.names == list(TABLES[table])
    assert file.schema_arrow.metadata[b"schema_version"] == SCHEMA_VERSION.encode()
    assert file.metadata.num_rows == 0


def test_instants_are_utc_microseconds_and_every_column_is_zstd() -> None:
    row = dict.fromkeys(OBSERVATIONS) | {"sent_at": 1}
    file = pq.ParquetFile(BytesIO(parquet.encode_rows(OBSERVATIONS, [row])))
    assert file.schema_arrow.field("sent_at").type == pa.timestamp("us", tz="UTC")
    group = file.metadata.row_group(0)
    assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}


def test_only_the_columns_asked_for_are_read() -> None:
    row = dict.fromkeys(OBSERVATIONS) | {"tick": 7, "event_id": "e"}
    assert parquet.decode(parquet.encode_rows(OBSERVATIONS, [row]), ("event_id",)) == {"event_id": ["e"]}


def test_the_same_rows_give_the_same_bytes() -> None:
    written = [dict.fromkeys(RUNS) | {"run_id": f"run-{number}", "reasons": ["é"]} for number in range(3)]
    assert parquet.encode_rows(RUNS, written) == parquet.encode_rows(RUNS, written)


def test_a_row_that_lacks_a_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="experiment"):
        parquet.encode_rows(RUNS, [{"run_id": "run-1"}])


@pytest.mark.parametrize(
    ("column", "value"), [("srcport", 2**31), ("tick", 2**63), ("delay_s", "late"), ("run_id", 1)]
)
def test_a_value_that_its_column_cannot_hold_is_an_error_and_not_another_value(column: str, value: object) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)):
        parquet.encode_rows(OBSERVATIONS, [dict.fromkeys(OBSERVATIONS) | {column: value}])


def test_another_reader_reads_the_same(tmp_path: Path) -> None:
    arm = {"arm": "cloudwatch-600", "observed": 58, "delay_p50_s": 325.678}
    row = dict.fromkeys(RUNS) | {"run_id": "run-1", "started_at": 1_795_435_200_123_456, "arms": [arm]}
    (tmp_path / "x.parquet").write_bytes(parquet.encode_rows(RUNS, [row]))
    with duckdb.connect() as connection:
        table = connection.read_parquet(str(tmp_path / "x.parquet"))
        columns = "run_id, epoch_us(started_at), arms[1].observed, arms[1].delay_p50_s, reasons"
        found = table.project(columns).fetchall()
    assert found == [("run-1", 1_795_435_200_123_456, 58, 325.678, None)]
