"""Logs Insights exports: the CSV that the console writes for Episode 18's query.

Only AWS's own columns are read. The query's `SentTimeEpoch` keeps the quotient of the reference and is wrong for
records on the other side of a wrap of the stamp.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from flowlag.errors import StampDisagreement
from flowlag.stamp import PORTS, decode_delivered, due_at
from local.instants import of_iso
from local.sources.dataset import Row, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

INGESTED: Final = "@ingestionTime"
WINDOW: Final = "@timestamp"
PORT: Final = "srcPort"


def read_export(path: Path, lines: Iterable[str], rate: int) -> tuple[list[Row], int]:
    """The rows of an export, and how many more had stamps that disagree.

    Raises:
        UnusableInput: a column is missing, or a row does not parse.
    """
    rows: list[Row] = []
    disagreements = 0
    reader = csv.reader(lines)
    try:
        header = next(reader)
        ingested, window, port = (_position(path, header, name) for name in (INGESTED, WINDOW, PORT))
        for cells in filter(None, reader):
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells under {len(header)} columns")  # noqa: TRY301 - one handler
            try:
                rows.append(_row(cells[ingested], cells[window], cells[port], rate))
            except StampDisagreement:
                disagreements += 1
    except (ValueError, csv.Error) as reason:
        raise UnusableInput(f"line {reader.line_num} of '{path}' is not a row of an export: {reason}") from None
    return rows, disagreements


def _position(path: Path, header: Sequence[str], name: str) -> int:
    if name not in header:
        raise UnusableInput(
            f"'{path}' is not a Logs Insights export: it lacks the column '{name}'"
            " (and a flow log would begin with the names of its fields)"
        )
    return header.index(name)


def _row(ingestion_time: str, timestamp: str, source_port: str, rate: int) -> Row:
    port = int(source_port)
    if not 0 <= port < PORTS:
        raise ValueError(f"{port} is not a source port")
    window_start, ingested_at = of_iso(timestamp), of_iso(ingestion_time)
    tick = decode_delivered(port, window_start, ingested_at, rate)
    return Row(tick, due_at(tick, rate), window_start, ingested_at)
