"""Flow logs in Parquet: the records of a file that a glance is not enough for, as the lines that a text would have.

Apart from the tables' files: `pyarrow.compute`, which this needs, takes a third as long to import as the rest of
pyarrow, and the decoder starts without it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowlag.errors import FlowlagError, InvalidFormat
from flowlag.glance import STATUSES, Glance
from flowlag.record import ABSENT, INTEGERS, NODATA, OK, SKIPDATA, VERSION_OF, RecordFormat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROWS_AT_ONCE: Final = 8_192
"""Twice as many take a tenth less time and six megabytes more."""


class Damaged(FlowlagError):
    """A file is damaged or cut short as Parquet."""


@contextmanager
def opened(stream: BinaryIO) -> Iterator[pq.ParquetFile]:
    """The Parquet file in `stream`, for as long as it is being read.

    Raises:
        Damaged: wherever in the file that shows.
    """
    try:
        yield pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Damaged("it is damaged or cut short as a Parquet file") from None


def format_of(file: pq.ParquetFile, among: Collection[str] = VERSION_OF) -> RecordFormat:
    """The fields of a flow log in Parquet, of those `among`. What flow logs do not have is left aside.

    Raises:
        InvalidFormat: there is none, or one is of a type that AWS does not give it.
    """
    columns = {name: column for name, column in _columns(file).items() if name in among}
    for name, column in columns.items():
        kind = file.schema_arrow.field(column).type
        is_number = name in INTEGERS
        if not (pa.types.is_integer(kind) if is_number else _is_text(kind)):
            raise InvalidFormat(f"the column '{column}' is {kind}, not {'a whole number' if is_number else 'text'}")
    return RecordFormat(tuple(columns))


def glances(file: pq.ParquetFile, record_format: RecordFormat, port: int) -> Iterator[Glance]:
    """Glance at the records of a flow log, as `flowlag.glance.TextReader` does at those of a text.

    Args:
        file: the flow log.
        record_format: those of its fields that the lines shall have; others are not read.
        port: the one to look for.
    """
    columns = _columns(file)
    wanted = [columns[name] for name in record_format.names]
    number = 1
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted, use_threads=False):
        rows = batch.rename_columns(record_format.names)
        if number == 1:
            first, rows = _lines(rows[:1]), rows[1:]
            yield Glance(record_format, doubtful=list(enumerate(first, number)))
            number += len(first)
        is_doubtful = _is_doubtful(rows, port)
        statuses = _statuses(rows.filter(pc.invert(is_doubtful)))
        lines = _lines(rows.filter(is_doubtful))
        numbers = pc.add(pc.indices_nonzero(is_doubtful), number).to_pylist()
        doubtful = list(zip(numbers, lines, strict=True))
        yield Glance(record_format, statuses[OK], statuses[NODATA], statuses[SKIPDATA], doubtful)
        number += len(rows)


def _columns(file: pq.ParquetFile) -> dict[str, str]:
    """What a file calls the fields of flow logs."""
    return {column.replace("_", "-"): column for column in file.schema_arrow.names}


def _is_text(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(values) or pa.types.is_large_string(values))


def _is_doubtful(rows: pa.RecordBatch, port: int) -> pa.BooleanArray:
    """Which records are to the port, or have no status that is known."""
    doubtful = pa.repeat(False, len(rows))  # noqa: FBT003 - Arrow's own way to say it
    if "dstport" in rows.schema.names:
        doubtful = pc.equal(rows["dstport"], port).fill_null(False)  # noqa: FBT003 - the same
    if "log-status" in rows.schema.names:
        known = pc.is_in(rows["log-status"].cast(pa.string()), value_set=pa.array(STATUSES))
        doubtful = pc.or_(doubtful, pc.invert(known))
    return doubtful


def _statuses(rows: pa.RecordBatch) -> Counter[str]:
    """How many records have each status."""
    if "log-status" not in rows.schema.names:
        return Counter({OK: len(rows)})
    counted = rows["log-status"].cast(pa.string()).value_counts().to_pylist()
    return Counter({each["values"]: each["counts"] for each in counted})


def _lines(rows: pa.RecordBatch) -> list[str]:
    """The records as a text has them."""
    texts = [column.cast(pa.string()) for column in rows.columns]
    lines = pc.binary_join_element_wise(*texts, " ", null_handling="replace", null_replacement=ABSENT)
    return [line.decode(errors="backslashreplace") for line in lines.cast(pa.binary()).to_pylist()]
