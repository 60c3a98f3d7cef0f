from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from botocore.stub import Stubber

from flowlag_aws import bundle, clients, commands
from flowlag_aws.commands import CommandFailed
from flowlag_aws.store import NotStored
from tests.functions.events import load
from tests.functions.run import NOON, PLAN, instant
from tests.functions.stack import BUCKET, Cloud

type Answer = dict[str, Any]

DOCUMENT = "flowlag-TrafficDocument-1"
SENDER, TARGET = PLAN.sender_instance_id, PLAN.target_instance_id
PARAMETERS = {
    "RunId": ["first-light"],
    "Bucket": [BUCKET],
    "SourceAddress": ["10.99.0.10"],
    "TargetAddress": ["10.99.0.20"],
    "TargetPort": ["7777"],
    "Rate": ["1"],
    "PayloadBytes": [str(PLAN.payload_bytes)],
    "DurationSeconds": ["3360"],  # the longest wait for a first delivery, the traffic, and ten minutes
}


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of the sender's code; here it is without scapy, which is large."""
    monkeypatch.setattr(bundle, "PACKAGES", ("flowlag", "sender"))
    return sha256(bundle.pack(bundle.PACKAGES)).hexdigest()


class SystemsManager:
    """Systems Manager, scripted: moto runs no commands."""

    def __init__(self, ssm: Stubber, code: str) -> None:
        self._ssm = ssm
        self._code = code

    def expect(self, action: str, instance: str, *answers: Answer | str) -> None:
        """Expect one command; `answers` are what its looks get: an invocation, or an error code."""
        command = {"CommandId": f"{action:0>36}"}
        asked = {
            "DocumentName": DOCUMENT,
            "InstanceIds": [instance],
            "TimeoutSeconds": 600,
            "Parameters": PARAMETERS | {"Action": [action], "BundleSha256": [self._code]},
        }
        self._ssm.add_response("send_command", {"Command": command}, asked)
        look = command | {"InstanceId": instance}
        for answer in answers:
            if isinstance(answer, str):
                self._ssm.add_client_error("get_command_invocation", answer, expected_params=look)
            else:
                self._ssm.add_response("get_command_invocation", answer, look)


@pytest.fixture
def ssm(stub: Callable[..., Stubber], code: str, monkeypatch: pytest.MonkeyPatch) -> SystemsManager:
    monkeypatch.setattr(commands, "sleep", lambda _: None)  # waiting takes no time
    return SystemsManager(stub(clients.ssm()), code)


def succeeded(output: str) -> Answer:
    return {"Status": "Success", "StandardOutputContent": f"{output}\n"}


def failed(said: str, status: str = "Failed") -> Answer:
    return {"Status": "Failed", "StatusDetails": status, "StandardErrorContent": said}


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
def test_the_instances_find_the_code_where_the_command_says(cloud: Cloud, ssm: SystemsManager, code: str) -> None:
    for _ in range(2):
        ssm.expect("start-capture", TARGET, succeeded(""))
        ssm.expect("start-sending", SENDER, succeeded(""))
        cloud.invoke("start_traffic", load("start_traffic"))
    assert sha256(cloud.store.get(f"control/bundles/{code}.zip")).hexdigest() == code
    assert "PutObject" not in [operation for operation, _ in cloud.calls]  # it was there already


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
    assert list(cloud.objects()) == []


# ---------------------------------------------------------------- stop
@pytest.mark.usefixtures("planned")
def test_the_sender_stops_before_the_capture(cloud: Cloud, ssm: SystemsManager, at: Callable[..., None]) -> None:
    at(instant(NOON + 600))
    ssm.expect("stop-sending", SENDER, succeeded("600 ticks"))
    ssm.expect("stop-capture", TARGET, succeeded("598 packets"))
    answer = cloud.invoke("stop_traffic", load("stop_traffic"))
    assert answer == {"sending": "600 ticks", "capture": "598 packets"}
    assert cloud.store.find_control(PLAN.run_id, "stop") == {"requested_at": instant(NOON + 600)}


@pytest.mark.usefixtures("planned")
def test_where_the_sender_is_gone_the_capture_stops_and_the_instant_is_kept(
    cloud: Cloud, ssm: SystemsManager, at: Callable[..., None]
) -> None:
    at(instant(NOON + 600))
    ssm.expect("stop-sending", SENDER, failed("", "Undeliverable"))
    ssm.expect("stop-capture", TARGET, succeeded("598 packets"))
    with pytest.raises(CommandFailed, match=f"stop-sending on {SENDER} ended as Undeliverable"):
        cloud.invoke("stop_traffic", load("stop_traffic"))
    assert cloud.store.find_control(PLAN.run_id, "stop") == {"requested_at": instant(NOON + 600)}


def test_where_nothing_was_planned_nothing_is_stopped(cloud: Cloud) -> None:
    assert cloud.invoke("stop_traffic", load("stop_traffic")) == {}
    assert cloud.objects() == {}


@pytest.mark.usefixtures("planned")
def test_traffic_that_has_stopped_may_be_stopped_again(cloud: Cloud, ssm: SystemsManager) -> None:
    answers = []
    for _ in range(2):
        ssm.expect("stop-sending", SENDER, succeeded("600 ticks"))
        ssm.expect("stop-capture", TARGET, succeeded("598 packets"))
        answers.append(cloud.invoke("stop_traffic", load("stop_traffic")))
    assert answers[0] == answers[1]
