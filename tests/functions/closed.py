"""A run as ReconcileRun leaves it: its rows in the results bucket, short of the run's own."""

from collections.abc import Sequence

from flowlag.first_delivery import DELIVERED, FirstDelivery
from flowlag.ledger import Ledger, LedgerEntry
from flowlag.observation import Observation, observe
from flowlag.plan import Arm, RunPlan
from flowlag.probe import Probe
from flowlag_aws.rows import Rows
from tests.functions.events import CREATION
from tests.functions.run import NOON, PLAN, instant
from tests.functions.stack import Cloud

BURSTS = (instant(NOON + 100), instant(NOON + 100) + 400_000, instant(NOON + 160))
"""Ingestion times: two deliveries of one burst, and another burst a minute later."""

TRAFFIC = {"sending": {"clock_offset_s": 0.0012}, "capture": {"clock_offset_s": -0.0003}}


def observation(number: int, plan: RunPlan = PLAN) -> Observation:
    """One of 58 probes, one a second; the first half is in the first window."""
    tick, window = NOON + number, instant(NOON + 60 * (number >= 30))
    probe = Probe(tick, tick % 65_536, instant(tick), window, None, 1, 40, 2, "ACCEPT", "OK")
    ingested_at = BURSTS[number * len(BURSTS) // 58]
    return observe(probe, plan, plan.arms[0], event_id=f"{number}", ingested_at=ingested_at)


OBSERVATIONS = [observation(number) for number in range(58)]
LEDGER = Ledger(
    tuple(LedgerEntry(tick, tick % 65_536, tick * 10**9, "sent") for tick in range(NOON, NOON + 60)), closed=True
)


def close(
    cloud: Cloud,
    observations: Sequence[Observation] = OBSERVATIONS,
    plan: RunPlan = PLAN,
    arm: Arm = PLAN.arms[0],
) -> str:
    """Write the rows of a run with these observations, and return the observations' key."""
    rows = Rows(cloud.store, cloud.results)
    rows.put_ledger(plan, LEDGER, clock_offset_s=None)
    looked = FirstDelivery(polls=1, status=DELIVERED, first_hit_at=BURSTS[0] + 1, first_record_at=BURSTS[0])
    rows.put_first_delivery(plan, arm, CREATION, looked if observations else FirstDelivery())
    return rows.put_observations(plan, arm.name, observations)
