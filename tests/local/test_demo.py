"""The demo as its user runs it, and held against what really happened on the wire and in the service."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from local.cli import main
from local.cloud.region import Region
from local.network.virtual import unavailable
from tests.report.browser import VIEWS, Opened, chromium, needs_chromium

FLOWLAG = Path(sys.executable).parent / "flowlag"
TOLERANCE_NS = 50_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable() is not None, reason=f"no virtual network: {unavailable()}"),
]


# ---------------------------------------------------------------- the truth
ARMS = ("cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One whole demo: what it says with `--json`, its rows, and the flow-log service's own log, which is kept."""
    out, state = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("local.demo.Region", partial(Region, state_dir=state))
        done = CliRunner().invoke(main, ["demo", "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    (log,) = state.iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return result, rows_of(result, "observations"), events


def rows_of(result, table):
    return rows_in(Path(result["results"]), table)


def rows_in(folder, table):
    files = sorted((folder / table).rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def of_arm(rows, arm):
    return [row for row in rows if row["arm"] == arm]


def nanoseconds(moment):
    return int(moment.timestamp() * 1_000_000) * 1_000


@pytest.mark.parametrize("arm", ARMS)
def test_the_result_accounts_for_every_tick_of_every_arm(demo, arm):
    result, rows, _ = demo

    assert result["source"] == "local"
    assert (result["execution_status"], result["verdict"], result["reasons"]) == ("SUCCEEDED", "complete", [])
    told = result["arms"][arm]
    assert told["n_packets"] >= 60
    assert told["missing"] == {}
    assert told["ledger_ticks"] == told["observed"] == len(of_arm(rows, arm))
    assert result["athena_rows"] == len(rows)


def test_the_arms_saw_the_same_packets(demo):
    """They are paired by tick: every arm has all that were sent since the last of them collects."""
    _, rows, _ = demo
    ticks = {arm: {row["tick"] for row in of_arm(rows, arm)} for arm in ARMS}
    since = max(min(each) for each in ticks.values())

    paired = [{tick for tick in each if tick >= since} for each in ticks.values()]

    assert all(each == paired[0] for each in paired)
    assert len(paired[0]) >= 60
    sent = {}
    for row in rows:
        assert sent.setdefault(row["tick"], row["sent_at"]) == row["sent_at"]


@pytest.mark.parametrize("arm", ["cloudwatch-60", "cloudwatch-600"])
def test_every_ingestion_lies_within_the_delivery_that_the_service_logged(demo, arm):
    _, rows, events = demo

    for row in of_arm(rows, arm):
        ingested = nanoseconds(row["ingested_at"])
        spans = [(each["began_ns"], each["finished_ns"]) for each in deliveries_of(row, events)]
        # CloudWatch's ingestion time has whole milliseconds, cut off
        assert any(began - 1_000_000 < ingested <= finished for began, finished in spans), (row, spans)


@pytest.mark.parametrize("arm", ["s3-text-600", "s3-parquet-600"])
def test_every_record_in_s3_came_with_the_last_modified_of_its_object(demo, arm):
    _, rows, events = demo

    for row in of_arm(rows, arm):
        objects = {
            each["key"].rpartition("/")[2]: datetime.fromisoformat(each["last_modified"])
            for each in deliveries_of(row, events)
        }
        assert row["ingested_at"] == objects[row["event_id"].partition("#")[0]]


def deliveries_of(row, events):
    """What the service logged of the deliveries that may have brought a row's record."""
    label = nanoseconds(row["window_start"]) // 1_000_000_000
    found = [
        each
        for each in events
        if each["event"] == "delivery" and each["flow_log_id"] == row["flow_log_id"] and label in each["windows"]
    ]
    assert found, row
    return found


def test_every_send_and_every_sight_is_within_50_ms_of_the_captured_packet(demo):
    _, rows, events = demo
    captured = {
        event["srcport"]: event["at_ns"]
        for event in events
        if event["event"] == "captured" and event["dstport"] == 7777
    }

    for row in rows:
        on_the_wire = captured[row["srcport"]]
        assert abs(nanoseconds(row["sent_at"]) - on_the_wire) < TOLERANCE_NS
        assert abs(nanoseconds(row["seen_at"]) - on_the_wire) < TOLERANCE_NS


def test_the_four_delays_follow_from_the_instants(demo):
    _, rows, _ = demo

    for row in rows:
        assert row["delay_s"] == (row["ingested_at"] - row["sent_at"]).total_seconds()
        assert row["ingest_delay_s"] == (row["ingested_at"] - row["window_start"]).total_seconds()
        assert row["timestamp_error_s"] == (row["window_start"] - row["sent_at"]).total_seconds()
        if row["destination"] == "s3":
            assert (row["received_at"], row["subscription_delay_s"]) == (None, None)
        else:
            assert row["subscription_delay_s"] == (row["received_at"] - row["ingested_at"]).total_seconds() >= 0


def test_athena_and_the_state_machine_agree(demo):
    result, _, _ = demo

    assert [row["arm"] for row in result["athena"]] == sorted(ARMS)
    for row in result["athena"]:
        for name, seconds in result["arms"][row["arm"]]["delay_s"].items():
            assert float(row[f"{name}_s"]) == pytest.approx(seconds, abs=1e-6)


def test_every_other_table_has_its_rows(demo):
    result, _, _ = demo
    (run,), firsts, ledger = (rows_of(result, table) for table in ("runs", "first_deliveries", "ledger"))

    assert (run["verdict"], run["source"], run["experiment"]) == ("complete", "local", "default")
    assert {arm["arm"]: arm["observed"] for arm in run["arms"]} == {
        arm: told["observed"] for arm, told in result["arms"].items()
    }
    assert [first["level"] for first in sorted(firsts, key=lambda first: ARMS.index(first["arm"]))] == [
        "interface",
        "interface",
        "subnet",
        "subnet",
    ]
    for first in firsts:
        assert first["first_record_s"] == result["arms"][first["arm"]]["first_delivery_s"]
        assert first["status"] == "delivered"
        assert first["t0_before_call"] <= first["t0_after_call"]
        assert first["first_record_at"] <= first["first_hit_at"]
    assert len([entry for entry in ledger if entry["outcome"] == "sent"]) >= max(
        arm["observed"] for arm in result["arms"].values()
    )
    assert not (Path(result["results"]) / "quarantine").exists()


# ---------------------------------------------------------------- its page
NOTHING_TO_DRAW = {
    "gaps": "No tick between the first record and the last is missing, so there is no gap.",
    "cost": "Nothing here was bought of AWS. What a campaign would cost there, flowlag estimate tells.",
    "left-out": "No run is void.",
}
"""A run on this machine from which nothing is missing."""


@needs_chromium
def test_the_page_of_the_demo_draws_every_view_and_answers_to_clicks(demo):
    result, rows, _ = demo
    with chromium() as browser:
        opened = Opened(browser, Path(result["report"]))
        page = opened.page
        assert "These are local, not AWS, delays" in opened.text("#source")
        for view in VIEWS:
            if view in NOTHING_TO_DRAW:
                assert opened.text(f"#{view} .finding") == NOTHING_TO_DRAW[view]
            else:
                assert opened.rows(view), view
                assert page.locator(f"#{view} .chart svg path, #{view} tbody td").count() > 5, view
        shown = {arm["name"]: arm["delay_s"] for arm in json.loads(page.locator("#data").text_content())["arms"]}
        for arm in ARMS:
            delays = [row["delay_s"] for row in of_arm(rows, arm)]
            assert (shown[arm]["min"], shown[arm]["max"]) == (min(delays), max(delays))

        page.get_by_label("Destination").select_option("S3")
        page.get_by_role("slider", name="and looks back").press("End")
        page.get_by_role("button", name="Dark mode").click()
        opened.settle()

        assert {each["arm"] for each in opened.rows("delays")} == {"S3 text (600 s)", "S3 Parquet (600 s)"}
        assert {each["missed_share"] for each in opened.rows("lookback")} == {0}
        assert page.locator("html").get_attribute("data-theme") == "dark"
        assert {"destination=s3", "theme=dark"} <= set(page.url.partition("#")[2].split("&"))
        opened.close()
    assert opened.faults == []


# ---------------------------------------------------------------- the command
@pytest.fixture
def place(tmp_path):
    """An environment in which every temporary file and every process of a demo can be told."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    return {**os.environ, "TMPDIR": str(scratch)}, tmp_path


WITHOUT_PRIVILEGES = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"',
    "sh",
)


def test_without_a_network_packets_are_handed_over_in_memory_and_what_is_lost_is_missing(place):
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("privileges are dropped with unshare and setpriv, of util-linux")
    environment, folder = place
    command = [FLOWLAG, "demo", "--preset", "nitro-60", "--duration", "8", "--loss", "0.3", "--out", folder / "out"]

    done = subprocess.run(
        [*WITHOUT_PRIVILEGES, *command], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )

    first, *rest = done.stdout.splitlines()
    assert "local, not AWS, delays" in first
    assert "No network could be made here, so packets were handed over in memory" in "\n".join(rest)
    (results,) = (path for path in (folder / "out").iterdir() if path.is_dir())
    (run,) = rows_in(results, "runs")
    assert f"Verdict: {run['verdict']}" in " ".join(" ".join(rest).split())
    # Not complete only where the machine was too busy to send every probe in time.
    assert [reason for reason in run["reasons"] if "the sender missed" not in reason] == []
    for arm in run["arms"]:
        missing = [arm[cause] for cause in ("never_sent", "lost_on_wire", "not_recorded", "expected_missing")]
        assert arm["ledger_ticks"] == arm["observed"] + sum(missing)
        assert arm["not_recorded"] > arm["lost_on_wire"] == 0
    page = (folder / "out" / "report.html").read_text()
    assert "These are local, not AWS, delays" in page
    assert run["run_id"] in page
    assert str(folder / "out" / "report.html") in "".join(done.stdout.split())
    assert left_behind(folder) == []


@pytest.mark.parametrize(("end", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_ended_in_the_middle_nothing_is_left(place, end, status):
    environment, folder = place
    demo = subprocess.Popen(
        [FLOWLAG, "demo", "--out", "out"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: any("sender" in words for words in processes_of(folder)))
        demo.send_signal(end)
        said, complained = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()

    assert demo.returncode == status
    assert said.startswith("These are local, not AWS, delays")
    assert "Traceback" not in complained
    wait_until(lambda: not left_behind(folder), otherwise=lambda: left_behind(folder))


def processes_of(folder):
    """The command lines of what a demo in `folder` started, even through others: all know the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if str(folder) in " ".join((*process.environ().values(), *words)):
                found.append(words)
    return [words for words in found if words]  # a zombie has none


def left_behind(folder):
    files = [str(path) for path in folder.rglob("*") if path.is_file() and "out" not in path.parts]
    return processes_of(folder) + files


def wait_until(condition, otherwise=lambda: "it did not come to pass", seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)
