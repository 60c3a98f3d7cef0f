"""Parquet: observations and flow-log files. The only module of the workstation that imports Arrow."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from flowlag.errors import InvalidFormat
from flowlag.plan import SOURCES
from flowlag_aws import flow_log_parquet
from local.sources import flow_log
from local.sources.dataset import Series, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flowlag.glance import Glance

type Observations = pa.Table
"""The columns of the observations table that an analysis needs; instants as integer microseconds."""

MAGIC: Final = b"PAR1"

_KEYS: Final = ("source", "run_id", "arm")
_INSTANTS: Final = ("sent_at", "window_start", "ingested_at")
_COLUMNS: Final = ("tick", *_INSTANTS)
_NULLABLE: Final = "ingested_at"


@contextmanager
def opened(path: Path, stream: BinaryIO) -> Iterator[pq.ParquetFile]:
    """The Parquet file in `stream`, for as long as it is being read.

    Raises:
        UnusableInput: it is damaged, wherever in it that shows.
    """
    try:
        with flow_log_parquet.opened(stream) as file:
            yield file
    except flow_log_parquet.Damaged:
        raise UnusableInput(f"'{path}' is damaged or cut short as a Parquet file: fetch it again") from None


def is_flow_log(file: pq.ParquetFile) -> bool:
    """Whether the file has a field that flow logs have and observations do not."""
    return "start" in file.schema_arrow.names


def read_observations(path: Path, stream: BinaryIO, file: pq.ParquetFile) -> Observations:
    """Read the columns that an analysis needs.

    Raises:
        UnusableInput: a column is missing, of another type, or has gaps.
    """
    for name in (*_KEYS, *_COLUMNS):
        if name not in file.schema_arrow.names:
            raise UnusableInput(f"'{path}' holds no observations: it lacks the column '{name}'")
    stream.seek(0)
    # Text is read as a dictionary: a run's name once, not once a row.
    by_key = pq.ParquetFile(stream, metadata=file.metadata, read_dictionary=list(_KEYS))
    table = by_key.read(columns=[*_KEYS, *_COLUMNS])
    for name in (*_KEYS, *_COLUMNS):
        if table[name].null_count and name != _NULLABLE:
            raise UnusableInput(f"'{path}' has rows without '{name}'")
    return pa.table(
        {name: _text(path, name, table[name]) for name in _KEYS}
        | {"tick": _integers(path, "tick", table["tick"])}
        | {name: _micros(path, name, table[name]) for name in _INSTANTS}
    )


def _text(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if not (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)):
        raise UnusableInput(f"the column '{name}' of '{path}' is {kind}, not text")
    return column


def _integers(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_integer(column.type):
        raise UnusableInput(f"the column '{name}' of '{path}' is {column.type}, not a whole number")
    return column.cast(pa.int64())


def _micros(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_timestamp(column.type):
        raise UnusableInput(f"the column '{name}' of '{path}' is {column.type}, not a timestamp")
    return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())


def source_of(path: Path, table: Observations) -> str:
    """The one `source` of all rows; empty where there is no row.

    Raises:
        UnusableInput: there are several, or one that flowlag does not know.
    """
    sources = sorted(str(each) for each in table["source"].unique().to_pylist())
    if len(sources) > 1:
        raise UnusableInput(
            f"'{path}' mixes the sources {' and '.join(sources)}, which never go into one statistic"
        )
    if sources and sources[0] not in SOURCES:
        raise UnusableInput(f"the source of '{path}' is '{sources[0]}', which is none of {', '.join(SOURCES)}")
    return "".join(sources)


def series_of(tables: Sequence[Observations]) -> list[Series]:
    """One series for each arm of each run, wherever its files were cut."""
    rows = pa.concat_tables(tables).unify_dictionaries()
    groups = rows.group_by(["run_id", "arm"], use_threads=False).aggregate([(name, "list") for name in _COLUMNS])
    keys = (groups[name].to_pylist() for name in ("run_id", "arm"))
    columns = ([_values(cell.values) for cell in groups[f"{name}_list"]] for name in _COLUMNS)
    return [Series(*row) for row in zip(*keys, *columns, strict=True)]


def _values(column: pa.Array) -> Sequence[int]:
    """The values without a copy, or as a list where some are missing."""
    if column.null_count:
        return list(column.to_pylist())
    _validity, data = column.buffers()
    return memoryview(data).cast("q")[column.offset : column.offset + len(column)]


def glances(path: Path, file: pq.ParquetFile, port: int) -> Iterator[Glance]:
    """Glance at the records of a flow log.

    Raises:
        UnusableInput: a field by which probes are told is missing, or is not a number.
    """
    try:
        record_format = flow_log_parquet.format_of(file, among=(*flow_log.NEEDED, "log-status"))
    except InvalidFormat as reason:
        raise UnusableInput(f"the flow log '{path}' cannot be read: {reason}") from None
    flow_log.require(path, record_format)
    yield from flow_log_parquet.glances(file, record_format, port)
