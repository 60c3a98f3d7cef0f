"""What a simulation costs: `python benchmarks/simulator.py [--campaign]`.

The command as a user gives it, in a process of its own, several times; with `--campaign` also the month of four
regions and four arms that statistics are tried on. CPU time is what a busy machine and an idle one agree on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

FLOWLAG: Final = Path(sys.executable).with_name("flowlag")
USUAL: Final = ("--preset", "xen-600", "--runs", "30", "--hours", "3", "--seed", "1")
CAMPAIGN: Final = (
    *("--experiment", "default", "--runs", "120", "--hours", "3"),
    *("--regions", "us-east-1,eu-west-1,ap-southeast-2,sa-east-1"),
)
TURNS: Final = 5


def main() -> None:
    """Print a line for each campaign."""
    print("| campaign | turns | CPU | wall | memory |\n|---|---|---|---|---|")
    _measure("30 runs of 3 h, one arm", USUAL, TURNS)
    if "--campaign" in sys.argv[1:]:
        _measure("480 runs of 3 h, four arms", CAMPAIGN, 1)


def _measure(name: str, arguments: tuple[str, ...], turns: int) -> None:
    cpu, wall, memory = zip(*(_turn(arguments) for _ in range(turns)), strict=True)
    print(f"| {name} | {turns} | {median(cpu):.1f} s | {median(wall):.1f} s | {max(memory) / 1_024:.0f} MB |")


def _turn(arguments: tuple[str, ...]) -> tuple[float, float, int]:
    with TemporaryDirectory() as folder:
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own command
            [FLOWLAG, "simulate", *arguments, "--out", folder, "--json"], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(process.returncode)
        return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss


if __name__ == "__main__":
    main()
