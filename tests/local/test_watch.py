"""`flowlag watch` of runs made by hand: what it asks for, what it tells, what it draws, and how it ends."""

import json
import re
from datetime import timedelta

import pytest
from click.testing import CliRunner
from rich.console import Console

from flowlag.plan import NITRO, S3, Arm
from flowlag.probe import Event, ProbeFilter
from flowlag_aws import clock
from local.cli import main
from local.doctor.account import NotLooked
from local.instants import of_iso
from local.watch import PATIENCE, find, follow
from local.watch.events import events_of, told
from local.watch.outlook import Deliveries
from local.watch.reading import POLL_S, Watching
from local.watch.render import frame
from tests.local.histories import ARMS, BEGAN, begun, on_aws, on_the_embedded_aws, outcomes
from tests.local.watched import (
    AT,
    CREATED_AT,
    EXECUTION,
    MODEL,
    RUN,
    SECOND,
    STACK,
    UNREACHABLE,
    FakeAws,
    delivered,
    log_events,
    planned,
    refused,
    waiting,
)


# ---------------------------------------------------------------- the set-up
@pytest.fixture
def aws() -> FakeAws:
    """A run whose arms have their flow logs."""
    aws = FakeAws(events=begun().events)
    aws.plan(planned())
    return aws


@pytest.fixture
def watching(aws) -> Watching:
    return Watching(aws, STACK, RUN)


@pytest.fixture
def at(monkeypatch):
    """Sets the seconds since the run began."""

    def at(seconds: float) -> None:
        monkeypatch.setattr(clock, "time_ns", lambda: AT * 1_000 + round(seconds * 10**9))
        monkeypatch.setattr("local.watch.reading.time.monotonic", lambda: seconds)

    at(60)
    return at


@pytest.fixture
def slept(monkeypatch):
    """How long it has waited between looks."""
    slept = []
    monkeypatch.setattr("local.watch.time.sleep", slept.append)
    return slept


def in_traffic_window(aws: FakeAws, *, until_s: float) -> None:
    """The first arm has delivered until then, the second one once."""
    told_so_far = begun()
    told_so_far.leave("EachArm", 400, {"outcomes": [{"arm": arm, "is_up": True} for arm in ARMS]}, kind="Map")
    told_so_far.enter("TrafficWindow", 400, kind="Wait")
    aws.events = told_so_far.events
    aws.documents |= {
        f"{ARMS[0]}.first_delivery.json": delivered(91),
        f"{ARMS[1]}.first_delivery.json": delivered(391),
    }
    aws.records = log_events(until_s)


def drawn(seen, at_s: float, width: int = 80) -> list[str]:
    console = Console(width=width, legacy_windows=False, color_system=None)
    with console.capture() as capture:
        console.print(frame(seen, AT + round(at_s * SECOND)))
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def row(lines: list[str], arm: str) -> list[str]:
    """The cells of an arm's row."""
    (line,) = [line for line in lines if line.strip().startswith(f"{arm} ")]
    return re.split(r"\s{2,}", line.strip())


# ---------------------------------------------------------------- what it asks for
@pytest.mark.usefixtures("at")
def test_the_history_is_read_once_and_then_only_its_end(aws, watching):
    aws.events = on_aws()[:30] + [
        {"id": number, "type": "TaskScheduled", "timestamp": BEGAN, "previousEventId": 30}
        for number in range(31, 451)
    ]
    first = watching.look()
    assert [size for operation, size in aws.asked if operation == "GetExecutionHistory"] == [200, 200, 200]

    aws.asked.clear()
    aws.events.append(
        {"id": 451, "type": "ExecutionAborted", "timestamp": BEGAN + timedelta(seconds=70), "previousEventId": 0}
    )
    second = watching.look()

    assert [size for operation, size in aws.asked if operation == "GetExecutionHistory"] == [20]
    assert (first.history.end, second.history.end.status) == (None, "ABORTED")


@pytest.mark.usefixtures("at")
def test_an_event_that_was_not_there_yet_is_fetched_later(aws, watching):
    """What is read of a history is only eventually what is in it."""
    whole = on_the_embedded_aws()
    aws.events = [each for each in whole[:-10] if each["id"] != 3]
    watching.look()
    aws.events = whole

    assert watching.look().history.states[0].state == "PlanRun"
    assert len(watching._events) == len(whole)


@pytest.mark.usefixtures("at")
def test_what_cannot_change_is_not_asked_for_again(aws, watching):
    aws.documents |= {
        f"{ARMS[0]}.first_delivery.json": waiting(2, 40),
        f"{ARMS[1]}.first_delivery.json": delivered(50),
    }
    watching.look()
    aws.asked.clear()

    watching.look()

    assert [about for operation, about in aws.asked if operation == "GetObject"] == [
        f"{ARMS[0]}.first_delivery.json"
    ]


@pytest.mark.usefixtures("at")
def test_after_the_map_an_arm_is_read_once_more_and_never_again(aws, watching):
    """One that failed while it waited would be asked for until the end."""
    aws.documents[f"{ARMS[1]}.first_delivery.json"] = waiting(2, 40)
    aws.events = on_the_embedded_aws()[:-10]
    watching.look()
    aws.asked.clear()

    watching.look()

    assert aws.count("GetObject") == 0


@pytest.mark.usefixtures("at")
def test_before_the_arms_nothing_is_asked_of_them(aws, watching):
    aws.events = aws.events[:5]
    aws.documents.clear()

    seen = watching.look()

    assert (seen.plan, seen.arms) == (None, ())
    assert aws.count("GetObject") == 0


@pytest.mark.usefixtures("at")
def test_another_executions_plan_is_not_this_runs(aws, watching):
    aws.documents["plan.json"] |= {"execution": EXECUTION + "-again"}

    assert watching.look().plan is None


def test_a_log_group_is_read_as_often_as_bursts_can_be_told_apart_and_from_where_it_is_known(aws, watching, at):
    in_traffic_window(aws, until_s=3_000)
    for seconds in (3_000, 3_010, 3_031):
        at(seconds)
        watching.look()

    first, second = [start for operation, start in aws.asked if operation == "FilterLogEvents"]
    newest = max(each["timestamp"] for each in aws.records)
    assert first == CREATED_AT // 1_000 - 660_000
    assert abs(second - (newest - 660_000)) < 1_000


def test_looks_are_rarer_where_nothing_can_happen_soon(aws, watching, at):
    waits = [watching.look().next_look_s]
    in_traffic_window(aws, until_s=500)
    for seconds in (500, 11_100, 11_195):
        at(seconds)
        waits.append(watching.look().next_look_s)
    assert waits == [6, 15, 10, POLL_S]


def test_after_the_flow_logs_are_deleted_no_log_group_is_read(aws, watching):
    in_traffic_window(aws, until_s=3_000)
    until = next(number for number, each in enumerate(on_aws()) if "DeleteFlowLogs" in str(each)) + 1
    aws.events = on_aws()[:until]

    seen = watching.look()

    assert seen.history.is_in("DeleteFlowLogs")
    assert aws.count("FilterLogEvents") == 0


# ---------------------------------------------------------------- the outlook
def outlook_at(seconds: float):
    events = [
        Event(each["eventId"], each["message"], each["ingestionTime"] * 1_000) for each in log_events(seconds)
    ]
    deliveries = Deliveries()
    deliveries.add(ProbeFilter.of(planned(), CREATED_AT).sift(events).probes)
    return deliveries.outlook(30)


@pytest.mark.parametrize("seconds", [1_902, 2_400, 2_501, 9_000])
def test_the_next_delivery_is_due_when_the_model_delivers_it(seconds):
    seen = outlook_at(seconds)

    assert abs(seen.due_at - MODEL.burst_after(AT + seconds * SECOND)) < 2 * SECOND
    assert seen.n_bursts == (seconds - 100) // 600 + 1
    assert seen.sawtooth.period_s == pytest.approx(600, abs=0.1)


def test_too_few_bursts_tell_nothing_of_the_next_one():
    seen = outlook_at(1_500)

    assert (seen.n_bursts, seen.sawtooth, seen.due_at) == (3, None, None)


def test_where_nothing_was_delivered_there_is_no_outlook():
    assert Deliveries().outlook(30) is None


def test_what_is_read_again_counts_once():
    probes = ProbeFilter.of(planned()).sift(
        [Event(each["eventId"], each["message"], each["ingestionTime"] * 1_000) for each in log_events(3_000)]
    ).probes  # fmt: skip
    deliveries = Deliveries()
    deliveries.add(probes)
    deliveries.add(probes)

    assert deliveries.outlook(30).n_packets == len(probes)


# ---------------------------------------------------------------- what it draws
def test_an_arm_without_a_delivery_says_how_long_it_has_waited_and_what_is_usual(aws, watching, at):
    aws.documents[f"{ARMS[0]}.first_delivery.json"] = waiting(3, 190)
    del aws.documents[f"{ARMS[1]}.creation.json"]
    at(200)

    lines = drawn(watching.look(), 201, width=120)

    assert lines[0] == "Run run-1 of flowlag in eu-west-1: running for 3m 21s"
    assert row(lines, ARMS[0]) == [ARMS[0], "waited 3m 12s, 3 looks", "the first one usually within 11m 12s"]
    assert row(lines, ARMS[1]) == [ARMS[1], "creating the flow log"]


def test_the_countdown_is_of_the_fitted_sawtooth(aws, watching, at):
    in_traffic_window(aws, until_s=3_000)
    at(3_000)
    seen = watching.look()

    lines = drawn(seen, 3_000)

    assert "● TrafficWindow" in " ".join(" ".join(lines).split())
    assert "2h 16m 40s left" in "".join(lines)
    due_s = (seen.arms[0].outlook.due_at - AT) / SECOND
    assert 3_098 < due_s < 3_102
    assert row(drawn(seen, due_s - 192), ARMS[0])[1:] == ["after 1m 31s", "2,523", "5", "due in 3m 12s"]
    assert row(drawn(seen, due_s + 10), ARMS[0])[-1] == "due now"
    assert row(drawn(seen, due_s + 90), ARMS[0])[-1] == "was due 1m 30s ago"
    assert row(lines, ARMS[1]) == [ARMS[1], "after 6m 31s"]


def test_before_it_can_tell_it_says_what_it_needs(aws, watching, at):
    in_traffic_window(aws, until_s=900)
    at(900)

    assert row(drawn(watching.look(), 900), ARMS[0])[-1] == "needs 4 bursts"


def test_when_the_end_of_the_window_was_delivered_nothing_is_due(aws, watching, at):
    in_traffic_window(aws, until_s=3_000)
    window = begun()
    window.leave("EachArm", 400, {"outcomes": []}, kind="Map")
    window.wait("TrafficWindow", 400, 2_480)
    window.enter("StopTraffic", 2_480)
    aws.events = window.events
    at(2_490)
    aws.records = log_events(2_490)
    before = drawn(watching.look(), 2_490)
    at(2_600)
    aws.records = log_events(2_600)

    after = drawn(watching.look(), 2_600)

    assert row(before, ARMS[0])[-1] == "due in 10s"
    assert row(after, ARMS[0])[-1] == "window delivered"


def test_what_cannot_be_read_is_said_and_read_again(aws, watching, at):
    in_traffic_window(aws, until_s=3_000)
    aws.trouble["FilterLogEvents"] = [refused("FilterLogEvents", "ThrottlingException")]
    at(3_000)
    seen = watching.look()
    why = "AWS refused FilterLogEvents (ThrottlingException)"
    lines = drawn(seen, 3_000)
    assert row(lines, ARMS[0])[-1] == "cannot be read"
    assert lines[-1] == f"{ARMS[0]}: {why}"
    assert f"{ARMS[0]}: its deliveries cannot be read: {why}" in [told(each)[22:] for each in events_of(seen)]

    at(3_040)
    seen = watching.look()
    assert (seen.arms[0].unread, seen.arms[0].outlook.n_bursts) == (None, 5)


@pytest.mark.usefixtures("at")
def test_elsewhere_than_on_aws_nothing_is_usual(aws, watching):
    aws.plan(planned(source="local"))
    aws.documents[f"{ARMS[0]}.first_delivery.json"] = waiting(1, 40)

    lines = drawn(watching.look(), 60)

    assert lines[1] == "Not AWS: these times are this machine's, and its flow logs may be faster."
    assert row(lines, ARMS[0]) == [ARMS[0], "waited 51s, 1 look"]


@pytest.mark.parametrize(
    ("arm", "on", "is_measured"),
    [
        (Arm(), "xen", True),
        (Arm(), NITRO, False),
        (Arm(aggregation_interval_s=60), "xen", False),
        (Arm(destination=S3), "xen", False),
    ],
)
@pytest.mark.usefixtures("at")
def test_only_what_was_measured_is_called_usual(aws, watching, arm, on, is_measured):
    aws.plan(planned(arm))
    aws.documents["plan.json"]["hypervisor"] = on

    (seen,) = watching.look().arms

    assert seen.usual.is_measured == is_measured


@pytest.mark.usefixtures("at")
def test_the_picture_fits_a_narrow_terminal(aws, watching):
    arms = tuple(
        Arm(destination=S3, file_format="parquet", hive_compatible=True, per_hour=hour) for hour in (True, False)
    )
    aws.plan(planned(Arm(), *arms))
    aws.documents[f"{arms[0].name}.first_delivery.json"] = waiting(12, 40)

    assert max(len(line) for line in drawn(watching.look(), 4_000)) <= 80


@pytest.mark.usefixtures("at")
def test_a_failed_arm_an_expired_one_and_a_failed_attempt_are_seen(aws, watching):
    told_so_far = begun()
    told_so_far.leave("EachArm", 40, outcomes(), kind="Map")
    told_so_far.enter("StopTraffic", 41)
    told_so_far.fail(42, "Lambda.SdkClientException", "no answer")
    told_so_far.attempt(44)
    aws.events = told_so_far.events
    aws.documents[f"{ARMS[0]}.first_delivery.json"] = waiting(9, 40) | {"status": "expired"}

    seen = watching.look()
    lines = drawn(seen, 60, width=120)

    assert row(lines, ARMS[0])[1] == "none within 31s"
    assert row(lines, ARMS[1])[1] == "failed: AccessDenied: no role"
    assert any("1 attempt failed: Lambda.SdkClientException: no answer" in line for line in lines)
    lines = [told(each)[22:] for each in events_of(seen)]
    assert f"{ARMS[0]}: no first delivery within 31s" in lines
    assert f"{ARMS[1]}: failed: AccessDenied: no role" in lines
    assert "StopTraffic: an attempt failed: Lambda.SdkClientException: no answer" in lines


# ---------------------------------------------------------------- the command
@pytest.fixture
def command(watching, monkeypatch):
    """Calls the command, which finds the run of `aws` and loses no time."""
    monkeypatch.setattr("local.watch.find", lambda *_: watching)
    monkeypatch.setattr("local.watch.time.sleep", lambda _: None)
    return lambda *arguments: CliRunner().invoke(main, ["watch", *arguments])


def test_a_run_is_told_from_its_first_state_to_its_verdict(aws, command, at):
    aws.events = on_aws()
    aws.documents |= {f"{ARMS[0]}.first_delivery.json": delivered(370)}
    at(13_000)

    result = command("--json")

    assert (result.exit_code, result.stderr) == (0, "")
    *events, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["state"] for each in events if each["event"] == "left"][:4] == [
        "PlanRun",
        "StartTraffic",
        "EachArm",
        "TrafficWindow",
    ]
    assert [each["at"] for each in events] == sorted((each["at"] for each in events), key=of_iso)
    (first,) = [each for each in events if each["event"] == "first_delivery"]
    assert (first["arm"], first["seconds"], first["polls"]) == (ARMS[0], 370, 7)
    assert last == {
        "event": "summary",
        "at": "2026-11-23T13:31:56Z",
        "run_id": "run-1",
        "source": "aws",
        "execution_status": "SUCCEEDED",
        "failure": None,
        "seconds": 12_716,
        "verdict": "partial",
        "reasons": ["arm 's3-text-600' failed"],
        "n_runs": 1,
        "arms": {
            ARMS[0]: {
                "n_packets": 10_800,
                "n_bursts": 19,
                "missing": {"never recorded": 3},
                "first_delivery_s": 370.2,
                "delay_s": {"p50": 326.4, "p95": 592.1, "max": 626.0},
            }
        },
        "page": "s3://results/report/default/index.html",
        "not_published": None,
    }


NUMBERS = "10,800 packets in 19 bursts of 1 run; p50 326.4 s, p95 592.1 s, max 626 s; 3 never recorded missing"


def test_a_pipe_gets_a_line_for_each_event_and_the_result(aws, command, at):
    aws.events = on_aws()
    at(13_000)

    lines = command().stdout.splitlines()

    assert lines[0] == "2026-11-23T10:00:00Z  run run-1 of stack flowlag in eu-west-1"
    assert "2026-11-23T13:06:40Z  TrafficWindow: done after 3h" in lines
    assert lines[-5:] == [
        "The run succeeded after 3h 31m 56s",
        "Verdict: partial; arm 's3-text-600' failed",
        f"{ARMS[0]}: {NUMBERS}",
        "These are AWS delays: AWS recorded, delivered and dated these flow records.",
        "The page is s3://results/report/default/index.html",
    ]


def test_events_are_told_once_as_they_happen(aws, command, slept, at, monkeypatch):
    """Three looks: while the first deliveries are waited for, in the traffic window, and after the end."""
    aws.documents[f"{ARMS[0]}.first_delivery.json"] = waiting(1, 40)
    looks = iter(
        [lambda: in_traffic_window(aws, until_s=3_000), lambda: setattr(aws, "events", on_the_embedded_aws())]
    )

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if seconds:
            at(3_000)
            next(looks)()

    monkeypatch.setattr("local.watch.time.sleep", sleep)

    lines = [line[22:] for line in command().stdout.splitlines()]

    assert slept == [6, 15, 0]
    assert lines.index(f"{ARMS[0]}: nothing yet after 31s (1 look)") < lines.index("EachArm: done after 6m 32s")
    (due,) = [line for line in lines if "the next delivery is due at 2026-11-23T10:51:4" in line]
    assert due.startswith(f"{ARMS[0]}: 2,523 packets in 5 bursts; ")
    assert lines.index("TrafficWindow: entered") < lines.index(due) < lines.index("TrafficWindow: done after 3h")
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    ("kind", "details", "sentence"),
    [
        ("Failed", {"error": "RunVoid", "cause": "Nothing"}, "failed after 9s: RunVoid: Nothing"),
        ("Aborted", {}, "was aborted after 9s"),
        ("TimedOut", {}, "timed out after 9s"),
    ],
)
@pytest.mark.usefixtures("at")
def test_a_run_that_did_not_succeed_is_exit_code_1(aws, command, kind, details, sentence):
    ended = begun()
    ended.add(f"Execution{kind}", 9, **{f"execution{kind}": details})
    aws.events = ended.events

    result = command()

    assert result.exit_code == 1
    assert f"The run {sentence}\nVerdict: none, as the run was never summarized\n" in result.stdout


@pytest.mark.usefixtures("at")
def test_a_void_run_tells_its_verdict(aws, command):
    ended = begun()
    ended.leave("EachArm", 9, {"outcomes": []}, kind="Map")
    ended.task("SummarizeFailedRun", 9, 10, {"source": "aws", "verdict": "void", "reasons": ["no arm"], "arms": []})
    ended.add("ExecutionFailed", 10, executionFailed={"error": "RunVoid"})
    aws.events = ended.events

    result = command("--json")

    last = json.loads(result.stdout.splitlines()[-1])
    assert (result.exit_code, last["verdict"], last["reasons"], last["arms"]) == (1, "void", ["no arm"], {})


@pytest.mark.usefixtures("at")
def test_a_page_that_was_not_published_is_told(aws, command):
    ended = begun()
    ended.leave("EachArm", 9, {"outcomes": []}, kind="Map")
    ended.enter("PublishReport", 10)
    ended.fail(11, "Unwritable", "no bucket")
    ended.leave("PublishReport", 11)
    ended.add("ExecutionSucceeded", 11, executionSucceeded={"output": "{}"})
    aws.events = ended.events

    assert command().stdout.splitlines()[-1] == "The page was not published: Unwritable: no bucket"


@pytest.mark.usefixtures("at")
def test_ctrl_c_ends_the_watching_with_one_line(command, monkeypatch):
    def interrupted(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("local.watch.time.sleep", interrupted)

    result = command()

    assert (result.exit_code, result.stderr) == (130, "flowlag: stopped watching; run run-1 goes on\n")


# ---------------------------------------------------------------- AWS does not answer
class Noted:
    """A view that keeps what it is told."""

    def __init__(self):
        self.seen, self.told = [], []
        self.show, self.tell = self.seen.append, self.told.append


@pytest.mark.usefixtures("at")
def test_a_look_that_goes_unanswered_is_told_and_made_again(aws, watching, slept):
    aws.trouble["GetExecutionHistory"] = [None, UNREACHABLE, refused("GetExecutionHistory", "ThrottlingException")]
    view = Noted()
    slept_after_two = 2
    original = aws._history

    def history(**asked):
        if len(slept) > slept_after_two:
            aws.events = on_aws()
        return original(**asked)

    aws.states._answer = history

    ended = follow(watching, view)

    assert ended["verdict"] == "partial"
    assert [each["event"] for each in view.told] == ["unanswered", "unanswered"]
    assert "Could not connect to the endpoint" in view.told[0]["why"]
    assert told(view.told[1]).endswith("AWS refused GetExecutionHistory (ThrottlingException); trying again")
    assert len(view.seen) == 2


@pytest.mark.usefixtures("at", "slept")
def test_in_the_end_it_gives_up(aws, watching):
    """Not for looks that went unanswered long ago, but for so many in a row."""
    aws.trouble["GetExecutionHistory"] = [None, *[UNREACHABLE] * (PATIENCE - 1), None, *[UNREACHABLE] * PATIENCE]
    view = Noted()

    with pytest.raises(NotLooked, match="run run-1 cannot be looked at: AWS did not answer: Could not connect"):
        follow(watching, view)

    assert len(view.told) == 2 * (PATIENCE - 1)


@pytest.mark.usefixtures("at", "slept")
def test_who_may_not_look_is_told_at_once(aws, command):
    aws.trouble["GetExecutionHistory"] = [refused("GetExecutionHistory")]

    result = command()

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "flowlag: run run-1 cannot be looked at: AWS refused GetExecutionHistory (AccessDeniedException); ask with "
        "credentials that may read: AWS's policy ReadOnlyAccess does\n"
    )


def test_without_credentials_nothing_is_looked_at(monkeypatch):
    monkeypatch.setattr("local.doctor.account.boto3.Session.get_credentials", lambda _: None)

    with pytest.raises(NotLooked, match="there are no AWS credentials"):
        find("flowlag", "eu-west-1", None)
