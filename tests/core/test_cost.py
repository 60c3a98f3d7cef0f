"""The cost of a run and of a campaign, and the prices that it is made of."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samtranslator.yaml_helper import yaml_parse

from flowlag import cost, prices
from flowlag.cost import Assumptions, Campaign, Item, Stack, cost_usd, estimate_campaign, estimate_run, total_usd
from flowlag.errors import InvalidRequest
from flowlag.experiment import read_experiment
from flowlag.plan import FILE_FORMATS, LEVELS, S3, Arm, RunPlan, RunRequest
from flowlag.record import PROBE_FORMAT, FlowRecord

CHECKOUT = Path(__file__).parents[2]
DEFAULT = read_experiment("default", (CHECKOUT / "functions/experiments/default.toml").read_text())
MACHINE: dict[str, Any] = json.loads((CHECKOUT / "statemachine/benchmark.asl.json").read_text())
TEMPLATE: dict[str, Any] = yaml_parse((CHECKOUT / "template.yaml").read_text())
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]

ARMS = [
    *(Arm(aggregation_interval_s=interval) for interval in (60, 600)),
    *(
        Arm(destination=S3, file_format=form, hive_compatible=hive)
        for form in FILE_FORMATS
        for hive in (False, True)
    ),
]
REQUESTS = st.builds(
    RunRequest,
    rate=st.integers(1, 9),
    traffic_s=st.integers(1, 20_000),
    drain_s=st.integers(1, 7_000),
    first_delivery_timeout_s=st.integers(1, 7_200),
    poll_interval_s=st.integers(1, 200),
    longest_poll_interval_s=st.integers(200, 600),
    arms=st.lists(st.sampled_from(ARMS), min_size=1, unique=True).map(tuple),
)
KNOWN = st.sampled_from(prices.REGIONS)
STACKS = st.builds(
    Stack,
    senders=st.sampled_from(prices.INSTANCE_TYPES).map(lambda name: (name,)),
    target=st.none() | st.sampled_from(prices.INSTANCE_TYPES),
    processor=st.sampled_from(["arm64", "x86_64"]),
)
CAMPAIGNS = st.builds(
    estimate_campaign,
    REQUESTS,
    st.lists(KNOWN, min_size=1, max_size=3, unique=True),
    runs_per_day=st.integers(0, 2),
    days=st.integers(1, 90),
    stack=STACKS,
)


def by_name(items: Iterable[Item]) -> dict[str, Item]:
    named = {item.name: item for item in items}
    assert len(named) == len(list(items))
    return named


def quantities(items: Iterable[Item]) -> dict[str, float]:
    return {item.name: item.quantity for item in items}


def run_usd(request: RunRequest, region: str = "us-east-1") -> float:
    return total_usd(estimate_run(request, region))


# ---------------------------------------------------------------- a run
@given(REQUESTS, KNOWN, STACKS)
def test_no_quantity_is_negative_and_the_items_are_the_total(
    request: RunRequest, region: str, stack: Stack
) -> None:
    items = estimate_run(request, region, stack)
    assert all(item.quantity >= 0 and item.price.usd > 0 for item in items)
    assert total_usd(items) == pytest.approx(sum(item.quantity * item.price.usd for item in items))
    assert total_usd(items) > 0


@given(REQUESTS, KNOWN)
def test_a_longer_or_faster_run_costs_more(request: RunRequest, region: str) -> None:
    usd = run_usd(request, region)
    assert run_usd(replace(request, traffic_s=request.traffic_s + 60), region) > usd
    assert run_usd(replace(request, drain_s=request.drain_s + 60), region) > usd
    assert run_usd(replace(request, rate=request.rate + 1), region) > usd
    assert total_usd(estimate_run(request, region, assumed=Assumptions(first_delivery_s=7_200))) >= usd


@given(REQUESTS, st.permutations(LEVELS).map(lambda levels: levels[:2]), st.sampled_from(ARMS))
def test_an_arm_costs_the_same_whatever_the_others_are(
    request: RunRequest, levels: list[str], another: Arm
) -> None:
    near, far = levels
    others = tuple(replace(arm, level=near) for arm in ARMS[:2])
    another = replace(another, level=far)
    alone = run_usd(replace(request, arms=(others[0], another))) - run_usd(replace(request, arms=others[:1]))
    beside = run_usd(replace(request, arms=(*others, another))) - run_usd(replace(request, arms=others))
    assert alone == pytest.approx(beside)
    assert alone > 0


def test_above_the_senders_interface_an_arm_records_the_targets_side_too() -> None:
    def gb(level: str) -> float:
        request = RunRequest(arms=(Arm(destination=S3, level=level),))
        return quantities(estimate_run(request, "us-east-1"))["flow logs to S3"]

    assert gb("subnet") == gb("vpc") == pytest.approx(2 * gb("interface"))


def test_flow_logs_are_billed_by_destination_and_parquet_is_converted_besides() -> None:
    items = by_name(estimate_run(RunRequest(arms=(Arm(level="vpc"),)), "us-east-1"))
    assert items["flow logs to S3"].quantity == items["Parquet conversion"].quantity == 0
    text, parquet = (
        by_name(estimate_run(RunRequest(arms=(Arm(destination=S3, file_format=each),)), "us-east-1"))
        for each in FILE_FORMATS
    )
    assert text["Parquet conversion"].quantity == text["flow logs to CloudWatch Logs"].quantity == 0
    assert parquet["Parquet conversion"].quantity == parquet["flow logs to S3"].quantity > 0


def test_a_run_by_hand() -> None:
    """One arm; the looks come after 30 + 45 + 68 + 101 + 152 + 228 = 624 s, and the sixth finds something."""
    request = RunRequest(rate=2, traffic_s=3_600, drain_s=600, longest_poll_interval_s=600, arms=(Arm(),))
    items = by_name(estimate_run(request, "eu-west-1", Stack(senders=("t2.micro",))))

    hours = (60 + 624 + 3_600 + 600 + 60) / 3_600
    assert items["sender t2.micro"].usd == pytest.approx(hours * 0.0126)
    assert items["target t4g.nano"].usd == pytest.approx(hours * 0.0046)
    assert items["public IPv4 addresses"].usd == pytest.approx(hours * 2 * 0.005)
    assert items["disks"].usd == pytest.approx(hours * 2 * 8 * 0.088 / 730)
    assert items["state transitions"].quantity == cost.RUN_TRANSITIONS + 2 + 3 * 6
    records = 2 * 2 * 4_224 + 12 * 4_824 / 60
    assert items["flow logs to CloudWatch Logs"].usd == pytest.approx(records * (170 + 26) / 1e9 * 0.57)
    deliveries = 4_824 / 60
    assert items["function requests"].quantity == pytest.approx(7 + 1 + 6 + deliveries)


def test_each_arm_publishes_metrics_of_its_own_for_an_hour() -> None:
    metrics = by_name(estimate_run(DEFAULT, "us-east-1"))["metrics"]
    assert metrics.usd == pytest.approx((3 + 4 * 5) * 0.30 / 730)


def test_the_looks_end_with_the_timeout() -> None:
    patient, hasty = (RunRequest(first_delivery_timeout_s=timeout) for timeout in (2_700, 100))
    looks = [quantities(estimate_run(each, "us-east-1"))["state transitions"] for each in (patient, hasty)]
    assert looks[0] - looks[1] == 3 * (6 - 3)


def test_a_target_of_ones_own_is_not_paid_here() -> None:
    ours, theirs = (by_name(estimate_run(DEFAULT, "us-east-1", stack)) for stack in (Stack(), Stack(target=None)))
    assert set(ours) - set(theirs) == {"target t4g.nano"}
    for shared in ("public IPv4 addresses", "disks"):
        assert theirs[shared].quantity == pytest.approx(ours[shared].quantity / 2)
    assert theirs["S3 writes and lists"].quantity < ours["S3 writes and lists"].quantity  # no capture grows


@given(REQUESTS, st.sampled_from(["eu-north-1", "af-south-1"]))
def test_a_region_without_prices_has_those_of_us_east_1_and_says_so(request: RunRequest, region: str) -> None:
    here, there = estimate_run(request, region), estimate_run(request, "us-east-1")
    assert here == there
    assert {item.price.region for item in here} == {"us-east-1"}


# ---------------------------------------------------------------- the design that quantities follow
def successors(state: Mapping[str, Any]) -> Iterator[str]:
    """Where a state leads if nothing fails."""
    yield from (each["Next"] for each in state.get("Choices", []))
    yield from (state[name] for name in ("Next", "Default") if name in state)


def states_until(states: Mapping[str, Any], start: str, is_end: Any) -> int:
    """How many states the shortest way has, both ends included."""
    ways = deque([(start, 1)])
    while ways:
        name, length = ways.popleft()
        if is_end(name):
            return length
        ways.extend((each, length + 1) for each in successors(states[name]))
    raise AssertionError("no way")


def ends_well(states: Mapping[str, Any]) -> Any:
    return lambda name: states[name]["Type"] == "Succeed" or states[name].get("End", False)


def test_transitions_are_those_of_the_state_machine() -> None:
    states = MACHINE["States"]
    of_arm = states["EachArm"]["ItemProcessor"]
    look = states_until(of_arm["States"], "WaitForDelivery", lambda name: name == "IsDelivered")
    arm = states_until(of_arm["States"], of_arm["StartAt"], ends_well(of_arm["States"]))
    start = 1

    assert start + states_until(states, MACHINE["StartAt"], ends_well(states)) == cost.RUN_TRANSITIONS
    assert (look, arm) == (cost.LOOK_TRANSITIONS, cost.ARM_TRANSITIONS + cost.LOOK_TRANSITIONS)


def test_the_functions_of_a_run_have_the_templates_memory() -> None:
    default = TEMPLATE["Globals"]["Function"]["MemorySize"]
    memory = {
        name.removesuffix("Function"): each["Properties"].get("MemorySize", default)
        for name, each in RESOURCES.items()
        if each["Type"] == "AWS::Serverless::Function"
    }
    called = RESOURCES["BenchmarkStateMachine"]["Properties"]["DefinitionSubstitutions"]
    of_a_run = {name.removesuffix("FunctionArn") for name in called if name.endswith("FunctionArn")}

    assert of_a_run <= set(cost.FUNCTIONS)
    assert {name: function.memory_mb for name, function in cost.FUNCTIONS.items()} == {
        name: memory[name] for name in cost.FUNCTIONS
    }


def test_the_alarms_watch_as_many_metrics_as_are_assumed_and_the_dashboard_is_at_home() -> None:
    alarms = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    # An expression watches the metrics that it names; a query of CloudWatch's counts as one, which is the least.
    metrics = [max(1, sum("MetricStat" in query for query in alarm.get("Metrics", []))) for alarm in alarms]
    dashboards = [each["Condition"] for each in RESOURCES.values() if each["Type"] == "AWS::CloudWatch::Dashboard"]

    assert sum(metrics) == Assumptions().alarm_metrics
    assert dashboards == ["IsHome"] * int(Assumptions().dashboards)


def test_a_record_is_as_long_as_a_line_of_a_probe() -> None:
    line = PROBE_FORMAT.format(
        FlowRecord(
            {
                "version": 5,
                "account-id": "0" * 12,
                "interface-id": "eni-0123456789abcdef0",
                "srcaddr": "10.99.0.10",
                "dstaddr": "10.99.0.20",
                "srcport": 41_840,
                "dstport": 7_777,
                "protocol": 6,
                "packets": 1,
                "bytes": 540,
                "start": 1_646_334_040,
                "end": 1_646_334_099,
                "action": "ACCEPT",
                "tcp-flags": 2,
                "flow-direction": "egress",
                "instance-id": "i-0123456789abcdef0",
                "pkt-srcaddr": "10.99.0.10",
                "pkt-dstaddr": "10.99.0.20",
                "az-id": "use1-az1",
                "log-status": "OK",
            }
        )
    )
    assert Assumptions().record_bytes == pytest.approx(len(line), rel=0.05)


# ---------------------------------------------------------------- a campaign
@given(CAMPAIGNS)
def test_a_campaign_is_its_runs_and_what_stands_besides(campaign: Campaign) -> None:
    parts = [each.runs * total_usd(each.run) + total_usd(each.standing) for each in campaign.regions]
    assert [each.usd for each in campaign.regions] == pytest.approx(parts)
    assert campaign.usd == pytest.approx(sum(parts))
    assert 0 <= campaign.idle_share <= 1
    for each in campaign.regions:
        assert all(item.quantity >= 0 for item in (*each.run, *each.machines, *each.standing))
        assert each.runs == campaign.runs_per_day * campaign.days


@given(REQUESTS, KNOWN, STACKS)
def test_a_run_is_split_into_what_it_uses_and_its_machines(request: RunRequest, region: str, stack: Stack) -> None:
    (each,) = estimate_campaign(request, [region], runs_per_day=1, days=1, stack=stack).regions
    assert {*each.run, *each.machines} == {*estimate_run(request, region, stack)}
    assert not any(item.is_machine for item in each.run)
    assert each.run_with_machines_usd == pytest.approx(total_usd(estimate_run(request, region, stack)))


@given(CAMPAIGNS)
def test_machines_stand_by_day_and_night_and_are_used_for_a_part_of_it(campaign: Campaign) -> None:
    for each in campaign.regions:
        standing = quantities(each.standing)
        for item in each.machines:
            used = item.quantity * each.runs
            assert used == pytest.approx(standing[item.name] * (1 - campaign.idle_share))


def test_each_sender_has_its_runs_and_a_run_has_one_sender() -> None:
    one, two = (
        estimate_campaign(DEFAULT, ["us-east-1"], runs_per_day=2, days=3, stack=Stack(senders=senders)).regions[0]
        for senders in (("t3.micro",), ("t3.micro", "t2.micro"))
    )
    assert (one.runs, two.runs) == (6, 12)
    assert one.machines == two.machines
    assert quantities(two.standing)["sender t2.micro"] == 72
    assert quantities(two.standing)["public IPv4 addresses"] == 3 * 72


@given(REQUESTS, st.integers(1, 60))
def test_without_runs_only_what_stands_is_paid(request: RunRequest, days: int) -> None:
    idle = estimate_campaign(request, ["us-east-1"], runs_per_day=0, days=days)
    busy = estimate_campaign(request, ["us-east-1"], runs_per_day=1, days=days)
    assert idle.usd == pytest.approx(total_usd(idle.regions[0].standing))
    assert idle.idle_share == 1
    assert busy.regions[0].standing == idle.regions[0].standing
    assert busy.usd - idle.usd == pytest.approx(days * busy.regions[0].run_usd)


@given(REQUESTS, st.integers(1, 60), st.permutations(prices.REGIONS))
def test_more_days_and_more_regions_cost_more(request: RunRequest, days: int, regions: list[str]) -> None:
    def usd(number: int, days: int) -> float:
        return estimate_campaign(request, regions[:number], runs_per_day=1, days=days).usd

    costs = [usd(number, days) for number in (1, 2, 3)]
    assert costs[0] < costs[1] < costs[2]
    assert usd(1, days + 1) > costs[0]


def test_results_travel_home_and_queries_are_asked_there() -> None:
    home, satellite = estimate_campaign(DEFAULT, ["eu-west-1", "us-east-1"], runs_per_day=1, days=1).regions
    travels = "results and report between regions"
    assert (quantities(home.run)[travels], quantities(satellite.standing)["queries"]) == (0, 0)
    assert (quantities(satellite.standing)["dashboard"], quantities(home.standing)["dashboard"] > 0) == (0, True)
    assert quantities(satellite.run)[travels] > 0
    assert quantities(home.standing)["queries"] > 0


@pytest.mark.parametrize(
    ("regions", "runs_per_day", "days", "sentence"),
    [
        ([], 1, 1, "one region or more"),
        (["us-east-1", "us-east-1"], 1, 1, "none twice"),
        (["us-east-1"], -1, 1, "0 runs a day or more"),
        (["us-east-1"], 1, 0, "one day or more"),
        (["us-east-1"], 7, 1, "7 runs of 3.6 hours.* do not fit a day: have 6 or fewer"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused(
    regions: list[str], runs_per_day: int, days: int, sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        estimate_campaign(DEFAULT, regions, runs_per_day=runs_per_day, days=days)


def test_a_stack_has_instances_whose_price_is_known() -> None:
    with pytest.raises(InvalidRequest, match=r"'m5\.large': known are t2\.micro"):
        Stack(senders=("t3.micro", "m5.large"))


# ---------------------------------------------------------------- what table `runs` says
@pytest.fixture(scope="module")
def on_aws(plan: RunPlan) -> RunPlan:
    return replace(plan, source="aws", region="eu-west-1", instance_type="t2.micro", request=DEFAULT)


def test_a_run_on_aws_costs_what_was_estimated_for_its_sender(on_aws: RunPlan) -> None:
    stack = Stack(senders=("t2.micro",))
    assert cost_usd(on_aws) == total_usd(estimate_run(DEFAULT, "eu-west-1", stack))
    own_target = replace(on_aws, target_instance_id=None)
    assert cost_usd(own_target) == total_usd(estimate_run(DEFAULT, "eu-west-1", replace(stack, target=None)))


@pytest.mark.parametrize(
    "changed",
    [{"source": "local"}, {"source": "simulated"}, {"region": "eu-north-1"}, {"instance_type": "m5.large"}],
)
def test_a_run_without_a_price_costs_nothing_that_could_be_told(on_aws: RunPlan, changed: dict[str, str]) -> None:
    assert cost_usd(replace(on_aws, **changed)) is None  # type: ignore[arg-type]


# ---------------------------------------------------------------- prices
@pytest.mark.parametrize("product", prices.PRODUCTS)
def test_every_price_is_dated_and_says_where_it_is_from(product: str) -> None:
    for region in prices.REGIONS:
        price = prices.price(product, region)
        assert (price.product, price.region) in {(product, region), (product, "us-east-1")}
        assert price.usd > 0
        assert date.fromisoformat(price.source.as_of) <= date.fromisoformat(prices.COLLECTED_ON)
        assert price.source.is_verified == (price.source.url is not None) == ("unverified" not in price.source.what)


def test_most_that_a_campaign_buys_has_a_price_in_each_region() -> None:
    borrowed = {
        product
        for product in prices.PRODUCTS
        for region in prices.REGIONS
        if prices.price(product, region).region != region
    }
    assert borrowed == {"parquet-conversion"}


def test_what_has_no_price_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no price is known of 'nat-gateway'"):
        prices.price("nat-gateway", "us-east-1")
