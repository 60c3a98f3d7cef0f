"""ReconcileRun and SummarizeRun by hand, after the run: the same bytes, whatever came in the meantime."""

from dataclasses import dataclass

import pytest

from tests.workflow.stack import Run, Scenario, Stack

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Repeated:
    """A run, its tables at its end, and its tables once it was closed again after a late delivery."""

    run: Run
    tables: dict[str, bytes]
    tables_again: dict[str, bytes]


def closed_again(stack: Stack, scenario: Scenario) -> Repeated:
    run = stack.run(scenario)
    tables = run.tables()
    stack.world.deliver_late(run.run_id)
    reconciled = stack.invoke("ReconcileRunFunction", {"run_id": run.run_id})
    stack.invoke("SummarizeRunFunction", {"run_id": run.run_id, "reconciled": reconciled})
    return Repeated(run, tables, run.tables())


REPEATED = Scenario(
    "repeated",
    {
        "arms": [
            {},
            {"destination": "s3", "file_format": "plain-text"},
            {"destination": "s3", "file_format": "parquet"},
            {"destination": "s3", "aggregation_interval_s": 60},
        ]
    },
    stand_ins={"CreateFlowLog": "refused_by_ec2"},
    arm="s3-text-60",
    story=closed_again,
)

repeated = pytest.mark.parametrize("result", [REPEATED], indirect=True, ids=["repeated"])


@repeated
def test_a_run_that_is_closed_again_has_the_same_bytes(result):
    (row,) = result.run.rows("runs")
    assert (row["verdict"], len(row["arms"])) == ("partial", 3)
    folders = {key.partition("/")[0] for key in result.tables}
    assert folders == {"observations", "ledger", "first_deliveries", "runs", "quarantine", "profiles"}
    assert result.tables_again == result.tables


@repeated
def test_something_came_late_indeed(result):
    run = result.run
    assert len({event["ingestionTime"] for event in run.events("cloudwatch-600")}) == 3
    for arm in ("s3-text-600", "s3-parquet-600"):
        first, second, late = run.in_the_world.files[arm]
        assert {first, second, late} <= run.files().keys()
