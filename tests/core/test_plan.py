import json
import math
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.errors import InvalidRequest
from flowlag.plan import LEVELS, Arm, RunPlan, RunRequest, Site, place, plan_run
from flowlag.record import PROBE_FORMAT
from flowlag.signature import payload_bytes

BOUNDS = {
    "rate": (1, 10),
    "traffic_s": (1, 86_400),
    "first_delivery_timeout_s": (1, 7_200),
    "poll_interval_s": (1, 600),
    "longest_poll_interval_s": (1, 600),
    "drain_s": (1, 7_200),
}
TO_S3 = {"destination": "s3"}
ARMS: list[dict[str, Any]] = [
    {"aggregation_interval_s": 60},
    {"destination": "cloud-watch-logs", "aggregation_interval_s": 600},
    TO_S3 | {"file_format": "parquet"},
    TO_S3 | {"aggregation_interval_s": 60, "hive_compatible": True},
    TO_S3 | {"per_hour": True, "level": "vpc"},
    {"aggregation_interval_s": 60, "level": "subnet"},
]
POLLS = st.tuples(st.integers(1, 600), st.integers(1, 600)).map(sorted)

RUN_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """What may be asked for, in JSON's own types."""
    request: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                **{name: st.integers(*bounds) for name, bounds in BOUNDS.items() if "poll" not in name},
                "burst_gap_s": st.floats(0.01, 600) | st.integers(1, 600),
                "experiment": st.from_regex(r"[a-z0-9-]{0,40}", fullmatch=True),
                "sender": st.sampled_from([None, "xen", "nitro"]),
                "arms": st.lists(st.sampled_from(ARMS), min_size=1, max_size=4, unique_by=json.dumps),
            },
        )
    )
    if draw(st.booleans()):
        request["poll_interval_s"], request["longest_poll_interval_s"] = draw(POLLS)
    return request


def planned(site: Site, request: RunRequest, run_id: str = "run-1", now: int = 0) -> RunPlan:
    return plan_run(run_id, request, site, execution="arn:run-1", now=now, code_version="abc1234")


# ---------------------------------------------------------------- the plan
@given(requests(), RUN_IDS, st.integers(0, 2**60))
def test_a_plan_survives_json(site: Site, asked: dict[str, Any], run_id: str, now: int) -> None:
    plan = planned(site, RunRequest.of_json(asked), run_id, now)
    assert RunPlan.of_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_joins_the_request_to_the_site(site: Site) -> None:
    request = RunRequest.of_json({"rate": 4, "arms": ARMS})
    plan = planned(site, request, now=5)
    assert {name: getattr(plan, name) for name in asdict(site)} == asdict(site)
    assert (plan.run_id, plan.execution, plan.planned_at, plan.code_version) == ("run-1", "arn:run-1", 5, "abc1234")
    assert (plan.rate, plan.arms, plan.request) == (4, request.arms, request)
    assert plan.payload_bytes == payload_bytes("run-1")
    assert plan.log_format == PROBE_FORMAT.log_format


def test_somebodys_own_target_is_not_captured_at(site: Site) -> None:
    assert planned(site, RunRequest()).is_captured
    own = planned(replace(site, target_instance_id=None), RunRequest())
    assert not own.is_captured
    assert RunPlan.of_json(json.loads(json.dumps(own.to_json()))) == own


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "127.0.0.1", "169.254.169.254", "224.0.0.1", "db.local"]
)
def test_probes_go_to_no_address_of_somebody_else(site: Site, address: str) -> None:
    with pytest.raises(InvalidRequest, match=r"the target's address is an? (private )?IPv4 address"):
        replace(site, target_address=address)


def test_an_arm_is_found_by_its_name(site: Site) -> None:
    plan = planned(site, RunRequest.of_json({"arms": ARMS}))
    assert [plan.arm(name).aggregation_interval_s for name in ("cloudwatch-60-subnet", "cloudwatch-600")] == [
        60,
        600,
    ]
    with pytest.raises(InvalidRequest, match="run 'run-1' has no arm 's3-600'"):
        plan.arm("s3-600")


@pytest.mark.parametrize(
    "run_id", ["", "-run", "_run", "run 1", "run/1", "run.1", "run\n", "r\u00fcn", "$(run)", "r" * 65], ids=ascii
)
def test_a_run_id_that_is_not_safe_everywhere_is_refused(site: Site, run_id: str) -> None:
    with pytest.raises(InvalidRequest, match="a run id is 1 to 64 letters, digits, '-' or '_', not"):
        planned(site, RunRequest(), run_id)


# ---------------------------------------------------------------- the request
@given(requests())
def test_a_request_keeps_what_was_asked_and_fills_in_the_rest(asked: dict[str, Any]) -> None:
    request, default = RunRequest.of_json(asked), RunRequest()
    for name in (*BOUNDS, "burst_gap_s", "experiment", "sender"):
        assert getattr(request, name) == asked.get(name, getattr(default, name))
    assert request.arms == tuple(Arm(**arm) for arm in asked.get("arms", [{}]))


def test_an_empty_request_is_three_hours_of_one_probe_a_second_under_one_arm() -> None:
    request = RunRequest.of_json({})
    assert (request.rate, request.traffic_s) == (1, 10_800)
    assert [arm.name for arm in request.arms] == ["cloudwatch-600"]


@given(requests())
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


def test_the_looks_cannot_begin_further_apart_than_they_may_become() -> None:
    with pytest.raises(InvalidRequest, match="poll_interval_s is not longer than longest_poll_interval_s"):
        RunRequest.of_json({"poll_interval_s": 241})
    assert RunRequest.of_json({"poll_interval_s": 240}).longest_poll_interval_s == 240


@pytest.mark.parametrize(
    "name", ["Default", "a b", "../default", "a" * 41, "d\u00e9faut", None, 5, ["default"]], ids=ascii
)
def test_an_experiments_name_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(InvalidRequest, match="an experiment's name is up to 40 of a-z, 0-9 and '-', not "):
        RunRequest.of_json({"experiment": name})


@pytest.mark.parametrize("sender", ["", "XEN", "t2.micro", 5, ["xen"], True], ids=repr)
def test_a_sender_of_another_kind_is_refused(sender: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"sender": sender})
    assert str(refusal.value) == f"sender is one of xen, nitro, not {sender!r}"


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"rate": 1, "speed": 2})
    assert str(refusal.value) == (
        "a run has no setting 'speed'; it has arms, burst_gap_s, drain_s, experiment, first_delivery_timeout_s, "
        "longest_poll_interval_s, poll_interval_s, rate, sender, traffic_s"
    )


@pytest.mark.parametrize("request_", [None, [], "traffic_s", 3])
def test_a_request_that_is_no_object_is_refused(request_: object) -> None:
    with pytest.raises(InvalidRequest, match="a request is an object of settings"):
        RunRequest.of_json(request_)


# ---------------------------------------------------------------- arms
@pytest.mark.parametrize(
    ("arm", "name"),
    [
        ({}, "cloudwatch-600"),
        ({"aggregation_interval_s": 60}, "cloudwatch-60"),
        ({"aggregation_interval_s": 60, "level": "subnet"}, "cloudwatch-60-subnet"),
        (TO_S3, "s3-text-600"),
        (TO_S3 | {"file_format": "plain-text"}, "s3-text-600"),
        (TO_S3 | {"file_format": "parquet", "aggregation_interval_s": 60}, "s3-parquet-60"),
        (TO_S3 | {"hive_compatible": True}, "s3-text-600-hive"),
        (TO_S3 | {"per_hour": True}, "s3-text-600-hourly"),
        (
            TO_S3 | {"file_format": "parquet", "hive_compatible": True, "per_hour": True, "level": "interface"},
            "s3-parquet-600-hive-hourly-interface",
        ),
    ],
    ids=str,
)
def test_an_arms_name_says_what_it_is_and_its_level_only_where_it_was_asked_for(
    arm: dict[str, Any], name: str
) -> None:
    assert RunRequest.of_json({"arms": [arm]}).arms[0].name == name


def test_different_arms_have_different_names() -> None:
    arms = {
        Arm(aggregation_interval_s=interval, level=level) for interval in (60, 600) for level in (None, *LEVELS)
    } | {
        Arm(
            destination="s3",
            aggregation_interval_s=interval,
            file_format=file_format,
            hive_compatible=hive,
            per_hour=hourly,
            level=level,
        )
        for interval in (60, 600)
        for file_format in ("plain-text", "parquet")
        for hive in (False, True)
        for hourly in (False, True)
        for level in (None, *LEVELS)
    }
    assert len({arm.name for arm in arms}) == len(arms) == 72


@pytest.mark.parametrize(
    "arms",
    [5, None, "cloudwatch-600", ["cloudwatch-600"], [5], {"destination": "s3"}, [{"interval": 60}]],
    ids=repr,
)
def test_arms_of_another_shape_are_refused(arms: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"arms": arms})
    assert str(refusal.value) == (
        "arms is a list of objects with destination, aggregation_interval_s, file_format, hive_compatible, "
        "per_hour, level"
    )


@pytest.mark.parametrize("arms", [[], [{}, {}], [{"aggregation_interval_s": 600}, {}]], ids=repr)
def test_a_run_without_arms_or_with_two_alike_is_refused(arms: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest, match="a run has one arm or more, and no two alike"):
        RunRequest.of_json({"arms": arms})


@pytest.mark.parametrize("interval", [0, 61, 3_600, 60.0, "60", None, True, [60]], ids=repr)
def test_an_aggregation_interval_that_flow_logs_do_not_have_is_refused(interval: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"arms": [{"aggregation_interval_s": interval}]})
    assert str(refusal.value) == f"an arm's aggregation_interval_s is 60 or 600, not {interval!r}"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("destination", "cloud-watch-logs, s3"),
        ("file_format", "plain-text, parquet"),
        ("level", "interface, subnet, vpc"),
    ],
)
@pytest.mark.parametrize("value", ["", "kinesis-data-firehose", 5, ["s3"]], ids=repr)
def test_what_flow_logs_do_not_have_is_refused_with_what_they_have(name: str, known: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"arms": [TO_S3 | {name: value}]})
    assert str(refusal.value) == f"an arm's {name} is one of {known}, not {value!r}"


@pytest.mark.parametrize("name", ["hive_compatible", "per_hour"])
@pytest.mark.parametrize("value", [None, 0, 1, "true", []], ids=repr)
def test_what_is_neither_true_nor_false_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest.of_json({"arms": [TO_S3 | {name: value}]})
    assert str(refusal.value) == f"an arm's {name} is true or false, not {value!r}"


@pytest.mark.parametrize(
    "shape", [{"file_format": "parquet"}, {"hive_compatible": True}, {"per_hour": True}], ids=str
)
def test_an_arm_to_cloudwatch_has_no_files_to_shape(shape: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidRequest,
        match="to 'cloud-watch-logs' has no file_format, hive_compatible or per_hour: they shape files",
    ):
        RunRequest.of_json({"arms": [shape]})


# ---------------------------------------------------------------- levels
def arms_on(*levels: str | None) -> tuple[Arm, ...]:
    """Arms of these levels, no two alike."""
    kinds = [
        Arm(aggregation_interval_s=interval, destination=to)
        for to in ("s3", "cloud-watch-logs")
        for interval in (60, 600)
    ]
    kinds += [Arm(destination="s3", per_hour=True), Arm(destination="s3", hive_compatible=True)]
    kinds += [Arm(destination="s3", hive_compatible=True, per_hour=True)]
    return tuple(replace(kind, level=level) for kind, level in zip(kinds, levels, strict=False))


@given(st.lists(st.sampled_from([None, *LEVELS]), max_size=6))
def test_arms_are_placed_in_their_order_where_they_ask_and_never_three_together(levels: list[str | None]) -> None:
    arms = arms_on(*levels)
    if max(Counter(filter(None, levels)).values(), default=0) > 2:
        with pytest.raises(InvalidRequest, match=r"at most 2 flow logs at once, and this run wants [3-6] on level"):
            place(arms)
        return
    placed = place(arms)
    assert [replace(after, level=before.level) for before, after in zip(arms, placed, strict=True)] == list(arms)
    assert all(after.level == before.level for before, after in zip(arms, placed, strict=True) if before.level)
    assert max(Counter(arm.level for arm in placed).values(), default=0) <= 2
    left_to_us = [
        LEVELS.index(str(after.level)) for before, after in zip(arms, placed, strict=True) if not before.level
    ]
    assert left_to_us == sorted(left_to_us)


@pytest.mark.parametrize(
    ("asked", "placed"),
    [
        ([None], ["interface"]),
        ([None] * 6, ["interface", "interface", "subnet", "subnet", "vpc", "vpc"]),
        ([None, "interface", None], ["interface", "interface", "subnet"]),
        (["vpc", None, "vpc", None, None], ["vpc", "interface", "vpc", "interface", "subnet"]),
    ],
    ids=str,
)
def test_an_arm_goes_to_the_nearest_level_with_room(asked: list[str | None], placed: list[str]) -> None:
    assert [arm.level for arm in place(arms_on(*asked))] == placed


def test_a_run_has_room_for_six_arms() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest(arms=arms_on(*[None] * 7))
    assert str(refusal.value) == (
        "a run has at most 6 arms at once, not 7: put the others into an experiment of their own, "
        "to follow this one"
    )


def test_a_level_that_is_full_is_named() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        RunRequest(arms=arms_on("subnet", "subnet", "subnet"))
    assert str(refusal.value) == (
        "a resource has at most 2 flow logs at once, and this run wants 3 on level 'subnet': "
        "name another level, or none"
    )


def test_each_level_is_a_resource_of_the_senders(site: Site) -> None:
    plan = planned(site, RunRequest(arms=arms_on(None, "vpc", None, None)))
    assert [(plan.level(arm), plan.resource_id(arm)) for arm in plan.arms] == [
        ("interface", site.interface_id),
        ("vpc", site.vpc_id),
        ("interface", site.interface_id),
        ("subnet", site.subnet_id),
    ]
