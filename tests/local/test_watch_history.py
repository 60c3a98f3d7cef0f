"""What is made of an execution's history, in AWS's shape and in that of the embedded AWS."""

import json
import random

import pytest

from flowlag_aws.clock import micros
from local.watch.history import CUT_OFF, DONE, FAILED, RUNNING, History
from tests.local.histories import ARMS, BEGAN, SUMMARY, begun, on_aws, on_the_embedded_aws

STATES = [
    "PlanRun", "StartTraffic", "EachArm", "TrafficWindow", "StopTraffic", "Drain", "DeleteFlowLogs", "ReconcileRun",
    "SummarizeRun", "PublishReport",
]  # fmt: skip


def seconds(at):
    return (at - micros(BEGAN)) / 1_000_000


@pytest.mark.parametrize("events", [on_aws(), on_the_embedded_aws()], ids=["AWS", "the embedded AWS"])
def test_both_clouds_tell_the_same_states_with_the_same_times(events):
    history = History.of(events)

    assert [each.state for each in history.states] == STATES
    assert {each.ending for each in history.states} == {DONE}
    took = {each.state: each.seconds(each.left_at) for each in history.states}
    assert (took["EachArm"], took["TrafficWindow"], took["Drain"]) == (392, 10_800, 1_500)
    assert (history.end.status, history.end.failure, seconds(history.end.at)) == ("SUCCEEDED", "", 12_716)
    assert history.answer("SummarizeRun", "SummarizeFailedRun") == SUMMARY
    assert history.answer("PublishReport")["page"] == "s3://results/report/default/index.html"
    assert {arm: each.why for arm, each in history.failed_arms.items()} == {ARMS[1]: "AccessDenied: no role"}


def test_events_may_come_in_any_order():
    events = on_aws()
    shuffled = random.Random(1).sample(events, len(events))

    assert History.of(shuffled) == History.of(events)


def test_aws_tells_the_states_of_each_arm():
    visits = History.of(on_aws()).visits
    of_items = [[(each.state, each.ending) for each in visits if each.item == item] for item in (0, 1)]

    assert of_items == [
        [
            ("CreateFlowLog", DONE),
            ("WaitForDelivery", DONE),
            ("CheckFirstDelivery", DONE),
            ("WaitForDelivery", DONE),
            ("CheckFirstDelivery", DONE),
            ("ArmIsUp", DONE),
        ],
        [("CreateFlowLog", FAILED), ("ArmFailed", DONE)],
    ]


def test_an_item_that_waited_for_another_one_is_not_taken_for_it():
    """On AWS its first event is chained to the last state of the item before it."""
    told = begun()
    told.add("MapStateStarted", 8, mapStateStarted={"length": 2})
    for item in (0, 1):
        before = told.events[-1]["id"]
        details = {"name": "EachArm", "index": item}
        told.add("MapIterationStarted", 9, item=item, chained_to=before, mapIterationStarted=details)
        told.task("CreateFlowLog", 9, 10, item=item)

    visits = History.of(told.events).visits

    assert [each.item for each in visits if each.state == "CreateFlowLog"] == [0, 1]


def test_where_items_are_told_a_failed_arm_is_known_at_once():
    history = History.of(on_aws(until="arm failed"))

    assert history.is_in("EachArm")
    (failure,) = history.failed_arms.values()
    assert (seconds(failure.at), failure.why) == (11, "AccessDenied: no role")


def test_a_task_of_an_untold_item_is_not_the_maps():
    told = begun(is_linked=False)
    told.fail(9, "AccessDenied", "no role")

    each_arm = History.of(told.events).visit("EachArm")

    assert (each_arm.ending, each_arm.failures, each_arm.left_at) == (RUNNING, (), None)
    assert each_arm.seconds(each_arm.entered_at + 5_000_000) == 5
    assert each_arm.seconds(each_arm.entered_at - 1) == 0


def test_an_attempt_that_failed_is_kept_and_the_next_one_may_succeed():
    told = begun()
    told.leave("EachArm", 9, {"outcomes": []}, kind="Map")
    told.enter("StopTraffic", 10)
    told.fail(11, "Lambda.TooManyRequestsException", "slow down")
    told.attempt(13)
    trying = History.of(told.events).visit("StopTraffic")
    told.succeed("StopTraffic", 14)
    done = History.of(told.events).visit("StopTraffic")

    assert (trying.ending, done.ending) == (RUNNING, DONE)
    assert [each.why for each in done.failures] == ["Lambda.TooManyRequestsException: slow down"]


def test_a_step_whose_failure_is_caught_has_failed_and_the_run_goes_on():
    told = begun()
    told.leave("EachArm", 9, {"outcomes": []}, kind="Map")
    told.enter("StopTraffic", 10)
    told.fail(11, "RunStopped", "no sender")
    told.leave("StopTraffic", 11, {"failure": {}})
    told.task("StopTrafficAfterFailure", 11, 12)
    told.task("SummarizeFailedRun", 12, 13, {"verdict": "void", "arms": []})
    told.add("ExecutionFailed", 13, executionFailed={"error": "RunStopped", "cause": json.dumps("no sender")})

    history = History.of(told.events)

    endings = [(each.state, each.ending) for each in history.states[-3:]]
    assert endings == [("StopTraffic", FAILED), ("StopTrafficAfterFailure", DONE), ("SummarizeFailedRun", DONE)]
    assert history.answer("SummarizeRun", "SummarizeFailedRun")["verdict"] == "void"


@pytest.mark.parametrize(
    ("kind", "details", "status", "failure"),
    [
        ("ExecutionAborted", {"executionAborted": {"error": "", "cause": ""}}, "ABORTED", ""),
        ("ExecutionAborted", {"executionAborted": {}}, "ABORTED", ""),
        ("ExecutionTimedOut", {"executionTimedOut": {}}, "TIMED_OUT", ""),
        (
            "ExecutionFailed",
            {"executionFailed": {"error": "States.Runtime", "cause": "too large"}},
            "FAILED",
            "States.Runtime: too large",
        ),
    ],
)
def test_what_was_not_over_when_the_run_ended_was_cut_off(kind, details, status, failure):
    told = begun()
    told.add(kind, 20, **details)

    history = History.of(told.events)

    assert (history.end.status, history.end.failure) == (status, failure)
    each_arm = history.visit("EachArm")
    assert (each_arm.ending, seconds(each_arm.left_at)) == (CUT_OFF, 20)
    assert not history.is_in("EachArm")
    assert history.answer("SummarizeRun") == {}
