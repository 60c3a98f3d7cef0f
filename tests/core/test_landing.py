from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.errors import InvalidRequest
from flowlag.landing import digest, land
from flowlag.plan import RunPlan
from flowlag.probe import Unparsable

type FlowLine = Callable[..., str]

TICK = 1_646_334_040
RECEIVED_AT = (TICK + 300) * 1_000_000
IDS = st.lists(st.text("0123456789", min_size=1), unique=True, max_size=20)


def test_a_delivery_becomes_observations_of_what_is_known_at_once(plan: RunPlan, flow_line: FlowLine) -> None:
    landed = land(plan, "cloudwatch-600", ["probe"], [flow_line(TICK)], RECEIVED_AT)
    (observation,) = landed.observations
    assert (observation.run_id, observation.arm, observation.event_id) == ("run-1", "cloudwatch-600", "probe")
    assert (observation.tick, observation.sent_at) == (TICK, TICK * 1_000_000)
    assert (observation.received_at, observation.ingested_at, observation.delay_s) == (RECEIVED_AT, None, None)


def test_every_event_of_a_delivery_is_accounted_for(plan: RunPlan, flow_line: FlowLine) -> None:
    messages = {
        "stray": flow_line(TICK, dstport=443),
        "quiet": flow_line(TICK, dstport=None, log_status="NODATA"),
        "torn": "5 -",
        "probe-1": flow_line(TICK),
        "probe-2": flow_line(TICK + 1),
    }
    landed = land(plan, "cloudwatch-600", list(messages), messages.values(), RECEIVED_AT)
    assert landed.sifted.counts() == {
        "probes": 2,
        "foreign": 1,
        "nodata": 1,
        "skipdata": 0,
        "stale": 0,
        "unparsable": 1,
    }
    assert [observation.event_id for observation in landed.observations] == ["probe-1", "probe-2"]
    assert landed.sifted.unparsable == [Unparsable("torn", "5 -", "the line has 2 fields where its format has 20")]


def test_a_delivery_to_an_arm_that_the_run_does_not_have_is_refused(plan: RunPlan) -> None:
    with pytest.raises(InvalidRequest, match="run 'run-1' has no arm 'cloudwatch-60'"):
        land(plan, "cloudwatch-60", [], [], RECEIVED_AT)


def test_a_delivery_that_comes_again_has_the_same_digest(plan: RunPlan, flow_line: FlowLine) -> None:
    first, again = (
        land(plan, "cloudwatch-600", ["probe"], [flow_line(TICK)], RECEIVED_AT + later) for later in (0, 60)
    )
    assert first.digest == again.digest == digest(["probe"])


@given(IDS, IDS)
def test_different_deliveries_have_different_digests(one: list[str], other: list[str]) -> None:
    assert (digest(one) == digest(other)) == (one == other)
    assert len(digest(one)) == 32


def test_event_ids_that_run_together_alike_are_still_told_apart() -> None:
    assert digest(["12", "3"]) != digest(["1", "23"])
