"""Episode 18's run A in the page: its numbers, and its four plots."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from local.cli import main
from tests.report.browser import Opened, chromium, needs_chromium

EP18 = Path(os.environ.get("FLOWLAG_EP18", Path(__file__).parents[3] / "shared" / "ep18"))

pytestmark = pytest.mark.skipif(
    not (EP18 / "logs-insights-results.csv").is_file(),
    reason="Episode 18's data is not beside this checkout: set FLOWLAG_EP18 to its folder",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episode-18")
    export, ledger, capture = (EP18 / name for name in ("logs-insights-results.csv", "test3A.csv", "tcpdump.pcap"))
    arguments = ["report", export, "--ledger", ledger, "--capture", capture]
    arguments += ["-o", folder / "page.html", "--data", folder / "data.json"]
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return json.loads((folder / "data.json").read_text())


@pytest.fixture(scope="module")
def run(data):
    (only,) = data["newest"]
    return only


def test_the_answer(data):
    assert data["answer"]["sentence"] == (
        "Half of the flow records to CloudWatch Logs were visible 5 min 26 s after the packet, 95 % after 9 min "
        "52 s; longest 10 min 26 s; from 1 run."
    )
    assert [data["answer"][f"n_{noun}s"] for noun in ("packet", "burst", "run")] == [9_999, 18, 1]
    assert data["source"] == "aws"


def test_the_true_delay(data):
    delay = data["arms"][0]["delay_s"]

    assert (delay["min"], delay["p50"], delay["max"]) == (18.315, 325.678, 626.307)
    assert (round(delay["p95"], 2), round(delay["p99"], 2)) == (591.57, 615.31)


def test_the_first_plot_has_every_window(run):
    assert (run["capture_windows"], len(run["windows"])) == (168, 168)
    assert round(run["burst_period_s"], 1) == 600.0
    ingest_delays = [(ingested - label) / 1_000 for _, _, label, ingested in run["windows"]]
    assert (min(ingest_delays), max(ingest_delays)) == (75.315, 625.307)


def test_the_second_plot_has_the_timestamp_errors(run):
    error = run["timestamp_error_s"]

    assert (error["min"], round(error["mean"], 3), error["max"]) == (-60, -29.125, 1)
    assert max(label for _, _, label, _ in run["windows"]) == 1_000
    assert min(label - last for _, last, label, _ in run["windows"]) == -60_000


def test_the_third_plot_has_every_missing_second(run, data):
    missing = {fate: sum(n for _, n in spans) for fate, spans in run["missing"].items()}
    counts = dict(zip(data["method"]["counts"], data["profiles"]["counts"][0], strict=False))

    assert missing == {"never_sent": 56, "before_first_record": 40, "after_last_record": 706}
    assert (counts["observed"], counts["never_sent"], counts["lost_on_wire"], counts["not_recorded"]) == (
        9_999,
        56,
        0,
        0,
    )


def test_the_fourth_plot_has_the_gaps_between_skipped_seconds(run):
    ticks = [tick for tick, _ in run["missing"]["never_sent"]]

    gaps = [later - earlier for earlier, later in pairwise(ticks)]
    assert (min(gaps), sorted(gaps)[len(gaps) // 2], max(gaps)) == (174, 193, 197)


@pytest.mark.slow
@needs_chromium
def test_the_page_draws_the_four_plots_and_says_their_numbers(folder):
    with chromium() as browser:
        opened = Opened(browser, folder / "page.html")
        findings = {
            each: opened.text(f"#{each} .finding") for each in ("sawtooth", "timestamp-error", "missing", "gaps")
        }
        marks = {
            each: opened.page.locator(
                f"#{each} .chart svg .mark-rule line, #{each} .chart svg .mark-rect path"
            ).count()
            for each in findings
        }
        opened.close()

    assert opened.faults == []
    assert findings["sawtooth"].startswith("Up to 10 min 26 s, down to 18 s, again every 10 min")
    assert "9,999 packets, 18 bursts, 1 run" in findings["sawtooth"]
    assert findings["timestamp-error"].startswith(
        "\N{MINUS SIGN}60 to +1 s, \N{MINUS SIGN}29 s in the mean. A start labels a capture window: 168 labels"
    )
    assert (
        findings["missing"] == "Nothing was lost between the first record and the last; 56 ticks were never sent."
    )
    assert (
        findings["gaps"] == "56 ticks without a record, 3 min 13 s apart in the median, 2 min 54 s to 3 min 17 s."
    )
    assert marks["sawtooth"] >= 2 * 168
    assert marks["timestamp-error"] >= 168
    assert marks["gaps"] >= 55
