"""What a run must leave behind: a good one, one whose delivery never comes, one that gets no flow log."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import inf
from statistics import median

import pytest

from flowlag.tables import PROFILES
from flowlag_aws.reports import WITHOUT_EXPERIMENT
from local import report as reports
from tests.workflow.records import GARBAGE
from tests.workflow.stack import REQUEST, Run, Scenario
from tests.workflow.traffic import BEFORE_FLOW_LOG, FIRST_BURST, N_PROBES
from tests.workflow.world import SENDER_AHEAD_S, TARGET_AHEAD_S

pytestmark = pytest.mark.slow

LEVELS = {
    "cloudwatch-60": "interface",
    "cloudwatch-600": "interface",
    "s3-text-600": "subnet",
    "s3-parquet-600": "subnet",
}
"""The arms of the default experiment, and what each is created on."""

ARMS = tuple(LEVELS)
TO_CLOUDWATCH, TO_S3 = ARMS[:2], ARMS[2:]

GAP_S = 0.1
GOOD = Scenario("good", {"experiment": "default", "burst_gap_s": GAP_S})
SILENT = Scenario("silent", {"first_delivery_timeout_s": 2}, is_silent=True)
REFUSED = Scenario(
    "refused",
    {"arms": [{}, {"destination": "s3"}], "traffic_s": 86_400},
    stand_ins={"CreateFlowLog": "refused_by_ec2"},
)
IMPOSSIBLE = Scenario("impossible", {"rate": 11})


def the_run_of(scenario: Scenario) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("result", [scenario], indirect=True, ids=[scenario.run_id])


def micros(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def first_ingestions(run: Run, arm: str) -> dict[int, int]:
    """Tick to when its record was first delivered (µs), by the cloud itself, apart from our code."""
    return (ingestions_in_s3 if arm in TO_S3 else ingestions_in_cloudwatch)(run, arm)


def ingestions_in_cloudwatch(run: Run, arm: str) -> dict[int, int]:
    names = run.control("plan")["log_format"].split()
    ports = {tick % 65_536: tick for tick in run.traffic.ticks}
    ingestions: dict[int, int] = {}
    for event in run.events(arm):
        fields = dict(zip(names, event["message"].split(), strict=False))
        is_probe = fields.get("${dstport}") == run.traffic.order["TargetPort"]
        if is_probe and int(fields["${srcport}"]) in ports:
            ingestions.setdefault(ports[int(fields["${srcport}"])], event["ingestionTime"] * 1_000)
    return ingestions


def ingestions_in_s3(run: Run, arm: str) -> dict[int, int]:
    first, second = (micros(run.files()[key]["LastModified"]) for key in run.in_the_world.files[arm])
    in_first = run.traffic.recorded(FIRST_BURST)
    return {tick: first if tick in in_first else second for tick in run.traffic.observed}


def n_bursts(ingestions: Iterable[int]) -> int:
    """Two; one in S3, where both files may have come within a second and be dated alike."""
    return 1 + sum(later - earlier > GAP_S * 1e6 for earlier, later in pairwise(sorted(ingestions)))


# ---------------------------------------------------------------- the good run
@the_run_of(GOOD)
def test_a_good_run_is_complete_and_accounts_for_every_tick(run):
    assert run.execution["status"] == "SUCCEEDED", run.execution["cause"]
    summary = json.loads(run.execution["output"])
    assert (summary["run_id"], summary["source"], summary["verdict"]) == ("good", "local", "complete")
    assert summary["reasons"] == []
    assert [arm["arm"] for arm in summary["arms"]] == list(ARMS)
    n_observed = len(run.traffic.observed)
    for arm in summary["arms"]:
        counts = arm["counts"]
        assert counts == {
            "ledger_ticks": N_PROBES - len(BEFORE_FLOW_LOG),
            "observed": n_observed,
            "missing": {"lost_on_wire": 1, "not_recorded": 1},
            "before_first_record": len(BEFORE_FLOW_LOG),
            "duplicates": 1,
            "not_in_ledger": 0,
            "stale": 2 if arm["arm"] in TO_S3 else 1,
            "foreign": 1 + (n_observed if LEVELS[arm["arm"]] == "subnet" else 0),
            "nodata": 1,
            "skipdata": 0,
            "unparsable": 0 if "parquet" in arm["arm"] else 1,
        }
        assert counts["ledger_ticks"] == counts["observed"] + sum(counts["missing"].values())
        assert arm["n_bursts"] == n_bursts(first_ingestions(run, arm["arm"]).values())


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_observations_are_the_probes_that_were_recorded(run, arm):
    rows = run.rows("observations", arm)
    traffic = run.traffic
    assert [row["tick"] for row in rows] == traffic.observed
    (flow_log_id,) = {row["flow_log_id"] for row in rows}
    assert flow_log_id == run.control(f"{arm}.creation")["flow_log_id"]
    for row in rows:
        assert micros(row["seen_at"]) == traffic.seen_ns(row["tick"]) // 1_000
        assert micros(row["window_start"]) == traffic.sent_ns(row["tick"]) // 1_000_000_000 * 1_000_000
        assert row["srcport"] == row["tick"] % 65_536
        assert row["interface_id"] == traffic.sender_interface
        assert row["arm"] == arm
        assert row["aggregation_interval_s"] == int(arm.rpartition("-")[2])
        assert row["source"] == "local"


@the_run_of(GOOD)
def test_all_arms_observe_the_same_packets(run):
    by_arm = [{row["tick"]: row["sent_at"] for row in run.rows("observations", arm)} for arm in ARMS]
    assert by_arm == [by_arm[0]] * len(ARMS)
    assert {tick: micros(sent_at) for tick, sent_at in by_arm[0].items()} == {
        tick: run.traffic.sent_ns(tick) // 1_000 for tick in run.traffic.observed
    }


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_delays_are_by_the_cloud_s_own_times_of_delivery(run, arm):
    ingestions = first_ingestions(run, arm)
    rows = run.rows("observations", arm)
    assert {row["tick"]: micros(row["ingested_at"]) for row in rows} == ingestions
    for row in rows:
        ingested_us = ingestions[row["tick"]]
        assert row["delay_s"] == pytest.approx(ingested_us / 1e6 - run.traffic.sent_ns(row["tick"]) / 1e9, abs=1e-3)
        assert row["ingest_delay_s"] == pytest.approx((ingested_us - micros(row["window_start"])) / 1e6)
        assert row["timestamp_error_s"] == pytest.approx(row["delay_s"] - row["ingest_delay_s"])


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", TO_CLOUDWATCH)
def test_the_decoder_got_every_delivery_through_the_subscription(run, arm):
    for row in run.rows("observations", arm):
        assert row["received_at"] is not None
        assert row["subscription_delay_s"] == pytest.approx(
            (micros(row["received_at"]) - micros(row["ingested_at"])) / 1e6
        )


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", TO_S3)
def test_what_came_to_s3_went_through_no_subscription(run, arm):
    assert {(row["received_at"], row["subscription_delay_s"]) for row in run.rows("observations", arm)} == {
        (None, None)
    }


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_the_first_delivery_is_timed_by_the_cloud(run, arm):
    (row,) = run.rows("first_deliveries", arm)
    first_us = min(first_ingestions(run, arm).values())
    resolution_us = 1_000_000 if arm in TO_S3 else 1_000
    assert micros(row["first_record_at"]) == micros(row["first_probe_at"]) == first_us
    assert row["t0_before_call"] <= row["t0_after_call"]
    assert micros(row["last_miss_at"]) < first_us + resolution_us
    assert first_us <= micros(row["first_hit_at"])
    assert (row["status"], row["level"]) == ("delivered", LEVELS[arm])
    assert row["polls"] >= 2
    delay_s = (first_us - micros(row["t0_before_call"])) / 1e6
    assert row["first_record_s"] == row["first_probe_s"] == pytest.approx(delay_s)


@the_run_of(GOOD)
def test_a_good_run_s_row_says_what_its_summary_says(run):
    (row,) = run.rows("runs")
    summary = json.loads(run.execution["output"])
    assert (row["run_id"], row["experiment"]) == ("good", "default")
    assert (row["verdict"], row["reasons"]) == ("complete", [])
    for told, arm in zip(row["arms"], summary["arms"], strict=True):
        assert (told["arm"], told["level"]) == (arm["arm"], LEVELS[arm["arm"]])
        assert (told["ledger_ticks"], told["observed"]) == (
            arm["counts"]["ledger_ticks"],
            arm["counts"]["observed"],
        )
        assert (told["lost_on_wire"], told["not_recorded"], told["never_sent"]) == (1, 1, 0)
        assert told["delay_p50_s"] == arm["delay_s"]["p50"]
        assert told["delay_max_s"] == arm["delay_s"]["max"]


@the_run_of(GOOD)
def test_the_ledger_s_rows_are_all_ticks_of_the_sender(run):
    rows = run.rows("ledger")
    assert [(row["tick"], row["sent_ns"]) for row in rows] == [
        (tick, run.traffic.sent_ns(tick)) for tick in run.traffic.ticks
    ]


@the_run_of(GOOD)
def test_the_clocks_of_both_instances_are_kept_with_the_run(run):
    (row,) = run.rows("runs")
    assert (row["sender_clock_offset_s"], row["target_clock_offset_s"]) == (SENDER_AHEAD_S, TARGET_AHEAD_S)
    assert {row["clock_offset_s"] for row in run.rows("ledger")} == {SENDER_AHEAD_S}


@the_run_of(GOOD)
def test_what_cannot_be_read_is_kept_with_the_reason(run):
    rows = run.rows("quarantine")
    assert {row["arm"] for row in rows} == {*TO_CLOUDWATCH, "s3-text-600"}
    assert {row["raw"] for row in rows} == {GARBAGE}
    assert all(row["reason"] for row in rows)
    assert len(rows) == 3


@the_run_of(GOOD)
def test_a_good_run_orders_each_thing_once_and_leaves_no_flow_log(run):
    assert run.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]
    assert run.flow_logs() == []


# ---------------------------------------------------------------- its report
@the_run_of(GOOD)
def test_a_good_run_ends_with_a_page_its_data_and_a_badge(run):
    published = run.report("default")
    assert published.keys() == {"index.html", "data.json", "badge.svg"}
    data = json.loads(published["data.json"])
    assert data["source"] == "local"
    assert data["answer"]["n_runs"] == 1
    assert escape(data["answer"]["sentence"]) in published["index.html"]
    assert "local: 50 % in" in published["badge.svg"]


@the_run_of(GOOD)
def test_a_good_run_s_report_has_the_numbers_of_its_rows(run):
    (row,) = run.rows("runs")
    told = {arm["arm"]: arm for arm in json.loads(run.report("default")["data.json"])["arms"]}
    assert told.keys() == set(ARMS)
    for arm in row["arms"]:
        in_report = told[arm["arm"]]
        delay_s = in_report["delay_s"]
        assert (in_report["n_packets"], in_report["n_bursts"]) == (arm["observed"], arm["bursts"])
        assert (in_report["undelivered"], delay_s["p99"]) == (2, None)  # later than all others
        assert (delay_s["min"], delay_s["max"]) == (arm["delay_min_s"], arm["delay_max_s"])
        delays = sorted(each["delay_s"] for each in run.rows("observations", arm["arm"]))
        assert delay_s["p50"] == pytest.approx(median([*delays, inf, inf]))


@the_run_of(GOOD)
@pytest.mark.parametrize("from_profiles", [True, False], ids=["profiles", "tables"])
def test_flowlag_report_makes_the_same_page_of_a_copy_of_the_results(run, tmp_path, from_profiles):
    for key, body in run.tables().items():
        if from_profiles or not key.startswith(PROFILES):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(body)
    published = run.report("default")
    built_at = json.loads(published["data.json"])["built_at"] * 1_000
    beside = reports.Beside(rate=REQUEST["rate"], port=7_777)
    made = reports.report([tmp_path], built_at, beside=beside, burst_gap_s=GAP_S)
    assert made.html == published["index.html"]
    written = {form: tmp_path / form for form in ("data", "badge")}
    reports.write_all(made, written)
    assert [written[form].read_text() for form in written] == [published["data.json"], published["badge.svg"]]


# ---------------------------------------------------------------- a delivery that never comes
@the_run_of(SILENT)
def test_a_run_without_delivery_fails(run):
    assert (run.execution["status"], run.execution["error"]) == ("FAILED", "RunVoid")
    assert run.flow_logs() == []
    assert run.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]


@the_run_of(SILENT)
def test_a_run_without_delivery_is_kept_as_void(run):
    (row,) = run.rows("runs")
    assert row["verdict"] == "void"
    assert row["reasons"] == [
        "cloudwatch-600: no probe was observed",
        "cloudwatch-600: no first delivery before the deadline",
    ]
    (arm,) = row["arms"]
    assert (arm["ledger_ticks"], arm["observed"]) == (N_PROBES, 0)
    assert (arm["not_recorded"], arm["lost_on_wire"]) == (N_PROBES - 1, 1)


@the_run_of(SILENT)
def test_a_run_without_delivery_is_told_in_the_report_of_its_campaign(run):
    data = json.loads(run.report(WITHOUT_EXPERIMENT)["data.json"])
    assert "silent" in str(data["void_runs"])
    assert "silent" not in str(data["runs"])


@the_run_of(SILENT)
def test_a_first_delivery_that_never_came_is_censored(run):
    (row,) = run.rows("first_deliveries", "cloudwatch-600")
    assert row["first_record_at"] is row["first_probe_at"] is row["first_hit_at"] is row["first_record_s"] is None
    assert row["last_miss_at"] > row["t0_after_call"]
    assert row["polls"] >= 1
    assert row["status"] == "expired"


# ---------------------------------------------------------------- no flow log
@the_run_of(REFUSED)
def test_a_run_without_any_flow_log_fails_by_the_first_refusal_without_its_hours_of_traffic(run):
    assert (run.execution["status"], run.execution["error"]) == ("FAILED", "FlowLogRefused")
    assert re.search(r"EC2 would not create a flow log \(eni-\w+\): 400: Access Denied", run.execution["cause"])
    assert run.flow_logs() == []
    assert run.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]


@the_run_of(REFUSED)
def test_a_run_without_any_flow_log_is_kept_as_void_with_the_refusal(run):
    (row,) = run.rows("runs")
    assert row["verdict"] == "void"
    assert "FlowLogRefused" in row["reasons"][0]
    assert "Access Denied" in row["reasons"][0]


# ---------------------------------------------------------------- no run
@the_run_of(IMPOSSIBLE)
def test_a_request_that_cannot_be_run_says_so_and_starts_nothing(run):
    assert (run.execution["status"], run.execution["error"]) == ("FAILED", "InvalidRequest")
    assert "rate is a whole number from 1 to 10, not 11" in run.execution["cause"]
    assert run.orders == run.flow_logs() == run.rows("runs") == []
