"""What tells people how the runs go: alarms and the dashboard."""

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from itertools import combinations
from typing import Any
from unittest.mock import Mock

import pytest

from flowlag.distribution import Distribution
from flowlag.reconcile import NOT_RECORDED, Counts
from flowlag.summary import ArmSummary, RunSummary
from flowlag.verdict import COMPLETE, Verdict
from flowlag_aws import clients, metrics
from flowlag_aws.log_groups import create_subscribed_group
from tests.functions.template import Template
from tests.template.parsed import FUNCTIONS, MACHINE, MACHINE_ID, PARAMETERS, RESOURCES, ROOT, of_type, walk

ALARMS = of_type("AWS::CloudWatch::Alarm")
((DASHBOARD_ID, DASHBOARD),) = of_type("AWS::CloudWatch::Dashboard").items()
STACK = "flowlag"
HOUR, DAY = 3_600, 86_400

each_alarm = pytest.mark.parametrize("alarm", ALARMS)


# ---------------------------------------------------------------- what there is to be watched
type Metric = tuple[str, str, frozenset[str]]
"""Namespace, name and the names of the dimensions."""


def published() -> set[Metric]:
    """The metrics of a run, as the embedded metric format has them."""
    counts = Counts(
        ledger_ticks=2,
        observed=1,
        missing={NOT_RECORDED: 1},
        before_first_record=0,
        duplicates=0,
        not_in_ledger=0,
        stale=0,
        foreign=0,
        nodata=0,
        skipdata=0,
        unparsable=0,
    )
    arm = ArmSummary(
        arm="cloudwatch-600",
        counts=counts,
        n_bursts=1,
        burst_period_s=None,
        capture_windows=1,
        first_delivery_s=400.0,
        delay_s=Distribution.of([300.0]),
        ingest_delay_s=None,
        timestamp_error_s=None,
    )
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(StringIO()) as log:
        patched.setenv("POWERTOOLS_SERVICE_NAME", STACK)
        metrics.publish(RunSummary.of("run-1", "local", Verdict(COMPLETE, ()), [arm]))
    directives = [
        each for line in log.getvalue().splitlines() for each in json.loads(line)["_aws"]["CloudWatchMetrics"]
    ]
    return {
        (each["Namespace"], metric["Name"], frozenset(dimensions))
        for each in directives
        for dimensions in each["Dimensions"]
        for metric in each["Metrics"]
    }


OURS = published()
OF_AWS: dict[str, tuple[frozenset[str], set[str]]] = {
    "AWS/States": (
        frozenset({"StateMachineArn"}),
        {"ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"},
    ),
    "AWS/SQS": (frozenset({"QueueName"}), {"ApproximateNumberOfMessagesVisible"}),
    "AWS/Lambda": (frozenset({"FunctionName"}), {"Errors", "Throttles", "Duration"}),
    "AWS/Logs": (
        frozenset({"LogGroupName", "DestinationType", "FilterName"}),
        {"DeliveryErrors", "DeliveryThrottling"},
    ),
}
"""What AWS's services publish (their pages on CloudWatch metrics, read 2026-11)."""
KNOWN = OURS | {(space, name, dimensions) for space, (dimensions, names) in OF_AWS.items() for name in names}


def watched(alarm: dict[str, Any]) -> set[Metric]:
    """The metrics of an alarm."""
    stated = (
        [alarm]
        if "MetricName" in alarm
        else [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    )
    found = {
        (each["Namespace"], each["MetricName"], frozenset(dimension["Name"] for dimension in each["Dimensions"]))
        for each in stated
    }
    for each in alarm.get("Metrics", []):
        query = re.search(r'SELECT \w+\((\w+)\) FROM SCHEMA\("(.+?)", (.+?)\)', each.get("Expression", ""))
        if query:
            found.add((query[2], query[1], frozenset(query[3].split(", "))))
    return found


# ---------------------------------------------------------------- alarms
@each_alarm
def test_an_alarm_watches_what_is_published(alarm: str) -> None:
    found = watched(ALARMS[alarm])
    assert found
    assert found <= KNOWN


def test_there_is_an_alarm_for_each_thing_that_goes_wrong() -> None:
    of_run = {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"}
    assert {name for _, name, _ in watched(ALARMS["RunFailedAlarm"])} == of_run
    assert {name for _, name, _ in watched(ALARMS["NoCompleteRunAlarm"])} == {metrics.VERDICTS[COMPLETE]}
    assert {name for _, name, _ in watched(ALARMS["SubscriptionErrorsAlarm"])} == {"DeliveryErrors"}
    of_resources = {
        dimension["Value"].get("Ref") or dimension["Value"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        for dimensions in walk(alarm)
        if isinstance(dimensions, list)
        for dimension in dimensions
        if isinstance(dimension, dict) and isinstance(dimension.get("Value"), dict)
    }
    queues = of_type("AWS::SQS::Queue").keys()
    assert of_resources == {MACHINE_ID, "SweepFunction", "PublishReportFunction", "AWS::StackName", *queues}


@each_alarm
def test_missing_data_mean_what_they_mean(alarm: str) -> None:
    """Nothing is bad news for who waits for something; for who fears something it is none.

    SQS falls silent about a queue that nobody has touched for six hours, although it may be full.
    """
    properties = ALARMS[alarm]
    waits = properties["ComparisonOperator"].startswith("LessThan")
    is_queue = properties.get("Namespace") == "AWS/SQS"
    assert properties["TreatMissingData"] == ("breaching" if waits else "ignore" if is_queue else "notBreaching")


@each_alarm
def test_an_alarm_looks_no_further_back_than_cloudwatch_does(alarm: str) -> None:
    """Seven days; one for periods below an hour; three hours for a query (PutMetricAlarm, read 2026-11)."""
    properties = ALARMS[alarm]
    periods = [each["Period"] for each in walk(properties) if isinstance(each, dict) and "Period" in each]
    evaluated = properties["EvaluationPeriods"]
    if isinstance(evaluated, dict):
        evaluated = PARAMETERS[evaluated["Ref"]]["MaxValue"]
    is_query = any("SELECT" in each.get("Expression", "") for each in properties.get("Metrics", []))
    (period,) = set(periods)
    assert period % 60 == 0
    assert period * evaluated <= (3 * HOUR if is_query else DAY if period < HOUR else 7 * DAY)


@each_alarm
def test_an_alarm_tells_somebody_only_if_somebody_wants_to_know(alarm: str) -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:alarms"
    properties = {key: ALARMS[alarm][key] for key in ("AlarmActions", "AlarmName", "AlarmDescription")}
    assert "AlarmActions" not in Template().resolve(properties)
    told = Template(AlarmTopicArn=topic).resolve(properties)
    assert told["AlarmActions"] == [topic]
    assert told["AlarmName"].startswith(f"{STACK}-")


def test_only_a_schedule_makes_people_wait_for_runs() -> None:
    assert {name: RESOURCES[name].get("Condition") for name in ALARMS if "Condition" in RESOURCES[name]} == {
        "NoCompleteRunAlarm": "IsScheduled"
    }
    # The stack's own runs, whatever other stacks there are in the region.
    assert ALARMS["NoCompleteRunAlarm"]["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
    assert Template().environment("SummarizeRunFunction")["POWERTOOLS_SERVICE_NAME"] == STACK


def test_the_query_finds_our_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Mock()
    logs.exceptions.ResourceAlreadyExistsException = ValueError
    monkeypatch.setattr(clients, "logs", lambda: logs)
    create_subscribed_group("/flowlag/flowlag/run-1/cloudwatch-600", "run-1", "arn")
    name = logs.put_subscription_filter.call_args.kwargs["filterName"]
    (query,) = ALARMS["SubscriptionErrorsAlarm"]["Metrics"]
    assert query["Expression"].endswith(f"WHERE FilterName = '{name}'")
    assert f'FilterName="{name}"' in DASHBOARD["DashboardBody"]["Fn::Sub"][0].replace('\\"', '"')


def test_every_alarm_is_in_the_manual() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    names = [Template().resolve(each["AlarmName"]) for each in ALARMS.values()]
    assert [name for name in names if f"| `{name}` |" not in manual] == []


# ---------------------------------------------------------------- the dashboard
def body(regions: str = "") -> dict[str, Any]:
    """The dashboard of a home stack in eu-west-1."""
    text, names = DASHBOARD["DashboardBody"]["Fn::Sub"]
    ((between, split),) = [names["RegionValues"]["Fn::Join"]]
    separator, shown = split["Fn::Split"]
    values = {
        "AWS::StackName": STACK,
        "AWS::Region": "eu-west-1",
        "RegionValues": between.join(Template(ResultRegions=regions).resolve(shown).split(separator)),
    }
    found: dict[str, Any] = json.loads(re.sub(r"\$\{(.+?)\}", lambda name: values[name[1]], text))
    return found


WIDGETS = [each for each in body()["widgets"] if each["type"] == "metric"]
SEARCH = re.compile(r"SEARCH\('\{(?P<schema>[^}]+)\} MetricName=\"(?P<name>\w+)\" (?P<terms>.+?)', '\w+', \d+\)")


def drawn(widget: dict[str, Any]) -> set[Metric]:
    """The metrics of a widget."""
    found: set[Metric] = set()
    for entry in widget["properties"]["metrics"]:
        if isinstance(entry[0], str):
            space, name, *dimensions = [each for each in entry if isinstance(each, str)]
            found.add((space, name, frozenset(dimensions[::2])))
        else:
            searches = list(SEARCH.finditer(entry[0]["expression"]))
            assert searches, entry
            for each in searches:
                space, *names = each["schema"].split(",")
                found.add((space, each["name"], frozenset(names)))
    return found


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget["properties"]["title"])
def test_a_widget_shows_what_is_published(widget: dict[str, Any]) -> None:
    assert drawn(widget)
    assert drawn(widget) <= KNOWN


def test_the_first_row_is_the_answer() -> None:
    first = [name for widget in WIDGETS if widget["y"] == 0 for _, name, _ in drawn(widget)]
    assert sorted(first) == sorted(["DelayP50", "DelayP95", *metrics.VERDICTS.values(), "FirstDelivery"])


def test_everything_that_a_run_publishes_is_shown_somewhere() -> None:
    assert {each for widget in WIDGETS for each in drawn(widget)} >= OURS


def test_widgets_lie_side_by_side() -> None:
    places = [
        {
            (x, y)
            for x in range(each["x"], each["x"] + each["width"])
            for y in range(each["y"], each["y"] + each["height"])
        }
        for each in body()["widgets"]
    ]
    assert all(x < 24 for place in places for x, _ in place)
    assert not any(one & other for one, other in combinations(places, 2))


def test_what_is_searched_is_the_stacks_own() -> None:
    for widget in WIDGETS:
        for search in SEARCH.finditer(json.dumps(widget["properties"]["metrics"]).replace('\\"', '"')):
            space = search["schema"].partition(",")[0]
            own = {
                "flowlag": f'service="{STACK}"',
                "AWS/States": f"StateMachineArn={MACHINE['Name']['Fn::Sub'].replace('${AWS::StackName}', STACK)}",
                "AWS/SQS": f"QueueName={STACK}",
                "AWS/Lambda": f"FunctionName={STACK}",
                "AWS/Logs": 'FilterName="flowlag"',
            }
            assert search["terms"] == own[space]
            assert len(search[0]) <= 1_024  # a search's longest


@pytest.mark.parametrize(
    ("regions", "shown"), [("", ["eu-west-1"]), ("eu-west-1,us-east-1", ["eu-west-1", "us-east-1"])]
)
def test_it_shows_each_region_in_turn(regions: str, shown: list[str]) -> None:
    dashboard = body(regions)
    (variable,) = dashboard["variables"]
    assert (variable["type"], variable["property"], variable["defaultValue"]) == ("property", "region", "eu-west-1")
    assert [each["value"] for each in variable["values"]] == shown
    assert {each["properties"]["region"] for each in WIDGETS} == {"eu-west-1"}


def test_functions_have_the_names_by_which_they_are_searched() -> None:
    # CloudFormation begins a name that it draws with the stack's.
    assert not any("FunctionName" in each for each in FUNCTIONS.values())
    assert not any("QueueName" in each for each in of_type("AWS::SQS::Queue").values())
    assert RESOURCES[DASHBOARD_ID]["Condition"] == "IsHome"  # dashboards are global: one name, one dashboard
