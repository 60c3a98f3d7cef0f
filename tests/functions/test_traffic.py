from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from botocore.stub import Stubber

from flowlag.errors import RunStopped
from flowlag_aws import clients, commands
from flowlag_aws.commands import CommandFailed
from flowlag_aws.evidence import Clocks, read_clocks
from flowlag_aws.store import NotStored
from tests.functions.events import load
from tests.functions.run import NOON, PLAN, instant
from tests.functions.stack import Cloud
from tests.functions.systems_manager import (
    DOCUMENT,
    SENDER,
    TARGET,
    Answer,
    SystemsManager,
    failed,
    reported,
    succeeded,
)


# ---------------------------------------------------------------- start
@pytest.mark.usefixtures("planned")
def test_the_capture_starts_before_the_sender(cloud: Cloud, ssm: SystemsManager, code: str) -> None:
    ssm.expect("start-capture", TARGET, succeeded("capturing"))
    ssm.expect("start-sending", SENDER, succeeded("sending"))
    assert cloud.invoke("start_traffic", load("start_traffic")) == {
        "bundle": code,
        "capture": "capturing",
        "sending": "sending",
    }


@pytest.mark.usefixtures("planned")
def test_which_code_a_run_uses_is_written_down_before_anything_is_ordered(
    cloud: Cloud, ssm: SystemsManager, code: str
) -> None:
    ssm.expect("start-capture", TARGET, failed("no tcpdump"))
    with pytest.raises(CommandFailed):
        cloud.invoke("start_traffic", load("start_traffic"))
    assert cloud.store.find_control(PLAN.run_id, "bundle") == {"sha256": code}


def test_at_a_target_of_somebodys_own_nothing_captures(cloud: Cloud, ssm: SystemsManager, code: str) -> None:
    cloud.store.put_plan(replace(PLAN, target_instance_id=None))
    ssm.expect("start-sending", SENDER, succeeded("sending"))
    answer = cloud.invoke("start_traffic", load("start_traffic"))
    assert answer == {"bundle": code, "capture": None, "sending": "sending"}


@pytest.mark.usefixtures("planned")
def test_the_instances_find_the_code_where_the_command_says(cloud: Cloud, ssm: SystemsManager, code: str) -> None:
    for _ in range(2):
        ssm.expect("start-capture", TARGET, succeeded(""))
        ssm.expect("start-sending", SENDER, succeeded(""))
        cloud.invoke("start_traffic", load("start_traffic"))
    assert sha256(cloud.store.get(f"control/bundles/{code}.zip")).hexdigest() == code
    written = [params["Key"] for operation, params in cloud.calls if operation == "PutObject"]
    assert written == [f"control/{PLAN.run_id}/bundle.json"]  # the code was there already


@pytest.mark.usefixtures("planned")
def test_a_command_is_awaited_through_every_state_it_passes(cloud: Cloud, ssm: SystemsManager) -> None:
    underway = [{"Status": status} for status in ("Pending", "Delayed", "InProgress")]
    ssm.expect("start-capture", TARGET, "InvocationDoesNotExist", *underway, succeeded("capturing"))
    ssm.expect("start-sending", SENDER, succeeded("sending"))
    assert cloud.invoke("start_traffic", load("start_traffic"))["capture"] == "capturing"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            failed("python3: a warning\nsender: there is no AWS CLI on the PATH\n"),
            f"start-sending on {SENDER} ended as Failed: sender: there is no AWS CLI on the PATH",
        ),
        (failed("", "DeliveryTimedOut"), f"start-sending on {SENDER} ended as DeliveryTimedOut: it said nothing"),
        (failed("x" * 600), f"start-sending on {SENDER} ended as Failed: {'x' * 500}"),
    ],
)
@pytest.mark.usefixtures("planned")
def test_a_command_that_fails_is_told_by_its_last_sentence(
    cloud: Cloud, ssm: SystemsManager, answer: Answer, sentence: str
) -> None:
    ssm.expect("start-capture", TARGET, succeeded(""))
    ssm.expect("start-sending", SENDER, answer)
    with pytest.raises(CommandFailed) as failure:
        cloud.invoke("start_traffic", load("start_traffic"))
    assert str(failure.value) == sentence


@pytest.mark.usefixtures("planned")
def test_no_probe_leaves_where_the_capture_did_not_start(cloud: Cloud, ssm: SystemsManager) -> None:
    ssm.expect("start-capture", TARGET, failed("no tcpdump"))
    with pytest.raises(CommandFailed, match=f"start-capture on {TARGET} ended as Failed: no tcpdump"):
        cloud.invoke("start_traffic", load("start_traffic"))


def test_a_command_that_does_not_end_is_given_up(stub: Callable[..., Stubber]) -> None:
    stub(clients.ssm()).add_response("send_command", {"Command": {"CommandId": "0" * 36}})
    with pytest.raises(CommandFailed, match=f"{DOCUMENT} on {SENDER} did not end in 0 s"):
        commands.run_command(DOCUMENT, SENDER, {}, timeout_s=0)


def test_a_run_that_nobody_planned_does_not_start(cloud: Cloud) -> None:
    with pytest.raises(NotStored, match=f"{PLAN.run_id}/plan.json does not exist"):
        cloud.invoke("start_traffic", load("start_traffic"))
    assert cloud.objects() == {}


@pytest.mark.usefixtures("planned")
def test_traffic_that_begins_after_the_end_of_its_run_is_stopped(
    cloud: Cloud, ssm: SystemsManager, at: Callable[..., None]
) -> None:
    at(instant(NOON))
    # An execution is aborted while its function works on, and whoever sweeps finds nothing ordered yet.
    assert cloud.invoke("stop_traffic", load("stop_traffic")) == {}
    ssm.expect("start-capture", TARGET, succeeded("capturing"))
    ssm.expect("start-sending", SENDER, succeeded("sending"))
    ssm.expect("stop-sending", SENDER, reported(sent=1))
    ssm.expect("stop-capture", TARGET, reported(seen=1))
    with pytest.raises(RunStopped, match=f"run '{PLAN.run_id}' was stopped while its traffic was being started"):
        cloud.invoke("start_traffic", load("start_traffic"))
    assert cloud.store.find_control(PLAN.run_id, "traffic") == {"sending": {"sent": 1}, "capture": {"seen": 1}}


# ---------------------------------------------------------------- stop
SENT = {"sent": 600, "missed": 0, "clock_offset_s": 0.0012}
SEEN = {"seen": 598, "clock_offset_s": -0.0003}


@pytest.fixture
def under_way(cloud: Cloud, planned: object, code: str, at: Callable[..., None]) -> Cloud:
    """The run, its traffic under way, ten minutes after it was planned."""
    assert planned
    cloud.store.put_control(PLAN.run_id, "bundle", {"sha256": code})
    at(instant(NOON + 600))
    return cloud


def kept(cloud: Cloud) -> Mapping[str, Any]:
    """What is known about the end of the traffic."""
    return {name: cloud.store.find_control(PLAN.run_id, name) for name in ("stop", "traffic")}


def test_the_sender_stops_before_the_capture_and_what_both_say_is_kept(
    under_way: Cloud, ssm: SystemsManager
) -> None:
    ssm.expect("stop-sending", SENDER, reported(**SENT))
    ssm.expect("stop-capture", TARGET, reported(**SEEN))
    answer = under_way.invoke("stop_traffic", load("stop_traffic"))
    assert answer == {"sending": SENT, "capture": SEEN}
    assert kept(under_way) == {"stop": {"requested_at": instant(NOON + 600)}, "traffic": answer}
    assert read_clocks(under_way.store, PLAN) == Clocks(sender_s=0.0012, target_s=-0.0003)


def test_where_the_sender_is_gone_the_capture_stops_and_the_instant_is_kept(
    under_way: Cloud, ssm: SystemsManager
) -> None:
    ssm.expect("stop-sending", SENDER, failed("", "Undeliverable"))
    ssm.expect("stop-capture", TARGET, reported(**SEEN))
    with pytest.raises(CommandFailed, match=f"stop-sending on {SENDER} ended as Undeliverable"):
        under_way.invoke("stop_traffic", load("stop_traffic"))
    # Without `traffic` whoever sweeps tries again.
    assert kept(under_way) == {"stop": {"requested_at": instant(NOON + 600)}, "traffic": None}


def test_where_nothing_was_planned_nothing_is_stopped(cloud: Cloud) -> None:
    assert cloud.invoke("stop_traffic", load("stop_traffic")) == {}
    assert cloud.objects() == {}


@pytest.mark.usefixtures("planned")
def test_where_nothing_was_ordered_no_instance_is_asked(cloud: Cloud, at: Callable[..., None]) -> None:
    at(instant(NOON + 600))
    assert cloud.invoke("stop_traffic", load("stop_traffic")) == {}
    assert kept(cloud) == {"stop": {"requested_at": instant(NOON + 600)}, "traffic": {}}
    assert "SendCommand" not in [operation for operation, _ in cloud.calls]


def test_at_a_target_of_somebodys_own_only_the_sender_stops(under_way: Cloud, ssm: SystemsManager) -> None:
    own = replace(PLAN, target_instance_id=None)
    under_way.store.put_control(PLAN.run_id, "plan", own.to_json())
    ssm.expect("stop-sending", SENDER, reported(**SENT))
    assert under_way.invoke("stop_traffic", load("stop_traffic")) == {"sending": SENT}
    assert read_clocks(under_way.store, own) == Clocks(sender_s=0.0012, target_s=None)


def test_traffic_that_has_stopped_may_be_stopped_again_and_ended_when_it_was_first_asked_to(
    under_way: Cloud, ssm: SystemsManager, at: Callable[..., None]
) -> None:
    answers = []
    for second in (600, 700):
        at(instant(NOON + second))
        ssm.expect("stop-sending", SENDER, reported(**SENT))
        ssm.expect("stop-capture", TARGET, reported(**SEEN))
        answers.append(under_way.invoke("stop_traffic", load("stop_traffic")))
    assert answers[0] == answers[1]
    assert kept(under_way)["stop"] == {"requested_at": instant(NOON + 600)}


@pytest.mark.parametrize(
    "said", [{}, {"sending": {"sent": 3}}, {"sending": {"clock_offset_s": None}, "capture": {}}]
)
def test_a_clock_that_nobody_could_ask_is_unknown(cloud: Cloud, said: Answer) -> None:
    assert read_clocks(cloud.store, PLAN) == Clocks(None, None)
    cloud.store.put_control(PLAN.run_id, "traffic", said)
    assert read_clocks(cloud.store, PLAN) == Clocks(None, None)
