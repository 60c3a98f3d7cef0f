import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.errors import InvalidRequest
from flowlag.plan import Arm, RunPlan, RunRequest, Site, plan_run
from flowlag.record import PROBE_FORMAT
from flowlag.signature import payload_bytes

BOUNDS = {
    "rate": (1, 10),
    "traffic_s": (1, 86_400),
    "first_delivery_timeout_s": (1, 7_200),
    "poll_interval_s": (1, 600),
    "drain_s": (1, 7_200),
}
ARMS = [{"aggregation_interval_s": 60}, {"destination": "cloud-watch-logs", "aggregation_interval_s": 600}]

REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.integers(low, high) for name, (low, high) in BOUNDS.items()},
        "burst_gap_s": st.floats(0.01, 600) | st.integers(1, 600),
        "arms": st.lists(st.sampled_from(ARMS), min_size=1, unique_by=lambda arm: arm["aggregation_interval_s"]),
    },
)
RUN_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)


@given(REQUESTS, RUN_IDS, st.integers(0, 2**60))
def test_a_plan_survives_json(site: Site, asked: dict[str, Any], run_id: str, now: int) -> None:
    plan = plan_run(run_id, RunRequest.of_json(asked), site, now=now, code_version="abc1234")
    assert RunPlan.of_json(json.loads(json.dumps(plan.to_json()))) == plan


@given(REQUESTS)
def test_a_request_keeps_what_was_asked_and_fills_in_the_rest(asked: dict[str, Any]) -> None:
    request, default = RunRequest.of_json(asked), RunRequest()
    for name in (*BOUNDS, "burst_gap_s"):
        assert getattr(request, name) == asked.get(name, getattr(default, name))
    assert request.arms == tuple(Arm(**arm) for arm in asked.get("arms", [{}]))


def test_an_empty_request_is_three_hours_of_one_probe_a_second_under_one_arm() -> None:
    request = RunRequest.of_json({})
    assert (request.rate, request.traffic_s) == (1, 10_800)
    assert [arm.name for arm in request.arms] == ["cloudwatch-600"]


def test_a_plan_joins_the_request_to_the_site(site: Site) -> None:
    request = RunRequest.of_json({"rate": 4, "arms": ARMS})
    plan = plan_run("run-1", request, site, now=5, code_version="abc1234")
    assert {name: getattr(plan, name) for name in asdict(site)} == asdict(site)
    assert (plan.run_id, plan.planned_at, plan.code_version) == ("run-1", 5, "abc1234")
    assert (plan.rate, plan.arms, plan.request) == (4, request.arms, request)
    assert plan.payload_bytes == payload_bytes("run-1")
    assert plan.log_format == PROBE_FORMAT.log_format


@given(REQUESTS)
def test_a_sender_that_nobody_stops_outlives_the_wait_and_the_traffic_and_ends_within_two_days(
    asked: dict[str, Any],
) -> None:
    request = RunRequest.of_json(asked)
    assert request.first_delivery_timeout_s + request.traffic_s < request.longest_traffic_s <= 172_800


@pytest.mark.parametrize("name", BOUNDS)
def test_a_whole_number_out_of_its_bounds_is_refused_by_name_and_bound(name: str) -> None:
    low, high = BOUNDS[name]
    for value in (low - 1, high + 1, -1, low + 0.5, float(low), math.nan, math.inf, True, None, "1", [1], {}):
        with pytest.raises(InvalidRequest) as refusal:
            RunRequest.of_json({name: value})
        assert str(refusal.value) == f"{name} is a whole number from {low} to {high}, not {value!r}"


@pytest.mark.parametrize("value", [0, 0.009, 600.1, -1, math.nan, math.inf, True, None, "30"])
def test_a_burst_gap_out_of_its_bounds_is_refused_by_name_and_bound(value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"burst_gap_s": value})
    assert str(refusal.value) == f"burst_gap_s is a number from 0.01 to 600, not {value!r}"


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"rate": 1, "speed": 2})
    assert str(refusal.value) == (
        "a run has no setting 'speed'; it has arms, burst_gap_s, drain_s, first_delivery_timeout_s, "
        "poll_interval_s, rate, traffic_s"
    )


@pytest.mark.parametrize(
    "arms",
    [5, None, "cloudwatch-600", ["cloudwatch-600"], [5], {"destination": "s3"}, [{"interval": 60}]],
    ids=repr,
)
def test_arms_of_another_shape_are_refused(arms: object) -> None:
    with pytest.raises(
        InvalidRequest, match="arms is a list of objects with destination and aggregation_interval_s"
    ):
        RunRequest.of_json({"arms": arms})


@pytest.mark.parametrize("arms", [[], [{}, {}], [{"aggregation_interval_s": 600}, {}]], ids=repr)
def test_a_run_without_arms_or_with_two_alike_is_refused(arms: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest, match="a run has one arm or more, and no two alike"):
        RunRequest.of_json({"arms": arms})


@pytest.mark.parametrize("interval", [0, 61, 3_600, 60.0, "60", None, True, [60]], ids=repr)
def test_an_aggregation_interval_that_flow_logs_do_not_have_is_refused(interval: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"arms": [{"aggregation_interval_s": interval}]})
    assert str(refusal.value) == f"an arm's aggregation_interval_s is 60 or 600, not {interval!r}"


@pytest.mark.parametrize("destination", ["s3", "", None, 5, ["cloud-watch-logs"]], ids=repr)
def test_a_destination_that_flowlag_does_not_measure_is_refused(destination: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"arms": [{"destination": destination}]})
    assert str(refusal.value) == f"an arm's destination is 'cloud-watch-logs', not '{destination}'"


def test_an_arm_to_cloudwatch_has_no_file_format() -> None:
    with pytest.raises(InvalidRequest, match="has no file_format, not 'parquet'"):
        RunRequest.of_json({"arms": [{"file_format": "parquet"}]})


@pytest.mark.parametrize("request_", [None, [], "traffic_s", 3])
def test_a_request_that_is_no_object_is_refused(request_: object) -> None:
    with pytest.raises(InvalidRequest, match="a request is an object of settings"):
        RunRequest.of_json(request_)


def test_an_arm_is_found_by_its_name(site: Site) -> None:
    plan = plan_run("run-1", RunRequest.of_json({"arms": ARMS}), site, now=0, code_version="abc1234")
    assert [plan.arm(name).aggregation_interval_s for name in ("cloudwatch-60", "cloudwatch-600")] == [60, 600]
    with pytest.raises(InvalidRequest, match="run 'run-1' has no arm 's3-600'"):
        plan.arm("s3-600")


@pytest.mark.parametrize(
    "run_id", ["", "-run", "_run", "run 1", "run/1", "run.1", "run\n", "r\u00fcn", "$(run)", "r" * 65], ids=ascii
)
def test_a_run_id_that_is_not_safe_everywhere_is_refused(site: Site, run_id: str) -> None:
    with pytest.raises(InvalidRequest, match="a run id is 1 to 64 letters, digits, '-' or '_', not"):
        plan_run(run_id, RunRequest(), site, now=0, code_version="abc1234")
