"""What `flowlag analyze` costs: `python benchmarks/analyze.py`.

Ten million observations: 30 runs of four arms at ten probes a second, 2.3 hours each, in files as ReconcileRun
writes them, with the table of runs beside them. The command runs as a whole, from its start to its JSON, in a fresh
process a turn: wall and CPU time, and the most memory that it ever had.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Final

import numpy as np

from flowlag.tables import OBSERVATIONS, RUNS, object_key
from flowlag_aws.parquet import encode, encode_rows

TURNS: Final = 5
RUNS_OF_CAMPAIGN: Final = 30
ARMS: Final = ("cloudwatch-60", "cloudwatch-600", "s3-parquet-600", "s3-text-600")
PROBES: Final = 83_334
RATE: Final = 10
UNDELIVERED: Final = 7
BEGIN: Final = 1_800_000_000
SECOND: Final = 1_000_000
WINDOW: Final = 60_061_000
PERIOD: Final = {"cloudwatch": 600 * SECOND, "s3": 300 * SECOND}
LAG: Final = {"cloudwatch": 11 * SECOND, "s3": 420 * SECOND}

COMMAND: Final = "from local.cli import main; main()"


def main() -> None:
    """Write the observations, analyze them, and print what that took."""
    with TemporaryDirectory() as folder:
        for run in range(RUNS_OF_CAMPAIGN):
            write_run(Path(folder), run)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        turns = [turn(folder) for _ in range(TURNS)]
    wall, cpu, peak = zip(*turns, strict=True)
    print(f"{RUNS_OF_CAMPAIGN * len(ARMS) * PROBES:,} observations in {size / 1e6:,.0f} MB, {TURNS} turns")
    for name, values in (("wall (s)", wall), ("CPU (s)", cpu), ("memory (MB)", peak)):
        print(f"{name:>12}  {median(values):8.1f}  ({min(values):.1f}-{max(values):.1f})")


def write_run(folder: Path, number: int) -> None:
    """Write the observations of a run's arms, and its row."""
    run_id, begin = f"run-{number:02}", (BEGIN + number * 21_600) * SECOND
    for arm in ARMS:
        write(
            folder, "observations", begin, f"{run_id}.{arm}", encode(OBSERVATIONS, observations(run_id, arm, begin))
        )
    arms = [
        dict.fromkeys(names_of_arms())
        | {"arm": arm, "observed": PROBES, "lost_on_wire": 0, "not_recorded": UNDELIVERED}
        for arm in ARMS
    ]
    row = dict.fromkeys(RUNS) | {
        "run_id": run_id,
        "source": "simulated",
        "started_at": begin,
        "verdict": "complete",
        "reasons": [],
        "arms": arms,
    }
    write(folder, "runs", begin, run_id, encode_rows(RUNS, [row]))


def names_of_arms() -> list[str]:
    """The members of a row's `arms`."""
    members = RUNS["arms"].removeprefix("array<struct<").removesuffix(">>").split(",")
    return [member.split(":")[0] for member in members]


def write(folder: Path, table: str, at: int, name: str, data: bytes) -> None:
    """Write an object under its key."""
    path = folder / object_key(table, "eu-west-1", at, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def observations(run_id: str, arm: str, begin: int) -> dict[str, list[object] | np.ndarray]:
    """An arm of a run: windows delivered by the first burst that they are old enough for."""
    destination, _, rest = arm.partition("-")
    rng = np.random.default_rng([BEGIN, *run_id.encode(), *arm.encode()])
    period, lag = PERIOD[destination], LAG[destination]
    ticks = begin // SECOND * RATE + np.arange(PROBES)
    sent_at = ticks * (SECOND // RATE) + rng.integers(50, 900, PROBES)
    window = sent_at - (sent_at - rng.integers(WINDOW)) % WINDOW
    due = window + WINDOW + lag
    ingested_at = due + (rng.integers(period) - due) % period
    same = {
        "run_id": run_id,
        "arm": arm,
        "source": "simulated",
        "az_id": "euw1-az1",
        "instance_type": "t2.micro",
        "hypervisor": "xen",
        "destination": destination,
        "file_format": rest if destination == "s3" else None,
        "aggregation_interval_s": 600,
        "flow_log_id": f"fl-{run_id}",
        "interface_id": "eni-0123456789abcdef0",
        "packets": 1,
        "bytes": 340,
        "tcp_flags": 2,
        "action": "ACCEPT",
        "log_status": "OK",
        "seen_at": None,
        "received_at": None,
        "subscription_delay_s": None,
    }
    return {name: [value] * PROBES for name, value in same.items()} | {
        "tick": ticks,
        "srcport": ticks % 65_536,
        "sent_at": sent_at,
        "window_start": window // SECOND * SECOND,
        "window_end": (window + WINDOW) // SECOND * SECOND,
        "ingested_at": ingested_at,
        "event_id": [f"{run_id}-{arm}-{at:056}" for at in range(PROBES)],
        "delay_s": (ingested_at - sent_at) / SECOND,
        "ingest_delay_s": (ingested_at - window) / SECOND,
        "timestamp_error_s": (window - sent_at) / SECOND,
    }


def turn(folder: str) -> tuple[float, float, float]:
    """Seconds of wall and of CPU, and megabytes, of one analysis."""
    began = time.perf_counter()
    with TemporaryFile() as output:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", COMMAND, "analyze", folder, "--json"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1)],
        )
        _pid, status, used = os.wait4(pid, 0)
        wall = time.perf_counter() - began
        output.seek(0)
        answer = json.load(output)
    if status or answer["n_packets"] != RUNS_OF_CAMPAIGN * len(ARMS) * PROBES:
        raise SystemExit(f"the analysis ended with {status}: {answer}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1_000


if __name__ == "__main__":
    main()
