# ruff: noqa: PLC0415 - what a variant imports is what it costs in memory
"""What reading a large S3 object costs: `python benchmarks/s3_object.py`.

An object of a million flow records, of which three in a hundred are probes, through the reader of S3 flow logs,
against gunzip alone, which no reader of text avoids, against a loop over lines with a substring test, and against
flowlogs-reader where that is installed. Everything but the network. Each variant runs in a process of its own, so
that its memory can be told; they take turns, and each ratio is one of the same turn. Times are CPU times after the
imports. Takes some minutes.
"""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowlag.record import RecordFormat

RECORDS: Final = 1_000_000
PROBES: Final = 0.03
TURNS: Final = 5
BEGIN: Final = 1_800_000_000
DELIVERED_AT: Final = (BEGIN + 4_000) * 1_000_000
INTERFACE: Final = "eni-0123456789abcdef0"
PORT: Final = 7777
PAYLOAD: Final = 500
NAME: Final = "012345678901_vpcflowlogs_eu-west-1_fl-0123456789abcdef0_20270115T0800Z_fe123456.log"


# ---------------------------------------------------------------- the object
def records(chance: random.Random) -> Iterator[dict[str, object]]:
    """The fields of every record: an hour of a busy VPC, and a probe now and then."""
    for number in range(RECORDS):
        second = BEGIN + 3_600 * number // RECORDS
        is_probe = chance.random() < PROBES
        target = "10.99.0.20" if is_probe else f"10.{chance.randrange(256)}.{chance.randrange(256)}.7"
        yield {
            "version": 5,
            "account-id": "012345678901",
            "interface-id": INTERFACE,
            "srcaddr": "10.99.0.10",
            "dstaddr": target,
            "srcport": second % 65_536 if is_probe else chance.randrange(1_024, 65_536),
            "dstport": PORT if is_probe else chance.choice((53, 80, 123, 443)),
            "protocol": 6,
            "packets": 1 if is_probe else chance.randrange(1, 500),
            "bytes": 40 + PAYLOAD if is_probe else chance.randrange(40, 99_999),
            "start": second // 60 * 60,
            "end": second // 60 * 60 + 60,
            "action": "ACCEPT",
            "tcp-flags": 2,
            "flow-direction": "egress",
            "instance-id": "i-0aaaaaaaaaaaaaaaa",
            "pkt-srcaddr": "10.99.0.10",
            "pkt-dstaddr": target,
            "az-id": "euw1-az1",
            "log-status": "OK",
        }


def write(folder: Path, record_format: RecordFormat) -> dict[str, Path]:
    """The object in both formats."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(records(random.Random(1)))  # noqa: S311 - a workload, not a secret
    text, parquet = folder / f"{NAME}.gz", folder / f"{NAME}.parquet"
    with gzip.open(text, "wt", encoding="ascii") as file:
        file.write(" ".join(record_format.names) + "\n")
        file.writelines(" ".join(str(row[name]) for name in record_format.names) + "\n" for row in rows)
    columns = {name.replace("-", "_"): [row[name] for row in rows] for name in record_format.names}
    pq.write_table(pa.table(columns), parquet, compression="gzip")
    return {"text": text, "parquet": parquet}


# ---------------------------------------------------------------- the variants
def gunzip() -> Callable[[Path], int]:
    """The floor."""

    def run(path: Path) -> int:
        with gzip.open(path) as text:
            return sum(map(len, iter(lambda: text.read1(262_144), b"")))

    return run


def line_loop() -> Callable[[Path], int]:
    """The obvious way."""

    def run(path: Path) -> int:
        with gzip.open(path) as text:
            return sum(b" 7777 " in line for line in text)

    return run


def sift() -> Callable[[Path], int]:
    """Ours, in a process that has everything ReconcileRun has."""
    from flowlag.probe import ProbeFilter
    from flowlag.record import PROBE_FORMAT
    from flowlag_aws import clients
    from flowlag_aws.flow_log_objects import sift_object
    from functions import reconcile_run  # noqa: F401 - see above

    clients.s3()
    probes = ProbeFilter(PROBE_FORMAT, INTERFACE, PORT, PAYLOAD, rate=1)

    def run(path: Path) -> int:
        with path.open("rb") as body:
            sifted = sift_object(path.name, body, DELIVERED_AT, probes)
        assert sum(sifted.counts().values()) == RECORDS  # noqa: S101 - or something else was measured
        return len(sifted.probes)

    return run


def flowlogs_reader() -> Callable[[Path], int]:
    """What its S3 reader does with an object."""
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    from flowlogs_reader import FlowRecord  # type: ignore[import-not-found]
    from flowlogs_reader.flowlogs_reader import csv_dict_reader, gz_open  # type: ignore[import-not-found]

    def run(path: Path) -> int:
        with path.open("rb") as body, gz_open(body, mode="rt") as text:
            rows = csv_dict_reader(text, delimiter=" ")
            rows.fieldnames = [name.replace("-", "_") for name in rows.fieldnames]
            return sum(FlowRecord(row).dstport == PORT for row in rows)

    return run


VARIANTS: Final = {
    "gunzip alone": (gunzip, "text"),
    "text": (sift, "text"),
    "Parquet": (sift, "parquet"),
    "a loop over lines": (line_loop, "text"),
    "flowlogs-reader": (flowlogs_reader, "text"),
}


def peak_mb() -> int:
    """The most memory that this process ever had. Not by `getrusage`, which on Linux counts the parent's in."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (most,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(most) // 1024


# ---------------------------------------------------------------- the table
def main() -> None:
    """Measure and print."""
    from flowlag.record import DEFAULT_FORMAT, PROBE_FORMAT

    names = [name for name in VARIANTS if name != "flowlogs-reader" or find_spec("flowlogs_reader")]
    if len(names) < len(VARIANTS):
        print("flowlogs-reader is not installed, so it is not compared.\n")
    for fields, record_format in (("AWS's 14 fields", DEFAULT_FORMAT), ("flowlag's 20 fields", PROBE_FORMAT)):
        with TemporaryDirectory() as folder:
            seconds, peaks = measure(names, write(Path(folder), record_format))
        print(f"{RECORDS:,} records of {fields}: CPU seconds (median), and times as fast as the others\n")
        print(f"{'':20}{'s':>8}{'peak MB':>9}  " + "".join(f"{'x ' + other:>34}" for other in names[3:]))
        for name in names:
            print(f"{name:20}{median(seconds[name]):8.2f}{peaks[name]:9}  ", end="")
            print("".join(f"{ratio(seconds[other], seconds[name]):>34}" for other in names[3:]))
        print()


def measure(names: list[str], objects: dict[str, Path]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """CPU seconds of each variant in each turn, and the most memory that it had, in MB."""
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, int] = defaultdict(int)
    for _ in range(TURNS):
        for name in names:
            command = [sys.executable, __file__, name, str(objects[VARIANTS[name][1]])]
            said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own
            took, peak = said.stdout.split()
            seconds[name].append(float(took))
            peaks[name] = max(peaks[name], int(peak))
    return seconds, peaks


def ratio(others: list[float], ours: list[float]) -> str:
    """The median of the turns, and the least and the most."""
    ratios = [other / mine for other, mine in zip(others, ours, strict=True)]
    return f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def run_variant(name: str, path: Path) -> None:
    """One turn of one variant: CPU seconds and peak MB."""
    os.environ |= {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # as in the template
    }
    run = VARIANTS[name][0]()
    begin = process_time()
    run(path)
    print(process_time() - begin, peak_mb())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_variant(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
