"""Finds the files that were meant, tells what each one is, and reads them into one data set.

A file is told by what is in it, not by its name. One call reads one kind: observations, and the flow log that they
were made from, would count every probe twice.
"""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final

from flowlag.glance import CHUNK_BYTES, TextReader
from flowlag.plan import AWS
from flowlag.verdict import VOID
from local.sources import flow_log, insights, parquet
from local.sources.dataset import EXPORT, FLOW_LOG, OBSERVATIONS, Dataset, Row, UnusableInput, runs_of
from local.sources.folders import RUNS, copies_in, files_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from io import BufferedReader
    from pathlib import Path

    from local.sources.dataset import RunRow, Series

_SUFFIXES: Final = (".parquet", ".log", ".log.gz")
"""What is looked for in a directory. Ledgers and captures are CSV files too, so an export has to be named."""
_GZIP: Final = b"\x1f\x8b"
_LONGEST_HEADER: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one file holds: a `table` if it holds observations, `rows` otherwise."""

    path: Path
    kind: str
    source: str = AWS
    table: parquet.Observations | None = None
    rows: Sequence[Row] = ()
    disagreements: int = 0
    skipdata: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no probe in it."""
        return not self.rows and not (self.table and self.table.num_rows)


def read(paths: Sequence[Path], *, port: int, rate: int) -> Dataset:
    """Read files, and directories with everything below them.

    Of a copy of the results bucket, and of a directory that holds some, the observations are read. Runs whose
    verdict is void, by the table `runs` beside them, are left out.

    Args:
        paths: what to read; files of one kind and one source.
        port: the target's port, by which probes are told in flow-log files.
        rate: ticks a second.

    Raises:
        UnusableInput: a file is damaged or of another kind, kinds or sources are mixed, or there is no probe but
            in void runs.
        OSError: a path does not exist or may not be read.
    """
    parts = [_read(path, port, rate) for path in _files(paths)]
    filled = [part for part in parts if not part.is_empty]
    if not filled:
        raise UnusableInput(
            f"there is no probe in '{parts[0].path}'{_and_others(parts)}: check that it is of the right run"
            f" (in flow-log files, that the probes went to port {port})"
        )
    first = filled[0]
    for part in filled:
        if (part.kind, part.source) != (first.kind, first.source):
            raise UnusableInput(
                f"'{first.path}' holds {_described(first)} and '{part.path}' {_described(part)}:"
                " they never go into one statistic, so analyze them apart"
            )
    runs = _runs(paths)
    void = {row.run for row in runs if row.verdict == VOID}
    series = [each for each in _series(filled) if each.run not in void]
    if not series:
        raise UnusableInput(f"all runs in '{first.path}'{_and_others(parts)} are void: nothing can be said of them")
    return Dataset(
        source=first.source,
        kind=first.kind,
        series=series,
        disagreements=sum(part.disagreements for part in parts),
        skipdata=sum(part.skipdata for part in parts),
        runs={row.run: row for row in runs if row.run not in void},
        void=sorted(void),
    )


def _series(parts: Iterable[_Part]) -> list[Series]:
    tables = [part.table for part in parts if part.table]
    return parquet.series_of(tables) if tables else runs_of(chain.from_iterable(part.rows for part in parts))


def _and_others(parts: Sequence[_Part]) -> str:
    return f" and {len(parts) - 1} more" if len(parts) > 1 else ""


def _described(part: _Part) -> str:
    return f"{part.kind} of source '{part.source}'"


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    """Every file once, under the first name that it was given by."""
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _within(path) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return found.values()


def _within(directory: Path) -> list[Path]:
    tables = [copy / OBSERVATIONS for copy in copies_in(directory, OBSERVATIONS)]
    files = [file for folder in tables or [directory] for file in files_below(folder, *_SUFFIXES)]
    if not files:
        raise UnusableInput(
            f"the directory '{directory}' holds no data: no file in it ends in {' or '.join(_SUFFIXES)}"
            " (a Logs Insights export has to be named itself)"
        )
    return files


def _runs(paths: Iterable[Path]) -> list[RunRow]:
    """The rows of `runs` that lie beside the observations in `paths`."""
    rows: list[RunRow] = []
    for copy in chain.from_iterable(copies_in(path, OBSERVATIONS) for path in paths):
        for file in files_below(copy / RUNS, *_SUFFIXES):
            with file.open("rb") as stream, parquet.opened(file, stream) as table:
                rows += parquet.read_runs(file, table)
    return rows


def _read(path: Path, port: int, rate: int) -> _Part:
    with path.open("rb") as stream:
        magic = stream.peek(4)
        if magic.startswith(parquet.MAGIC):
            return _parquet(path, stream, port, rate)
        if magic.startswith(_GZIP):
            return _gzip(path, stream, port, rate)
        return _text(path, stream, port, rate)


def _parquet(path: Path, stream: BinaryIO, port: int, rate: int) -> _Part:
    with parquet.opened(path, stream) as file:
        if parquet.is_flow_log(file):
            return _flow_log(
                path, flow_log.sift(path, parquet.glances(path, file, port), port, rate, header_lines=0)
            )
        table = parquet.read_observations(path, stream, file)
        return _Part(path=path, kind=OBSERVATIONS, source=parquet.source_of(path, table), table=table)


def _gzip(path: Path, stream: BinaryIO, port: int, rate: int) -> _Part:
    try:
        with gzip.GzipFile(fileobj=stream) as plain:
            return _text(path, plain, port, rate)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnusableInput(f"'{path}' is damaged or cut short as a gzip file: fetch it again") from None


def _text(path: Path, stream: BufferedReader | gzip.GzipFile, port: int, rate: int) -> _Part:
    try:
        header = stream.readline(_LONGEST_HEADER).decode("utf-8-sig")
        if not header.strip():
            raise UnusableInput(f"'{path}' is empty, or begins with an empty line: export it again")
        if flow_log.is_header(header):
            reader = TextReader(flow_log.format_of(path, header), port)
            glances = reader.glances(iter(partial(stream.read1, CHUNK_BYTES), b""))
            return _flow_log(path, flow_log.sift(path, glances, port, rate, header_lines=1))
        with io.TextIOWrapper(stream, encoding="utf-8", newline="") as lines:
            rows, disagreements = insights.read_export(path, chain([header], lines), rate)
            return _Part(path=path, kind=EXPORT, rows=rows, disagreements=disagreements)
    except UnicodeDecodeError:
        raise UnusableInput(f"'{path}' is neither Parquet nor text: is it the file that you mean?") from None


def _flow_log(path: Path, sifted: flow_log.Sifted) -> _Part:
    return _Part(path=path, kind=FLOW_LOG, rows=sifted.rows, skipdata=sifted.skipdata)
