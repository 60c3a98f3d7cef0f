from operator import attrgetter
from typing import Any

import pytest

from flowlag.observation import Observation, observe
from flowlag.probe import Probe
from flowlag.tables import RUNS
from flowlag_aws.rows import Rows
from flowlag_aws.store import NotStored
from tests.functions.events import RECONCILED, load
from tests.functions.run import ARM, NOON, PLAN, Json, instant
from tests.functions.stack import STATES, Cloud

RUN = f"runs/region=eu-west-1/dt=2026-11-23/{PLAN.run_id}.parquet"
BURSTS = (instant(NOON + 100), instant(NOON + 100) + 400_000, instant(NOON + 160))
"""Ingestion times: two deliveries of one burst, and another burst a minute later."""


def observation(number: int) -> Observation:
    """One of 58 probes, one a second; the first half is in the first window."""
    tick, window = NOON + number, instant(NOON + 60 * (number >= 30))
    probe = Probe(tick, tick % 65_536, instant(tick), window, None, 1, 40, 2, "ACCEPT", "OK")
    ingested_at = BURSTS[number * len(BURSTS) // 58]
    return observe(probe, PLAN, PLAN.arms[0], event_id=f"{number}", ingested_at=ingested_at)


OBSERVATIONS = [observation(number) for number in range(58)]
DELAYS = sorted(map(attrgetter("delay_s"), OBSERVATIONS))


@pytest.fixture
def reconciled(cloud: Cloud, planned: object) -> Cloud:
    assert planned
    key = Rows(cloud.store).put_observations(PLAN, ARM, OBSERVATIONS)
    assert key == RECONCILED["arms"][0]["observations"]
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
        "source": "local",
        "started_at": PLAN.planned_at,
        "verdict": "complete",
        "reasons": [],
        "instance_type": "t2.micro",
        "hypervisor": "xen",
        "rate": 1,
        "traffic_s": 60,
        "code_version": "0.1.0",
    }
    assert row["arms"] == [
        {
            "arm": ARM,
            "ledger_ticks": 60,
            "observed": 58,
            "never_sent": 0,
            "lost_on_wire": 1,
            "not_recorded": 1,
            "expected_missing": 0,
            "duplicates": 0,
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
    key = Rows(cloud.store).put_observations(PLAN, ARM, [])
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
    event = load("summarize_run") | {"reconciled": {"ledger_closed": True, "arms": [{"arm": ARM}]}}
    summary = cloud.invoke("summarize_run", event)
    assert (summary["verdict"], summary["reasons"]) == ("void", (f"{ARM}: the arm was not reconciled",))
    assert summary["arms"] == ()


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
    [({}, "a step failed: unknown: "), ({"Error": "E", "Cause": "x" * 600}, f"a step failed: E: {'x' * 500}")],
)
@pytest.mark.usefixtures("planned")
def test_any_failure_is_told(cloud: Cloud, failure: Json, reason: str) -> None:
    summary = cloud.invoke("summarize_run", load("summarize_run.failure") | {"failure": failure})
    assert summary["reasons"][0] == reason


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
