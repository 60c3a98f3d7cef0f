"""An execution is aborted in its traffic window, and its flow logs go on delivering after they were deleted.

Every second object in S3 is cut in its middle, too: the run that comes next shows what becomes of those.
"""

import pytest

from local.flow_logs.faults import Faults
from local.network.virtual import unavailable
from tests.faults.runs import ARMS, CLOUDWATCH_ARMS, S3_ARMS, Run, Stack, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable() is not None, reason=f"no virtual network: {unavailable()}"),
]


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults(after_deletion=True, truncated=True)


# ---------------------------------------------------------------- the aborted run
@pytest.fixture(scope="module")
def aborted(stack: Stack) -> Run:
    """The aborted run, as soon as somebody wrote down that it was: nobody asked Sweep to."""
    run = stack.start("aborted").until("TrafficWindow")
    assert stack.processes(run.run_id)
    run.abort()
    wait_until(lambda: bool(run.rows("runs")))
    return run


@pytest.fixture(scope="module")
def left(stack: Stack, aborted: Run) -> dict[str, list]:
    """What there is right after the sweep."""
    return {
        "flow logs": stack.flow_logs(),
        "log groups": stack.log_groups(),
        "processes": stack.processes(aborted.run_id),
    }


def test_the_sweeper_leaves_nothing_behind(left: dict[str, list]) -> None:
    assert left == {"flow logs": [], "log groups": [], "processes": []}


def test_an_aborted_run_is_void_and_says_so(aborted: Run) -> None:
    (row,) = aborted.rows("runs")
    assert (row["verdict"], row["arms"]) == ("void", [])
    assert row["reasons"][0] == "the execution ended as ABORTED"
    assert aborted.rows("observations") == []


# ---------------------------------------------------------------- the next one
@pytest.fixture(scope="module")
def following(stack: Stack, left: dict[str, list]) -> Run:
    """The next run, while the deleted flow logs still deliver."""
    assert left
    return stack.start("following").ended()


@pytest.mark.usefixtures("following")
def test_deleted_flow_logs_went_on_delivering(stack: Stack, aborted: Run) -> None:
    """So the rest of this module says something."""
    swept_at = aborted.control("swept")["at"] * 1_000
    old = {aborted.flow_log_id(arm) for arm in ARMS}
    late = [event for event in stack.events if event["event"] == "delivery" and event["flow_log_id"] in old]
    assert any(event["began_ns"] > swept_at for event in late)


def test_the_next_run_is_complete(following: Run) -> None:
    assert (following.row["verdict"], following.row["reasons"]) == ("complete", [])


@pytest.mark.parametrize("arm", ARMS)
def test_it_takes_no_record_of_an_older_flow_log(following: Run, arm: str) -> None:
    assert {row["flow_log_id"] for row in following.observations[arm].values()} == {following.flow_log_id(arm)}
    (first,) = [row for row in following.rows("first_deliveries") if row["arm"] == arm]
    assert first["t0_before_call"] < first["first_record_at"] <= first["first_probe_at"] < first["first_hit_at"]
    assert following.counts(arm)["stale"] == 0


def test_the_next_sweep_removes_what_came_after_the_first(stack: Stack, aborted: Run, following: Run) -> None:
    assert stack.keys(stack.work, f"deliveries/{aborted.run_id}/")
    kept = stack.keys(stack.work, f"deliveries/{following.run_id}/")

    stack.sweep()

    assert not stack.keys(stack.work, f"deliveries/{aborted.run_id}/")
    assert set(kept) <= set(stack.keys(stack.work, "deliveries/"))
    assert len(stack.log_groups()) == len(CLOUDWATCH_ARMS)
    assert [row["verdict"] for row in aborted.rows("runs")] == ["void"]


# ---------------------------------------------------------------- objects cut in their middle
@pytest.mark.parametrize("arm", S3_ARMS)
def test_an_object_cut_short_is_in_quarantine_and_what_it_lacks_is_not_recorded(following: Run, arm: str) -> None:
    expected = following.account(arm)
    quarantined = [row for row in following.rows("quarantine") if row["arm"] == arm]

    assert following.counts(arm).items() >= expected.items()
    assert following.observations[arm].keys() == following.delivered[arm].keys()
    assert sorted(row["event_id"] for row in quarantined) == following.truncated(arm)
    for row in quarantined:
        assert row["raw"].endswith(row["event_id"])
        assert "cut short" in row["reason"]
    assert following.counts(arm)["unparsable"] == len(quarantined) > 0
    assert expected["not_recorded"] > 0


@pytest.mark.parametrize("arm", CLOUDWATCH_ARMS)
def test_the_arms_beside_them_miss_nothing(following: Run, arm: str) -> None:
    expected = following.account(arm)
    assert following.counts(arm).items() >= expected.items()
    assert expected["observed"] + expected["expected_missing"] == expected["ledger_ticks"] > 50
