"""Five in a hundred packets are lost on the wire, five in a hundred records never delivered, the others twice.

A second run has its sender killed on top of that: then all three causes of a missing tick are there at once.
"""

import pytest

from local.flow_logs.faults import Faults
from local.network.virtual import unavailable
from tests.faults.runs import ARMS, CLOUDWATCH_ARMS, Run, Stack, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable() is not None, reason=f"no virtual network: {unavailable()}"),
]


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults(wire_loss=0.05, loss=0.05, twice=True, seed=3)


# ---------------------------------------------------------------- losses, and everything twice
@pytest.fixture(scope="module")
def lossy(stack: Stack) -> Run:
    return stack.start("lossy").ended()


def test_loss_is_a_result_and_the_run_is_complete(lossy: Run) -> None:
    assert (lossy.row["verdict"], lossy.row["reasons"]) == ("complete", [])
    assert {tick for tick, outcome in lossy.ledger.items() if outcome == "sent"} == set(lossy.left)


@pytest.mark.parametrize("arm", ARMS)
def test_every_tick_is_observed_or_missing_for_its_true_cause(lossy: Run, arm: str) -> None:
    counts = lossy.counts(arm)
    assert counts.items() >= lossy.account(arm).items()
    assert lossy.observations[arm].keys() == lossy.delivered[arm].keys()
    missing = sum(counts[cause] for cause in ("never_sent", "lost_on_wire", "not_recorded", "expected_missing"))
    assert counts["ledger_ticks"] == counts["observed"] + missing


def test_some_were_lost_on_the_wire_and_some_not_recorded(lossy: Run) -> None:
    """So what is said of them says something."""
    assert lossy.lost_on_the_wire
    assert sum(lossy.account(arm)["not_recorded"] for arm in ARMS) > 0


def test_what_the_wire_lost_is_unseen_in_every_arm_and_nothing_else_is(lossy: Run) -> None:
    """It left the sender's interface, where the flow logs watch: they may have recorded it all the same."""
    for arm in ARMS:
        seen = {tick: row["seen_at"] is not None for tick, row in lossy.observations[arm].items()}
        assert seen == {tick: tick not in lossy.lost_on_the_wire for tick in seen}


@pytest.mark.parametrize("arm", ARMS)
def test_of_two_deliveries_the_first_counts(lossy: Run, arm: str) -> None:
    for tick, copies in lossy.delivered[arm].items():
        first, second = copies
        row = lossy.observations[arm][tick]
        assert (row["ingested_at"], row["event_id"]) == (first.at, first.event_id) != (second.at, second.event_id)
    assert lossy.counts(arm)["duplicates"] == lossy.counts(arm)["observed"] > 0


@pytest.mark.parametrize("arm", CLOUDWATCH_ARMS)
def test_the_decoder_got_the_first_delivery_when_it_came(lossy: Run, arm: str) -> None:
    for row in lossy.observations[arm].values():
        assert row["received_at"] >= row["ingested_at"]


# ---------------------------------------------------------------- the sender killed
@pytest.fixture(scope="module")
def killed(stack: Stack, lossy: Run) -> Run:
    assert lossy  # one run at a time
    run = stack.start("killed", traffic_s=8).until("TrafficWindow")
    sender = stack.sender(run.run_id)
    sender.kill()
    wait_until(lambda: not sender.is_running())
    return run.ended()


def never_sent(run: Run) -> range:
    """The ticks between the ledger's last one and the order to stop."""
    stop = run.control("stop")["requested_at"]
    return range(max(run.ledger) + 1, stop * run.plan["request"]["rate"] // 10**6 + 1)


def test_a_killed_sender_makes_the_run_partial_for_that_reason_only(killed: Run) -> None:
    missed = [
        f"{arm}: the sender missed {killed.counts(arm)['never_sent']} of {killed.counts(arm)['ledger_ticks']} ticks"
        for arm in ARMS
    ]
    assert killed.row["verdict"] == "partial"
    assert killed.row["reasons"] == ["the sender was cut short", *missed]


@pytest.mark.parametrize("arm", ARMS)
def test_what_it_did_not_live_to_send_was_never_sent_and_all_before_is_as_it_was(killed: Run, arm: str) -> None:
    expected = killed.account(arm, never_sent(killed))
    assert killed.counts(arm).items() >= expected.items()
    assert expected["never_sent"] > 30
    assert killed.observations[arm].keys() == killed.delivered[arm].keys()
