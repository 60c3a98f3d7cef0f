import pytest

from flowlag.landing import land
from flowlag.observation import Observation, observe
from flowlag.probe import Probe
from flowlag_aws.rows import Rows
from flowlag_aws.store import Store
from tests.functions.run import ARM, NOON, PLAN, event_id, flow_line, instant

pytestmark = pytest.mark.slow

RECEIVED_AT = instant(NOON + 300)


def test_the_first_receipt_of_an_event_counts_whatever_came_after_it(store: Store) -> None:
    rows = Rows(store, store)
    messages = {event_id(number): flow_line(NOON + number) for number in range(3)}
    deliveries = [
        (RECEIVED_AT, messages),
        (RECEIVED_AT + 60, messages),  # again
        (RECEIVED_AT - 60, {event_id(1): messages[event_id(1)]}),  # in another batch, which was received before
    ]
    for received_at, delivered in deliveries:
        rows.put_landing(land(PLAN, ARM, list(delivered), delivered.values(), received_at))
    received = {event_id(0): RECEIVED_AT, event_id(1): RECEIVED_AT - 60, event_id(2): RECEIVED_AT}
    assert rows.received(PLAN.run_id, ARM, until=RECEIVED_AT + 60) == received
    assert rows.received(PLAN.run_id, ARM, until=RECEIVED_AT) == received
    assert rows.received(PLAN.run_id, ARM, until=RECEIVED_AT - 1) == {event_id(1): RECEIVED_AT - 60}
    assert rows.received(PLAN.run_id, "cloudwatch-60", until=RECEIVED_AT) == {}


def test_delays_come_back_from_the_file_of_an_arm(store: Store) -> None:
    def observation(number: int, ingested_at: int | None) -> Observation:
        tick = NOON + number
        probe = Probe(tick, tick % 65_536, instant(tick), instant(NOON), None, 1, 40, 2, "ACCEPT", "OK")
        return observe(probe, PLAN, PLAN.arms[0], event_id=event_id(number), ingested_at=ingested_at)

    rows = Rows(store, store)
    key = rows.put_observations(PLAN, ARM, [observation(0, instant(NOON + 90)), observation(1, None)])
    assert key == f"observations/region=eu-west-1/dt=2026-11-23/{PLAN.run_id}.{ARM}.parquet"
    delays = rows.delays(key)
    assert (delays.delay_s, delays.ingest_delay_s, delays.timestamp_error_s) == (
        [90.0, None],
        [90.0, None],
        [0.0, -1.0],
    )
    assert (delays.ingested_at, delays.window_start) == ([instant(NOON + 90), None], [instant(NOON)] * 2)
