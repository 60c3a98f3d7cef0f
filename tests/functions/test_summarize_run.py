import json
from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest

from flowlag.cost import cost_usd
from flowlag.plan import Arm
from flowlag.tables import RUNS
from flowlag_aws.store import NotStored
from flowlag_report.profile import Profile
from tests.functions.closed import BURSTS, LEDGER, OBSERVATIONS, TRAFFIC, close
from tests.functions.events import RECONCILED, load
from tests.functions.objects import TEXT, plan_with
from tests.functions.run import ARM, PLAN, Json
from tests.functions.stack import STATES, Cloud

RUN = f"runs/region=eu-west-1/dt=2026-11-23/{PLAN.run_id}.parquet"
DELAYS = sorted(map(attrgetter("delay_s"), OBSERVATIONS))


@pytest.fixture
def reconciled(cloud: Cloud, planned: object) -> Cloud:
    assert planned
    assert close(cloud) == RECONCILED["arms"][0]["observations"]
    cloud.store.put_control(PLAN.run_id, "traffic", TRAFFIC)
    return cloud


def summarize(cloud: Cloud, counts: Json | None = None, **changed: Any) -> Any:
    """Summarize the event's run, with other counts, or otherwise changed in `reconciled` or its arm."""
    (arm,) = RECONCILED["arms"]
    arm = arm | {"counts": arm["counts"] | (counts or {})}
    arm |= {name: value for name, value in changed.items() if name in arm}
    of_the_run = {name: value for name, value in changed.items() if name in RECONCILED}
    event = load("summarize_run") | {"reconciled": RECONCILED | {"arms": [arm]} | of_the_run}
    return cloud.invoke("summarize_run", event)


def test_a_run_without_a_fault_of_ours_is_complete_whatever_was_lost(reconciled: Cloud) -> None:
    summary = summarize(reconciled)
    assert (summary["run_id"], summary["source"]) == (PLAN.run_id, "local")
    assert (summary["verdict"], summary["reasons"]) == ("complete", ())


def test_a_summary_has_the_counts_and_the_distributions_of_every_arm(reconciled: Cloud) -> None:
    (arm,) = summarize(reconciled)["arms"]
    assert arm["arm"] == ARM
    assert arm["counts"] == RECONCILED["arms"][0]["counts"]
    assert (arm["n_bursts"], arm["burst_period_s"]) == (2, 60.0)
    assert (arm["capture_windows"], arm["first_delivery_s"]) == (2, 417.25)
    delay = arm["delay_s"]
    assert (delay["min"], delay["max"]) == (DELAYS[0], DELAYS[-1])
    assert delay["p50"] == pytest.approx((DELAYS[28] + DELAYS[29]) / 2)
    assert delay["p90"] == pytest.approx(DELAYS[51] + 0.3 * (DELAYS[52] - DELAYS[51]))
    assert arm["ingest_delay_s"]["min"] == 40.4
    assert (arm["timestamp_error_s"]["min"], arm["timestamp_error_s"]["max"]) == (-29.0, 30.0)


def test_the_run_becomes_a_row(reconciled: Cloud) -> None:
    (arm,) = summarize(reconciled)["arms"]
    assert list(reconciled.objects("runs/")) == [RUN]
    (row,) = reconciled.rows(RUN)
    assert row.keys() == RUNS.keys()
    assert {name: value for name, value in row.items() if name != "arms"} == {
        "run_id": PLAN.run_id,
        "experiment": "",
        "source": "local",
        "started_at": PLAN.planned_at,
        "verdict": "complete",
        "reasons": [],
        "az_id": "euw1-az1",
        "instance_type": "t2.micro",
        "hypervisor": "xen",
        "rate": 1,
        "traffic_s": 60,
        "sender_clock_offset_s": 0.0012,
        "target_clock_offset_s": -0.0003,
        "cost_usd": None,  # on no machine of AWS
        "code_version": "0.1.0",
    }
    assert row["arms"] == [
        {
            "arm": ARM,
            "destination": "cloud-watch-logs",
            "file_format": None,
            "aggregation_interval_s": 600,
            "level": "interface",
            "ledger_ticks": 60,
            "observed": 58,
            "never_sent": 0,
            "lost_on_wire": 1,
            "not_recorded": 1,
            "expected_missing": 0,
            "before_first_record": 2,
            "duplicates": 0,
            "not_in_ledger": 0,
            "stale": 0,
            "foreign": 3,
            "nodata": 1,
            "skipdata": 1,
            "unparsable": 1,
            "bursts": 2,
            **{f"delay_{name}_s": value for name, value in arm["delay_s"].items()},
        }
    ]


def test_a_run_may_be_summarized_again_and_gives_the_same_bytes(reconciled: Cloud) -> None:
    summary = summarize(reconciled)
    objects = reconciled.objects()
    assert summarize(reconciled) == summary
    assert reconciled.objects() == objects


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ledger_closed": False}, "the sender was cut short"),
        (
            {"capture_closed": False},
            "the capture was cut short, so that some loss on the wire may count as not recorded",
        ),
        ({"first_delivery": "expired"}, f"{ARM}: no first delivery before the deadline"),
        ({"counts": {"missing": {"never_sent": 1}}}, f"{ARM}: the sender missed 1 of 60 ticks"),
    ],
    ids=str,
)
def test_a_run_that_lacks_something_for_a_reason_of_ours_is_partial(
    reconciled: Cloud, changed: Json, reason: str
) -> None:
    summary = summarize(reconciled, **changed)
    assert (summary["verdict"], summary["reasons"]) == ("partial", (reason,))
    assert reconciled.rows(RUN)[0]["reasons"] == [reason]


@pytest.mark.usefixtures("planned")
def test_a_run_in_which_nothing_was_observed_is_void_and_kept(cloud: Cloud) -> None:
    key = close(cloud, [])
    lost = {"observed": 0, "missing": {"not_recorded": 60}}
    summary = summarize(cloud, lost, first_delivery="expired", first_delivery_s=None)
    assert key == RECONCILED["arms"][0]["observations"]
    assert summary["verdict"] == "void"
    assert summary["reasons"] == (
        f"{ARM}: no probe was observed",
        f"{ARM}: no first delivery before the deadline",
    )
    assert (summary["arms"][0]["delay_s"], summary["arms"][0]["n_bursts"]) == (None, 0)
    (row,) = cloud.rows(RUN)
    assert (row["verdict"], row["arms"][0]["delay_p50_s"]) == ("void", None)


@pytest.mark.usefixtures("planned")
def test_a_run_whose_arm_never_came_to_be_is_void(cloud: Cloud) -> None:
    event = load("summarize_run") | {"reconciled": RECONCILED | {"arms": [{"arm": ARM}]}}
    summary = cloud.invoke("summarize_run", event)
    assert (summary["verdict"], summary["reasons"]) == ("void", (f"{ARM}: the arm was not reconciled",))
    assert summary["arms"] == ()


@pytest.mark.parametrize("source", ["local", "aws", "simulated"])
def test_what_a_run_has_cost_is_in_its_row_where_it_cost_something(reconciled: Cloud, source: str) -> None:
    plan = replace(PLAN, source=source)
    reconciled.store.put_control(plan.run_id, "plan", plan.to_json())
    summarize(reconciled)
    cost = reconciled.rows(RUN)[0]["cost_usd"]
    assert cost == cost_usd(plan)
    assert (cost is not None and cost > 0) is (source == "aws")


@pytest.mark.usefixtures("planned")
def test_what_a_run_has_cost_that_failed_is_not_known(cloud: Cloud) -> None:
    cloud.store.put_control(PLAN.run_id, "plan", replace(PLAN, source="aws").to_json())
    cloud.invoke("summarize_run", load("summarize_run.failure"))
    assert cloud.rows(RUN)[0]["cost_usd"] is None


def test_the_row_names_the_experiment_that_asked(cloud: Cloud) -> None:
    cloud.store.put_plan(replace(PLAN, request=replace(PLAN.request, experiment="default")))
    cloud.invoke("summarize_run", load("summarize_run.failure"))
    assert cloud.rows(RUN)[0]["experiment"] == "default"


# ---------------------------------------------------------------- profiles
PROFILE = f"profiles/region=eu-west-1/dt=2026-11-23/{PLAN.run_id}.{ARM}.json"


def test_each_arm_gets_a_profile_that_says_what_its_row_says(reconciled: Cloud) -> None:
    key = close(reconciled, OBSERVATIONS[:30], plan_with(reconciled, *PLAN.arms, TEXT), TEXT)
    (arm,) = RECONCILED["arms"]
    text = arm | {"arm": TEXT.name, "observations": key, "counts": arm["counts"] | {"observed": 30}}
    reconciled.invoke("summarize_run", load("summarize_run") | {"reconciled": RECONCILED | {"arms": [arm, text]}})
    profiles = [Profile.of_bytes(data) for data in reconciled.objects("profiles/").values()]
    (run,) = reconciled.rows(RUN)
    assert [each.arm for each in profiles] == [ARM, TEXT.name]
    for profile, row, n_observed in zip(profiles, run["arms"], (58, 30), strict=True):
        for name in ("run_id", "source", "experiment", "started_at", "hypervisor", "instance_type", "verdict"):
            assert getattr(profile, name) == run[name]
        for name in ("arm", "destination", "file_format", "aggregation_interval_s", "level"):
            assert getattr(profile, name) == row[name]
        assert {name: row[name] for name in profile.counts if name in row} == {
            name: count for name, count in profile.counts.items() if name in row
        }
        assert (profile.region, profile.delivered) == (PLAN.region, n_observed)
        assert profile.delay_s is not None
        assert (profile.delay_s["min"], profile.delay_s["max"]) == (row["delay_min_s"], row["delay_max_s"])


def test_a_profile_has_the_windows_and_the_first_delivery_of_its_arm(reconciled: Cloud) -> None:
    summarize(reconciled)
    profile = Profile.of_bytes(reconciled.objects()[PROFILE])
    assert {ingested for *_, ingested in profile.windows} == set(BURSTS)
    assert profile.first_delivery is not None
    assert profile.first_delivery["first_record_s"] == pytest.approx(99.75)  # since T0, before the call
    unrecorded = [entry.tick for entry in LEDGER.entries[58:]]
    assert profile.missing == {"unrecorded": [(unrecorded[0], len(unrecorded))]}


def test_bursts_of_a_profile_are_those_of_the_summary(reconciled: Cloud) -> None:
    plan = replace(PLAN, request=replace(PLAN.request, burst_gap_s=0.1))
    reconciled.store.put_control(plan.run_id, "plan", plan.to_json())
    (arm,) = summarize(reconciled)["arms"]
    profile = Profile.of_bytes(reconciled.objects()[PROFILE])
    assert (profile.n_bursts, profile.burst_period_s) == (arm["n_bursts"], arm["burst_period_s"]) == (3, 30.0)


def test_an_arm_without_observations_has_a_profile_that_says_so(planned: object, cloud: Cloud) -> None:
    assert planned
    close(cloud, [])
    summarize(cloud, {"observed": 0, "missing": {"not_recorded": 60}}, first_delivery="expired")
    profile = Profile.of_bytes(cloud.objects()[PROFILE])
    assert (profile.verdict, profile.delay_s, profile.delivered) == ("void", None, 0)


@pytest.mark.usefixtures("planned")
def test_an_arm_that_was_not_reconciled_has_none(cloud: Cloud) -> None:
    cloud.invoke("summarize_run", load("summarize_run.failure"))
    assert cloud.objects("profiles/") == {}


def test_a_profile_of_an_attempt_that_then_failed_has_the_runs_verdict_after_all(reconciled: Cloud) -> None:
    summarize(reconciled)
    before = Profile.of_bytes(reconciled.objects()[PROFILE])
    reconciled.invoke("summarize_run", load("summarize_run.failure"))
    (run,) = reconciled.rows(RUN)
    after = Profile.of_bytes(reconciled.objects()[PROFILE])
    assert (before.verdict, run["verdict"]) == ("complete", "void")
    assert after == replace(before, verdict="void", reasons=tuple(run["reasons"]))


# ---------------------------------------------------------------- an arm that failed
REFUSED = {"Error": "FlowLogRefused", "Cause": "EC2 would not create a flow log: LimitExceeded: two at most"}


def test_one_arms_failure_leaves_the_others_standing_and_makes_the_run_partial(reconciled: Cloud) -> None:
    plan_with(reconciled, *PLAN.arms, TEXT)
    arms = [*RECONCILED["arms"], {"arm": TEXT.name}]
    failed = RECONCILED | {"arms": arms, "failures": {TEXT.name: REFUSED}}
    summary = reconciled.invoke("summarize_run", load("summarize_run") | {"reconciled": failed})
    assert summary["verdict"] == "partial"
    assert summary["reasons"] == (
        "s3-text-600: a step failed: FlowLogRefused: EC2 would not create a flow log: LimitExceeded: two at most",
        "s3-text-600: the arm was not reconciled",
    )
    assert [arm["arm"] for arm in summary["arms"]] == [ARM]
    (row,) = reconciled.rows(RUN)
    assert (row["verdict"], row["reasons"]) == ("partial", list(summary["reasons"]))
    assert [(arm["arm"], arm["observed"]) for arm in row["arms"]] == [(ARM, 58)]


def test_an_arm_that_failed_after_its_flow_log_was_created_has_its_observations_all_the_same(
    reconciled: Cloud,
) -> None:
    summary = summarize(reconciled, failures={ARM: {"Error": "ClientError", "Cause": "ThrottlingException"}})
    assert (summary["verdict"], summary["reasons"]) == (
        "partial",
        (f"{ARM}: a step failed: ClientError: ThrottlingException",),
    )
    assert [arm["counts"]["observed"] for arm in summary["arms"]] == [58]


def test_what_an_arm_was_is_in_its_part_of_the_row(cloud: Cloud) -> None:
    parquet = Arm(destination="s3", file_format="parquet", aggregation_interval_s=60, level="vpc")
    key = close(cloud, [], plan_with(cloud, parquet), parquet)
    summarize(cloud, arm=parquet.name, observations=key)
    (arm,) = cloud.rows(RUN)[0]["arms"]
    names = ("arm", "destination", "file_format", "aggregation_interval_s", "level")
    assert [arm[name] for name in names] == ["s3-parquet-60-vpc", "s3", "parquet", 60, "vpc"]


# ---------------------------------------------------------------- metrics
def metrics(printed: str) -> dict[tuple[str, ...], Json]:
    """Values by name, by the values of their dimensions; from the lines in the embedded metric format."""
    found: dict[tuple[str, ...], Json] = {}
    for line in printed.splitlines():
        document = json.loads(line)
        for each in document.get("_aws", {}).get("CloudWatchMetrics", []):
            assert each["Namespace"] == "flowlag"
            (dimensions,) = each["Dimensions"]
            values = {metric["Name"]: (document[metric["Name"]], metric["Unit"]) for metric in each["Metrics"]}
            found[tuple(document[name] for name in sorted(dimensions))] = values
            assert set(dimensions) <= {"arm", "service"}
    return found


def test_the_verdict_and_each_arm_become_metrics_of_the_stack(
    reconciled: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    (arm,) = summarize(reconciled)["arms"]
    delay = arm["delay_s"]
    assert metrics(capsys.readouterr().out) == {
        ("flowlag",): {"CompleteRuns": ([1], "Count"), "PartialRuns": ([0], "Count"), "VoidRuns": ([0], "Count")},
        (ARM, "flowlag"): {
            "NotRecorded": ([1], "Count"),
            "DelayP50": ([delay["p50"]], "Seconds"),
            "DelayP95": ([delay["p95"]], "Seconds"),
            "DelayMax": ([delay["max"]], "Seconds"),
            "FirstDelivery": ([417.25], "Seconds"),
        },
    }


def test_a_delay_that_nobody_measured_is_no_metric(
    planned: object, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned
    close(cloud, [])
    summarize(
        cloud, {"observed": 0, "missing": {"not_recorded": 60}}, first_delivery="expired", first_delivery_s=None
    )
    assert metrics(capsys.readouterr().out) == {
        ("flowlag",): {"CompleteRuns": ([0], "Count"), "PartialRuns": ([0], "Count"), "VoidRuns": ([1], "Count")},
        (ARM, "flowlag"): {"NotRecorded": ([60], "Count")},
    }


# ---------------------------------------------------------------- after a failure
@pytest.mark.usefixtures("planned")
def test_a_run_that_failed_is_void_and_kept_with_the_step_that_failed(cloud: Cloud) -> None:
    summary = cloud.invoke("summarize_run", load("summarize_run.failure"))
    assert summary["verdict"] == "void"
    assert summary["reasons"] == (
        "a step failed: CommandFailed: start-sending on i-0aaaaaaaaaaaaaaaa ended as Failed",
        f"{ARM}: the arm was not reconciled",
    )
    assert cloud.rows(RUN)[0]["reasons"] == list(summary["reasons"])


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ({}, "a step failed: unknown"),
        ({"Error": "E", "Cause": "x" * 600}, f"a step failed: E: {'x' * 497}"),
        ({"Error": "E", "Cause": '{"errorMessage": "no role", "stackTrace": []}'}, "a step failed: E: no role"),
    ],
)
@pytest.mark.usefixtures("planned")
def test_any_failure_is_told(cloud: Cloud, failure: Json, reason: str) -> None:
    summary = cloud.invoke("summarize_run", load("summarize_run.failure") | {"failure": failure})
    assert summary["reasons"][0] == reason


def test_a_run_that_failed_stays_one_when_it_is_reconciled_and_summarized_by_hand(reconciled: Cloud) -> None:
    reconciled.invoke("summarize_run", load("summarize_run.failure"))
    summary = summarize(reconciled)
    assert summary["verdict"] == "partial"
    assert summary["reasons"][0].startswith("a step failed: ")


def test_of_a_run_that_was_never_planned_nothing_is_kept(cloud: Cloud) -> None:
    assert cloud.invoke("summarize_run", load("summarize_run.failure")) == {}
    assert cloud.objects() == {}


def test_a_reconciled_run_without_a_plan_is_an_error(cloud: Cloud) -> None:
    with pytest.raises(NotStored, match="does not exist"):
        cloud.invoke("summarize_run", load("summarize_run"))


def test_the_state_machine_finds_the_verdict(reconciled: Cloud) -> None:
    (choice,) = STATES["IsVoid"]["Choices"]
    assert choice["Variable"] == "$.result.summary.verdict"
    assert STATES["SummarizeRun"]["ResultSelector"] == {"summary.$": "$.Payload"}
    assert "verdict" in summarize(reconciled)
