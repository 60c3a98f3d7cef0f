import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.instants import seconds_between
from flowlag.observation import Observation, observe
from flowlag.plan import RunPlan
from flowlag.probe import Probe

INSTANTS = st.integers(0, 2**61)
SENT_AT = 1_646_334_040_000_000

PROBE = Probe(
    tick=1_646_334_040,
    srcport=4_184,
    due_at=SENT_AT,
    window_start=SENT_AT - 40_000_000,
    window_end=SENT_AT + 20_000_000,
    packets=1,
    bytes=717,
    tcp_flags=2,
    action="ACCEPT",
    log_status="OK",
)


@pytest.fixture
def observation(plan: RunPlan) -> Observation:
    return observe(
        PROBE,
        plan,
        plan.arms[0],
        event_id="event-1",
        flow_log_id="fl-1",
        sent_at=SENT_AT + 250,
        seen_at=SENT_AT + 900,
        ingested_at=SENT_AT + 300_000_250,
        received_at=SENT_AT + 303_500_250,
    )


def test_an_observation_joins_the_probe_the_run_the_arm_and_every_instant(observation: Observation) -> None:
    assert observation._asdict() == {
        "run_id": "run-1",
        "arm": "cloudwatch-600",
        "source": "local",
        "region": "eu-west-1",
        "az_id": "euw1-az1",
        "instance_type": "t2.micro",
        "hypervisor": "xen",
        "destination": "cloud-watch-logs",
        "file_format": None,
        "aggregation_interval_s": 600,
        "flow_log_id": "fl-1",
        "interface_id": "eni-0123456789abcdef0",
        "tick": 1_646_334_040,
        "srcport": 4_184,
        "sent_at": SENT_AT + 250,
        "seen_at": SENT_AT + 900,
        "window_start": SENT_AT - 40_000_000,
        "window_end": SENT_AT + 20_000_000,
        "ingested_at": SENT_AT + 300_000_250,
        "received_at": SENT_AT + 303_500_250,
        "event_id": "event-1",
        "packets": 1,
        "bytes": 717,
        "tcp_flags": 2,
        "action": "ACCEPT",
        "log_status": "OK",
    }


def test_the_four_delays_follow_from_the_instants(observation: Observation) -> None:
    assert observation.delay_s == 300.0
    assert observation.ingest_delay_s == 340.00025
    assert observation.timestamp_error_s == -40.00025
    assert observation.subscription_delay_s == 3.5


def test_negative_delays_are_kept(plan: RunPlan) -> None:
    early = observe(PROBE, plan, plan.arms[0], event_id="e", ingested_at=SENT_AT - 50_000_000, received_at=SENT_AT)
    assert (early.delay_s, early.ingest_delay_s, early.subscription_delay_s) == (-50.0, -10.0, 50.0)
    crossed = observe(PROBE, plan, plan.arms[0], event_id="e", ingested_at=SENT_AT, received_at=SENT_AT - 1)
    assert (crossed.delay_s, crossed.subscription_delay_s) == (0.0, -0.000001)


def test_before_reconciliation_a_probe_was_sent_when_it_was_due_and_its_delivery_is_unknown(plan: RunPlan) -> None:
    landed = observe(PROBE, plan, plan.arms[0], event_id="e", received_at=SENT_AT + 1)
    assert landed.sent_at == SENT_AT
    assert (landed.flow_log_id, landed.seen_at, landed.ingested_at) == (None, None, None)
    assert (landed.delay_s, landed.ingest_delay_s, landed.subscription_delay_s) == (None, None, None)
    assert landed.timestamp_error_s == -40.0


def test_an_instant_of_zero_is_an_instant(plan: RunPlan) -> None:
    assert observe(PROBE, plan, plan.arms[0], event_id="e", sent_at=0).sent_at == 0


def test_a_probe_has_no_field_that_its_observation_drops() -> None:
    assert set(Probe._fields) - {"due_at"} <= set(Observation._fields)


@given(INSTANTS, INSTANTS)
def test_a_difference_is_exact_signed_seconds(one: int, other: int) -> None:
    assert seconds_between(one, other) == (one - other) / 1_000_000
    assert seconds_between(other, one) == -(one - other) / 1_000_000


@given(INSTANTS)
def test_a_difference_from_the_unknown_is_unknown(instant: int) -> None:
    assert seconds_between(instant, None) is None
    assert seconds_between(None, instant) is None
