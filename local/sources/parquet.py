"""Parquet: observations and flow-log files. The only module of the workstation that imports Arrow."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowlag.record import SKIPDATA, FlowRecord
from local.sources.dataset import Series, UnusableInput
from local.sources.flow_log import NEEDED as FLOW_LOG_NEEDED
from local.sources.flow_log import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAGIC: Final = b"PAR1"

_KEYS: Final = ("source", "run_id", "arm")
_INSTANTS: Final = ("sent_at", "window_start", "ingested_at")
_COLUMNS: Final = ("tick", *_INSTANTS)
_NULLABLE: Final = "ingested_at"
_STATUS: Final = "log_status"


@contextmanager
def opened(path: Path, stream: BinaryIO) -> Iterator[pq.ParquetFile]:
    """The Parquet file in `stream`, for as long as it is being read.

    Raises:
        UnusableInput: it is damaged, wherever in it that shows.
    """
    try:
        with pq.ParquetFile(stream, read_dictionary=list(_KEYS)) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnusableInput(f"'{path}' is damaged or cut short and cannot be read as Parquet: fetch it again") from None
