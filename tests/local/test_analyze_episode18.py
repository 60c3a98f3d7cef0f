"""The numbers of Episode 18's run A, recomputed: `flowlag analyze` on the data that AWS delivered in 2022."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from local.cli import main

EP18 = Path(os.environ.get("FLOWLAG_EP18", Path(__file__).parents[3] / "shared" / "ep18"))

pytestmark = pytest.mark.skipif(
    not (EP18 / "logs-insights-results.csv").is_file(),
    reason="Episode 18's data is not beside this checkout: set FLOWLAG_EP18 to its folder",
)


@pytest.fixture(scope="module")
def run_a():
    export, ledger, capture = (EP18 / name for name in ("logs-insights-results.csv", "test3A.csv", "tcpdump.pcap"))
    arguments = ["analyze", export, "--ledger", ledger, "--capture", capture, "--json"]
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_it_is_one_run_that_aws_delivered(run_a):
    assert (run_a["source"], run_a["n_packets"], run_a["n_bursts"], run_a["n_runs"]) == ("aws", 9_999, 18, 1)


def test_the_true_delay(run_a):
    delay = run_a["delay_s"]
    assert (delay["min"], delay["p50"], delay["max"]) == (18.315, 325.678, 626.307)
    assert (round(delay["p95"], 2), round(delay["p99"], 2)) == (591.57, 615.31)


def test_what_the_write_up_called_ingest_delay(run_a):
    assert (run_a["ingest_delay_s"]["min"], run_a["ingest_delay_s"]["max"]) == (75.315, 625.307)


def test_the_timestamp_error(run_a):
    error = run_a["timestamp_error_s"]
    assert (error["min"], round(error["mean"], 3), error["max"]) == (-60, -29.125, 1)


def test_the_capture_windows(run_a):
    spacing = run_a["capture_window_spacing_s"]
    assert (run_a["capture_windows"], spacing["min"], spacing["max"]) == (168, 59, 61)


def test_the_bursts(run_a):
    assert run_a["burst_period_s"] == pytest.approx(600.0, abs=0.5)
    assert run_a["burst_spacing_s"]["min"] > 598
    assert run_a["burst_spacing_s"]["max"] < 602


def test_the_deliveries(run_a):
    assert run_a["deliveries"] == 68
    assert run_a["deliveries_per_burst"]["p50"] == 4
    assert run_a["capture_windows_per_delivery"]["p50"] == 2
    assert run_a["capture_windows_per_delivery"]["max"] == 3


def test_the_loss_is_none(run_a):
    loss = run_a["loss"]
    assert (loss["sent"], loss["seen"], loss["recorded"]) == (10_745, 10_745, 9_999)
    assert (loss["lost_on_wire"], loss["missing_in_range"], loss["duplicates"]) == (0, 0, 0)
    assert loss["outside_range"] == 746  # the first 40 by the query's time filter, the last 706 by its row limit
    assert loss["not_in_ledger"] == run_a["quarantined"] == 0


def test_the_seconds_that_the_sender_skipped(run_a):
    loss = run_a["loss"]
    assert (loss["never_sent"], loss["sent"] + loss["never_sent"]) == (56, 10_801)
    # About one in 193 s; single gaps between skipped seconds are from 174 to 197 s.
    assert loss["never_sent_spacing_s"] == {"min": 174, "p50": 193, "max": 197}


def test_the_missing_list_of_the_write_up_is_what_the_ledger_never_sent(run_a):
    # It lists the 52 of the 56 that lie between the first and the last exported row.
    listed = {int(line.strip('" ')) for line in (EP18 / "missingSrcPorts.csv").read_text().split()}
    assert len(listed) == 52 <= run_a["loss"]["never_sent"]
