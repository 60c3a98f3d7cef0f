import json

import pytest

from flowlag.distribution import Distribution
from flowlag.reconcile import Counts
from flowlag.summary import ArmSummary, DelayColumns, RunSummary
from flowlag.verdict import Verdict

SECOND = 1_000_000


@pytest.fixture
def counts() -> Counts:
    return Counts(
        ledger_ticks=5,
        observed=4,
        missing={"not_recorded": 1},
        before_first_record=0,
        duplicates=0,
        not_in_ledger=0,
        stale=0,
        foreign=0,
        nodata=0,
        skipdata=0,
        unparsable=0,
    )


@pytest.fixture
def columns() -> DelayColumns:
    return DelayColumns(
        delay_s=[20.0, 30.0, None, 40.0],
        ingest_delay_s=[80.0, 80.0, None, 80.0],
        timestamp_error_s=[-60.0, -50.0, -40.0, 1.0],
        ingested_at=[100 * SECOND, 100 * SECOND, None, 110 * SECOND],
        window_start=[20 * SECOND, 20 * SECOND, 20 * SECOND, 80 * SECOND],
    )


def test_an_arm_is_summarized_from_what_was_delivered(counts: Counts, columns: DelayColumns) -> None:
    assert ArmSummary.of("cloudwatch-600", counts, columns, first_delivery_s=375.0) == ArmSummary(
        arm="cloudwatch-600",
        counts=counts,
        n_bursts=1,
        burst_period_s=None,
        capture_windows=2,
        first_delivery_s=375.0,
        delay_s=Distribution.of([20.0, 30.0, 40.0]),
        ingest_delay_s=Distribution.of([80.0, 80.0, 80.0]),
        timestamp_error_s=Distribution.of([-60.0, -50.0, -40.0, 1.0]),
    )


def test_the_gap_of_a_burst_is_the_runs_own(counts: Counts, columns: DelayColumns) -> None:
    summary = ArmSummary.of("cloudwatch-600", counts, columns, burst_gap_s=5.0)
    assert (summary.n_bursts, summary.burst_period_s) == (2, 10.0)


def test_an_arm_that_delivered_nothing_has_no_distributions(counts: Counts) -> None:
    nothing = DelayColumns(delay_s=[], ingest_delay_s=[], timestamp_error_s=[], ingested_at=[], window_start=[])
    summary = ArmSummary.of("cloudwatch-600", counts, nothing)
    assert (summary.delay_s, summary.ingest_delay_s, summary.timestamp_error_s) == (None, None, None)
    assert (summary.n_bursts, summary.burst_period_s, summary.capture_windows) == (0, None, 0)
    assert summary.first_delivery_s is None


def test_a_run_is_its_verdict_and_its_arms_as_plain_json(counts: Counts, columns: DelayColumns) -> None:
    arm = ArmSummary.of("cloudwatch-600", counts, columns, first_delivery_s=375.0)
    document = RunSummary.of("run-1", "local", Verdict("partial", ("the sender was cut short",)), [arm]).to_json()
    written = json.loads(json.dumps(document))
    assert {name: written[name] for name in ("run_id", "source", "verdict", "reasons")} == {
        "run_id": "run-1",
        "source": "local",
        "verdict": "partial",
        "reasons": ["the sender was cut short"],
    }
    assert written["arms"][0]["counts"]["missing"] == {"not_recorded": 1}
    assert written["arms"][0]["delay_s"] == {
        "min": 20.0, "p50": 30.0, "p90": 38.0, "p95": 39.0, "p99": 39.8, "max": 40.0
    }  # fmt: skip
