"""A run across midnight UTC: its flow logs change folders, its rows do not change partitions."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flowlag.plan import Arm, RunRequest
from flowlag.tables import TABLES
from local.query import ask_files, named_queries
from tests.faults.virtual import VirtualRun
from tests.functions.run import NOON
from tests.functions.stack import Cloud

pytestmark = pytest.mark.slow

MIDNIGHT = NOON + 12 * 3_600
MINUTES = 60
ARMS = (
    Arm(),
    Arm(destination="s3"),
    Arm(destination="s3", file_format="parquet"),
    Arm(destination="s3", hive_compatible=True, per_hour=True),
)
EVENING, MORNING = "2026-11-23", "2026-11-24"
FOLDERS = {
    "s3-text-600": ("/2026/11/23/", "/2026/11/24/"),
    "s3-parquet-600": ("/2026/11/23/", "/2026/11/24/"),
    "s3-text-600-hive-hourly": ("/year=2026/month=11/day=23/hour=23/", "/year=2026/month=11/day=24/hour=00/"),
}


@pytest.fixture
def run(take_place: Callable[..., VirtualRun]) -> VirtualRun:
    return take_place(RunRequest(arms=ARMS), began_at=MIDNIGHT - 10 * MINUTES, traffic_s=15 * MINUTES)


def test_every_probe_of_both_days_is_observed_and_the_run_has_the_date_of_its_start(
    run: VirtualRun, cloud: Cloud, tmp_path: Path
) -> None:
    flow_logs_delivered_to_the_folders_of_both_days(cloud)
    every_probe_of_both_days_is_observed(run)
    every_object_has_the_date_of_the_start(cloud)
    queries_by_date_find_the_whole_run_or_nothing(run, cloud, tmp_path)


def flow_logs_delivered_to_the_folders_of_both_days(cloud: Cloud) -> None:
    for arm, folders in FOLDERS.items():
        keys = list(cloud.store.keys(f"deliveries/first-light/{arm}/"))
        assert all(sum(folder in key for folder in folders) == 1 for key in keys)
        assert {folder for folder in folders if any(folder in key for key in keys)} == set(folders)


def every_probe_of_both_days_is_observed(run: VirtualRun) -> None:
    (judged,) = run.rows("runs")
    assert (judged["verdict"], judged["reasons"]) == ("complete", [])
    for arm in ARMS:
        observed = run.observed(arm.name)
        assert list(observed) == [tick for tick in run.sent if tick >= min(observed)]
        days = {datetime.fromtimestamp(row["sent_at"] // 1_000_000, UTC).date() for row in observed.values()}
        assert {day.isoformat() for day in days} == {EVENING, MORNING}


def every_object_has_the_date_of_the_start(cloud: Cloud) -> None:
    keys = list(cloud.results.keys(""))
    assert {key.split("/")[2] for key in keys} == {f"dt={EVENING}"}
    assert [key for key in keys if key.startswith("observations/")] == sorted(
        f"observations/region=eu-west-1/dt={EVENING}/first-light.{arm.name}.parquet" for arm in ARMS
    )


def queries_by_date_find_the_whole_run_or_nothing(run: VirtualRun, cloud: Cloud, folder: Path) -> None:
    for key in cloud.results.keys(""):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(cloud.results.get(key))
    by_arm = ask_files(named_queries()["delay_by_arm"].sql, [folder]).rows
    assert {row["arm"]: row["n_packets"] for row in by_arm} == {
        arm.name: len(run.observed(arm.name)) for arm in ARMS
    }
    for table in TABLES.keys() - {"quarantine"}:
        by_day = f"SELECT dt, count(*) AS n_rows FROM {table} GROUP BY dt"  # noqa: S608 - a table of ours
        ((day, n_rows),) = (row.values() for row in ask_files(by_day, [folder]).rows)
        assert (day, n_rows) == (EVENING, len(run.rows(table)))
