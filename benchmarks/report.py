"""What the report of a month costs: `python benchmarks/report.py [FOLDER]`.

A simulated campaign of 30 days, four regions, four arms and four runs a day, or the one that lies in FOLDER. The
command as a user gives it, in a process of its own: from the tables, and from profiles as PublishReport does. Then
the page in headless Chromium: how long until its first chart is drawn, and until all are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import sync_playwright

from flowlag.tables import profile_key
from local.report import profiles_of

FLOWLAG: Final = Path(sys.executable).with_name("flowlag")
REGIONS: Final = ("us-east-1", "eu-west-1", "ap-southeast-2", "sa-east-1")
CAMPAIGN: Final = ("--experiment", "default", "--runs", "120", "--hours", "3", "--regions", ",".join(REGIONS))
BURST_GAP_S: Final = 30.0
TURNS: Final = 5
WIDTHS: Final = (1440, 390)


def main() -> None:
    """Print a table for the making and one for the drawing."""
    with TemporaryDirectory() as aside:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else _simulated(Path(aside) / "campaign")
        page = Path(aside) / "report.html"
        print("| from | turns | CPU | wall | memory | page |\n|---|---|---|---|---|---|")
        _measure("tables", given, page)
        _measure("profiles", _profiles(given, Path(aside) / "copy"), page)
        print("\n| width | turns | first chart | all of them | spread |\n|---|---|---|---|---|")
        for width in WIDTHS:
            first, whole = zip(*(_drawn(page, width) for _ in range(TURNS)), strict=True)
            spread = f"{min(whole):.1f} to {max(whole):.1f} s"
            print(f"| {width} px | {TURNS} | {median(first):.1f} s | {median(whole):.1f} s | {spread} |")


def _simulated(folder: Path) -> Path:
    command = [FLOWLAG, "simulate", *CAMPAIGN, "--out", folder, "--json"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own command
    return folder


def _profiles(campaign: Path, copy: Path) -> Path:
    """A copy of the results bucket that has profiles and no tables."""
    for each in profiles_of([campaign], burst_gap_s=BURST_GAP_S):
        path = copy / profile_key(each.region or "", each.started_at, each.run_id, each.arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.to_bytes())
    return copy


def _measure(name: str, given: Path, page: Path) -> None:
    cpu, wall, memory = zip(*(_turn(given, page) for _ in range(TURNS)), strict=True)
    size = page.stat().st_size / 1e6
    print(
        f"| {name} | {TURNS} | {median(cpu):.1f} s | {median(wall):.1f} s ({min(wall):.1f} to {max(wall):.1f}) "
        f"| {max(memory) / 1_024:.0f} MB | {size:.2f} MB |"
    )


def _turn(given: Path, page: Path) -> tuple[float, float, int]:
    """CPU time with that of the processes that it starts, wall time, and the most memory of one of them."""
    began = time.monotonic()
    process = subprocess.Popen([FLOWLAG, "report", given, "-o", page], stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss


def _drawn(page: Path, width: int) -> tuple[float, float]:
    """Seconds until the first chart is there, and until all are."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
        opened.goto(page.as_uri(), wait_until="commit")
        found = []
        for ready in (
            "document.querySelector('#delays .chart svg')",
            "document.documentElement.dataset.ready === 'true'",
        ):
            opened.wait_for_function(ready)
            found.append(opened.evaluate("performance.now()") / 1_000)
        browser.close()
    return found[0], found[1]


if __name__ == "__main__":
    main()
