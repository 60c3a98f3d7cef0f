"""What a run must leave behind: a good one, one whose delivery never comes, one that gets no flow log."""

import json
import re
from datetime import UTC, datetime

import pytest

from tests.workflow.stack import Run, Scenario
from tests.workflow.world import BEFORE_FLOW_LOG, GARBAGE, N_PROBES

pytestmark = pytest.mark.slow

ARMS = ("cloudwatch-60", "cloudwatch-600")

GOOD = Scenario(
    "good", {"burst_gap_s": 0.01, "arms": [{"aggregation_interval_s": 60}, {"aggregation_interval_s": 600}]}
)
SILENT = Scenario("silent", {"first_delivery_timeout_s": 2}, is_silent=True)
REFUSED = Scenario("refused", stand_ins={"CreateFlowLog": "refused_by_ec2"})
IMPOSSIBLE = Scenario("impossible", {"rate": 11})


def the_run_of(scenario: Scenario) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("run", [scenario], indirect=True, ids=[scenario.run_id])


def micros(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def first_ingestions(run: Run, arm: str) -> dict[int, int]:
    """Source port to when its record was first ingested (ms), by the log group itself, apart from our code."""
    names = run.plan()["log_format"].split()
    ingestions: dict[int, int] = {}
    for event in run.events(arm):
        fields = dict(zip(names, event["message"].split(), strict=False))
        if fields.get("${dstport}") == run.traffic.order["TargetPort"]:
            ingestions.setdefault(int(fields["${srcport}"]), event["ingestionTime"])
    return ingestions


# ---------------------------------------------------------------- the good run
@the_run_of(GOOD)
def test_a_good_run_is_complete_and_accounts_for_every_tick(run):
    assert run.execution["status"] == "SUCCEEDED", run.execution["cause"]
    summary = json.loads(run.execution["output"])
    assert (summary["run_id"], summary["source"], summary["verdict"]) == ("good", "local", "complete")
    assert summary["reasons"] == []
    assert [arm["arm"] for arm in summary["arms"]] == list(ARMS)
    for arm in summary["arms"]:
        counts = arm["counts"]
        assert counts == {
            "ledger_ticks": N_PROBES - len(BEFORE_FLOW_LOG),
            "observed": len(run.traffic.observed),
            "missing": {"lost_on_wire": 1, "not_recorded": 1},
            "before_first_record": len(BEFORE_FLOW_LOG),
            "duplicates": 1,
            "not_in_ledger": 0,
            "foreign": 1,
            "nodata": 1,
            "skipdata": 0,
            "unparsable": 1,
        }
        assert counts["ledger_ticks"] == counts["observed"] + sum(counts["missing"].values())
        assert arm["n_bursts"] == 2


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_observations_are_the_probes_that_were_recorded(run, arm):
    rows = run.rows("observations", arm)
    traffic = run.traffic
    assert [row["tick"] for row in rows] == traffic.observed
    for row in rows:
        assert micros(row["sent_at"]) == traffic.sent_ns(row["tick"]) // 1_000
        assert micros(row["seen_at"]) == traffic.seen_ns(row["tick"]) // 1_000
        assert micros(row["window_start"]) == traffic.sent_ns(row["tick"]) // 1_000_000_000 * 1_000_000
        assert row["srcport"] == row["tick"] % 65_536
        assert row["arm"] == arm
        assert row["aggregation_interval_s"] == int(arm.removeprefix("cloudwatch-"))
        assert row["source"] == "local"


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_delays_are_by_the_log_group_s_own_ingestion_times(run, arm):
    ingestions = first_ingestions(run, arm)
    rows = run.rows("observations", arm)
    assert len(rows) == len(ingestions) > 0
    for row in rows:
        ingested_us = ingestions[row["srcport"]] * 1_000
        assert micros(row["ingested_at"]) == ingested_us
        assert row["delay_s"] == pytest.approx(ingested_us / 1e6 - run.traffic.sent_ns(row["tick"]) / 1e9, abs=1e-3)
        assert row["ingest_delay_s"] == pytest.approx((ingested_us - micros(row["window_start"])) / 1e6)
        assert row["timestamp_error_s"] == pytest.approx(row["delay_s"] - row["ingest_delay_s"])


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_the_decoder_got_every_delivery_through_the_subscription(run, arm):
    for row in run.rows("observations", arm):
        assert row["received_at"] is not None
        assert row["subscription_delay_s"] == pytest.approx(
            (micros(row["received_at"]) - micros(row["ingested_at"])) / 1e6
        )


@the_run_of(GOOD)
@pytest.mark.parametrize("arm", ARMS)
def test_the_first_delivery_is_timed_by_the_log_group(run, arm):
    (row,) = run.rows("first_deliveries", arm)
    first_us = run.events(arm)[0]["ingestionTime"] * 1_000
    assert micros(row["first_record_at"]) == micros(row["first_probe_at"]) == first_us
    assert row["t0_before_call"] <= row["t0_after_call"]
    assert micros(row["last_miss_at"]) < first_us + 1_000
    assert first_us <= micros(row["first_hit_at"])
    assert row["polls"] >= 2
    assert row["first_delivery_s"] == pytest.approx((first_us - micros(row["t0_before_call"])) / 1e6)


@the_run_of(GOOD)
def test_a_good_run_s_row_says_what_its_summary_says(run):
    (row,) = run.rows("runs")
    summary = json.loads(run.execution["output"])
    assert (row["run_id"], row["verdict"], row["reasons"]) == ("good", "complete", [])
    for told, arm in zip(row["arms"], summary["arms"], strict=True):
        assert told["arm"] == arm["arm"]
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
@pytest.mark.parametrize("arm", ARMS)
def test_what_cannot_be_read_is_kept_with_the_reason(run, arm):
    (row,) = run.rows("quarantine", arm)
    assert row["raw"] == GARBAGE
    assert row["reason"]


@the_run_of(GOOD)
def test_a_good_run_orders_each_thing_once_and_leaves_no_flow_log(run):
    assert run.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]
    assert run.flow_logs() == []


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
def test_a_first_delivery_that_never_came_is_censored(run):
    (row,) = run.rows("first_deliveries", "cloudwatch-600")
    assert row["first_record_at"] is row["first_probe_at"] is row["first_hit_at"] is row["first_delivery_s"] is None
    assert row["last_miss_at"] > row["t0_after_call"]
    assert row["polls"] >= 1


# ---------------------------------------------------------------- no flow log
@the_run_of(REFUSED)
def test_a_flow_log_that_is_refused_with_http_200_fails_the_run(run):
    assert (run.execution["status"], run.execution["error"]) == ("FAILED", "FlowLogRefused")
    assert re.search(r"EC2 would not create a flow log \(eni-\w+\): 400: Access Denied", run.execution["cause"])
    assert run.flow_logs() == []
    assert run.orders == ["start-capture", "start-sending", "stop-sending", "stop-capture"]


@the_run_of(REFUSED)
def test_a_refused_flow_log_is_the_reason_of_a_void_run(run):
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
