"""Parquet: observations, the rows of `runs` beside them, and flow-log files."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowlag.errors import InvalidFormat
from flowlag.plan import SOURCES
from flowlag.reconcile import LOST_ON_WIRE, NOT_RECORDED
from flowlag_aws import flow_log_parquet
from local.sources import flow_log
from local.sources.dataset import UNKNOWN, Accounted, RunRow, Series, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from flowlag.glance import Glance
    from flowlag.instants import Micros
    from local.sources.dataset import Whole

# For columns of half a megabyte, which an arm of a run has, Arrow's own allocator takes twice the memory, and more
# time to get it than there is to compute.
pa.set_memory_pool(pa.system_memory_pool())

type Observations = pa.Table
"""The columns of the observations table that an analysis needs; instants as integer microseconds."""

MAGIC: Final = b"PAR1"

_KEYS: Final = ("source", "run_id", "arm")
_INSTANTS: Final = ("sent_at", "window_start", "ingested_at")
_COLUMNS: Final = ("tick", *_INSTANTS)
_NULLABLE: Final = "ingested_at"
_RUN_COLUMNS: Final = ("run_id", "started_at", "verdict", "arms")
_ARM_MEMBERS: Final = ("arm", "observed", LOST_ON_WIRE, NOT_RECORDED)


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
    # To begin and end threads takes longer than to read an arm of a run.
    table = by_key.read(columns=[*_KEYS, *_COLUMNS], use_threads=False)
    for name in (*_KEYS, *_COLUMNS):
        if table[name].null_count and name != _NULLABLE:
            raise UnusableInput(f"'{path}' has rows without '{name}'")
    return pa.table(
        {name: _text(path, name, table[name]) for name in _KEYS}
        | {"tick": integers(path, "tick", table["tick"])}
        | {name: micros(path, name, table[name]) for name in _INSTANTS}
    )


def _text(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if not (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)):
        raise UnusableInput(f"the column '{name}' of '{path}' is {kind}, not text")
    return column


def integers(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of whole numbers, as 64 bits.

    Raises:
        UnusableInput: it is of another type.
    """
    if not pa.types.is_integer(column.type):
        raise UnusableInput(f"the column '{name}' of '{path}' is {column.type}, not a whole number")
    return column.cast(pa.int64())


def micros(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of instants, of whatever unit, as integer microseconds.

    Raises:
        UnusableInput: it is of another type.
    """
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


def series_of(tables: Iterable[Observations]) -> list[Series]:
    """One series for each arm of each run, wherever its files were cut.

    An arm of a run that is one file, as flowlag writes it, keeps Arrow's own columns.
    """
    parts: dict[tuple[str, str], list[Observations]] = defaultdict(list)
    for table in tables:
        for key, rows in _by_flow_log(table.unify_dictionaries()):
            parts[key].append(rows)
    return [_series(run, arm, pa.concat_tables(rows)) for (run, arm), rows in parts.items()]


def _by_flow_log(table: Observations) -> Iterator[tuple[tuple[str, str], Observations]]:
    """The rows of each arm of each run, with their names."""
    if not table.num_rows:
        return
    keys = [_one_piece(table[name]) for name in ("run_id", "arm")]
    runs, arms = ([str(each) for each in key.dictionary.to_pylist()] for key in keys)
    of_run, of_arm = (key.indices.to_numpy().astype(np.int64) for key in keys)
    which = of_run * len(arms) + of_arm
    if (which == which[0]).all():
        yield (runs[of_run[0]], arms[of_arm[0]]), table
        return
    order = np.argsort(which, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        yield (runs[of_run[rows[0]]], arms[of_arm[rows[0]]]), table.take(rows)


def _series(run: str, arm: str, rows: Observations) -> Series:
    return Series(run, arm, *(values(rows[name]) for name in _COLUMNS))


def values(column: pa.ChunkedArray) -> Whole:
    """The values, UNKNOWN for null; without a copy, where they are one piece and all there."""
    known = column.fill_null(UNKNOWN) if column.null_count else column
    found: Whole = _one_piece(known).to_numpy()
    return found


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array, without a copy where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def read_runs(path: Path, file: pq.ParquetFile) -> list[RunRow]:
    """Read rows of the table `runs`.

    Raises:
        UnusableInput: a column is missing, or is not what flowlag writes.
    """
    for name in _RUN_COLUMNS:
        if name not in file.schema_arrow.names:
            raise UnusableInput(f"'{path}' holds no rows of 'runs': it lacks the column '{name}'")
    if not _holds_arms(file.schema_arrow.field("arms").type):
        raise UnusableInput(f"the column 'arms' of '{path}' does not say of each arm: {', '.join(_ARM_MEMBERS)}")
    table = file.read(columns=list(_RUN_COLUMNS))
    started_at = micros(path, "started_at", table["started_at"]).to_pylist()
    return [_run(row, at) for row, at in zip(table.to_pylist(), started_at, strict=True)]


def _holds_arms(kind: pa.DataType) -> bool:
    """Whether a type is that of a list of structures with what is read of each arm."""
    members = kind.value_type if pa.types.is_list(kind) else kind
    return all(pa.types.is_struct(members) and members.get_field_index(name) >= 0 for name in _ARM_MEMBERS)


def _run(row: dict[str, Any], started_at: Micros) -> RunRow:
    arms = {
        arm["arm"]: Accounted(arm["observed"] or 0, (arm[LOST_ON_WIRE] or 0) + (arm[NOT_RECORDED] or 0))
        for arm in row["arms"] or ()
    }
    return RunRow(row["run_id"], started_at, row["verdict"], arms)


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
