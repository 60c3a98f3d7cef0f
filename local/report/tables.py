"""Profiles from the tables of a copy of the results bucket: what SummarizeRun makes, made again."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from flowlag.tables import RUNS, object_key
from flowlag_report.profile import FIRST_DELIVERY_COLUMNS, LEDGER_COLUMNS, OBSERVATION_COLUMNS, profile_of
from local.report.folders import partition_of
from local.sources import UnusableInput, parquet
from local.sources.folders import files_below

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from flowlag_report.profile import Columns, Profile

_NOTHING: Final[Columns] = {name: np.empty(0, np.int64) for name in (*OBSERVATION_COLUMNS, *LEDGER_COLUMNS)}
"""An arm that recorded nothing, or a run that sent nothing."""

RUNS_FOR_PROCESSES: Final = 40
"""Of fewer, profiles are made sooner than processes have begun."""

_NO_ARM: Final = {
    "arm": "",
    "destination": None,
    "file_format": None,
    "aggregation_interval_s": None,
    "level": None,
}
"""A run that failed before it had one is still to be listed."""


def profiles_of_tables(copy: Path, burst_gap_s: float, *, known: Collection[tuple[str, str]]) -> list[Profile]:
    """The profiles of all arms of all runs, but for those that are known already.

    Args:
        copy: of the results bucket.
        burst_gap_s: deliveries less than this apart are one burst.
        known: run and arm of each that is not wanted.

    Raises:
        UnusableInput: a file is damaged, lacks a column or is not there.
    """
    runs = [(path, run) for path in files_below(copy / "runs", ".parquet") for run in _rows(path, RUNS)]
    wanted = [
        (copy, {**run, "region": partition_of(path)}, arms, burst_gap_s)
        for path, run in runs
        if (arms := [arm for arm in run["arms"] or [_NO_ARM] if (run["run_id"], arm["arm"]) not in known])
    ]
    if len(wanted) < RUNS_FOR_PROCESSES:
        return [each for run in wanted for each in _profiles(*run)]
    # Processes, as NumPy's and Arrow's calls for a run are too short to run beside one another in threads; and new
    # ones, as a fork would have the threads' locks without the threads.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
        return [each for run in workers.map(_profiles, *zip(*wanted, strict=True), chunksize=8) for each in run]


def _profiles(
    copy: Path, run: Mapping[str, Any], arms: Sequence[Mapping[str, Any]], burst_gap_s: float
) -> list[Profile]:
    def path(table: str, name: str) -> Path:
        return copy / object_key(table, run["region"], run["started_at"], name)

    ledger_path = path("ledger", run["run_id"])
    ledger = _columns(ledger_path, LEDGER_COLUMNS) if ledger_path.exists() else _NOTHING
    profiles = []
    for arm in arms:
        name = f"{run['run_id']}.{arm['arm']}"
        observed = _columns(path("observations", name), OBSERVATION_COLUMNS) if arm["arm"] else _NOTHING
        first_path = path("first_deliveries", name)
        first = _rows(first_path, FIRST_DELIVERY_COLUMNS)[0] if first_path.exists() else None
        profiles.append(profile_of(observed, ledger, run, arm, first, burst_gap_s=burst_gap_s))
    return profiles


def _rows(path: Path, names: Collection[str]) -> list[dict[str, Any]]:
    """The rows of a small table."""
    with path.open("rb") as stream, parquet.opened(path, stream) as file:
        table = _read(path, file, names)
    columns = {name: _plain(path, name, table[name]) for name in names}
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _columns(path: Path, names: Collection[str]) -> Columns:
    """The columns of a large one, without a copy where they have no gaps."""
    with path.open("rb") as stream, parquet.opened(path, stream) as file:
        table = _read(path, file, names)
    return {name: _whole(path, name, table[name]) for name in names}


def _read(path: Path, file: pq.ParquetFile, names: Collection[str]) -> pa.Table:
    there = set(file.schema_arrow.names)
    if lacking := [name for name in names if name not in there]:
        raise UnusableInput(f"'{path}' is not of these tables: it lacks the column '{lacking[0]}'")
    return file.read(columns=list(names), use_threads=False)


def _plain(path: Path, name: str, column: pa.ChunkedArray) -> list[Any]:
    is_instant = pa.types.is_timestamp(column.type)
    values: list[Any] = (parquet.micros(path, name, column) if is_instant else column).to_pylist()
    return values


def _whole(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.int64]:
    read = parquet.micros if pa.types.is_timestamp(column.type) else parquet.integers
    return parquet.values(read(path, name, column))
