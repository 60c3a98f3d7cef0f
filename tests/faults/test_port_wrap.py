"""A run across the instant at which source ports begin again: after 18.2 hours at one probe a second."""

from collections.abc import Callable

import pytest

from flowlag.plan import Arm, RunRequest
from flowlag.stamp import PORTS
from tests.faults.virtual import RECEIVED_AFTER, TRAVEL_NS, VirtualRun
from tests.functions.run import NOON

CLOUDWATCH = Arm()
ARMS = (CLOUDWATCH, Arm(destination="s3"), Arm(destination="s3", file_format="parquet"))
MINUTES = 60


@pytest.mark.parametrize("rate", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_every_probe_is_observed_under_its_own_tick(take_place: Callable[..., VirtualRun], rate: int) -> None:
    wrap = NOON * rate // PORTS * PORTS  # its port is 0
    run = take_place(RunRequest(rate=rate, arms=ARMS), began_at=wrap // rate - 10 * MINUTES, traffic_s=15 * MINUTES)

    for arm in ARMS:
        every_probe_has_its_own_tick(run, arm, wrap)
    only_port_0_is_missing(run, wrap)
    the_decoder_knew_it_at_once(run)


def every_probe_has_its_own_tick(run: VirtualRun, arm: Arm, wrap: int) -> None:
    observed = run.observed(arm.name)
    assert min(observed) < wrap - 5 * MINUTES * run.plan.rate
    assert list(observed) == [tick for tick in range(min(observed), max(run.sent) + 1) if tick != wrap]
    ports = [observed[tick]["srcport"] for tick in range(wrap - 3, wrap + 4) if tick != wrap]
    assert ports == [65_533, 65_534, 65_535, 1, 2, 3]
    for tick, row in observed.items():
        sent_ns = run.sent[tick]
        assert (row["sent_at"], row["seen_at"]) == (sent_ns // 1_000, (sent_ns + TRAVEL_NS) // 1_000)
        assert 0 < row["delay_s"] < 20 * MINUTES


def only_port_0_is_missing(run: VirtualRun, wrap: int) -> None:
    unsent = {row["tick"]: row["outcome"] for row in run.rows("ledger") if row["outcome"] != "sent"}
    assert unsent == {wrap: "skipped"}
    for arm in ARMS:
        counts = run.counts(arm.name)
        assert counts["ledger_ticks"] == counts["observed"] + 1 == len(run.observed(arm.name)) + 1
        reasons = ("expected_missing", "never_sent", "lost_on_wire", "not_recorded", "not_in_ledger", "unparsable")
        assert [counts[reason] for reason in reasons] == [1, 0, 0, 0, 0, 0]
    (judged,) = run.rows("runs")
    assert (judged["verdict"], judged["reasons"]) == ("complete", [])


def the_decoder_knew_it_at_once(run: VirtualRun) -> None:
    """It does not wait for the run to be reconciled, and does not guess by the time at which it looks."""
    observed = run.observed(CLOUDWATCH.name)
    landed = {row["tick"]: row["received_at"] for row in run.landed(CLOUDWATCH.name)}
    assert landed == {tick: row["received_at"] for tick, row in observed.items()}
    # CloudWatch Logs keeps the milliseconds of an ingestion.
    hops = {row["received_at"] // 1_000 - row["ingested_at"] // 1_000 for row in observed.values()}
    assert hops == {RECEIVED_AFTER // 1_000}
