"""Every call is refused several times, as AWS refuses those of an account that asks too often: nobody gives up."""

import json
import re
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import endpoint
from botocore.awsrequest import AWSPreparedRequest
from moto.core.botocore_stubber import BotocoreStubber

from flowlag.plan import Arm, RunRequest
from flowlag_aws import clients
from tests.faults.virtual import VirtualRun
from tests.functions.run import NOON
from tests.functions.template import document

pytestmark = pytest.mark.slow

REFUSED = 5
ARMS = (Arm(), Arm(destination="s3"))
REFUSALS = {
    b"ec2": (503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"),
    b"logs": (400, json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})),
    b"s3": (503, "<Error><Code>SlowDown</Code></Error>"),
}


@pytest.fixture
def refused(take_place: Callable[..., VirtualRun], monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How many attempts were refused, by service. Waiting takes no time."""
    assert take_place  # what is made before it is not refused
    monkeypatch.setattr(endpoint, "time", SimpleNamespace(sleep=lambda _: None))
    process = BotocoreStubber.process_request
    counts: Counter[bytes] = Counter()

    def process_or_refuse(stubber: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        attempt = int(re.findall(rb"attempt=(\d+)", request.headers["amz-sdk-request"])[0])
        if attempt > REFUSED:
            return process(stubber, request)
        (service,) = re.findall(rb"/(\w+)/aws4_request", request.headers["Authorization"])
        counts[service] += 1
        status, body = REFUSALS[service]
        return status, {}, body.encode()

    monkeypatch.setattr(BotocoreStubber, "process_request", process_or_refuse)
    return counts


def test_a_run_that_aws_refuses_every_call_at_first_is_complete(
    take_place: Callable[..., VirtualRun], refused: Counter[bytes]
) -> None:
    run = take_place(RunRequest(arms=ARMS), began_at=NOON, traffic_s=900)

    (judged,) = run.rows("runs")
    assert (judged["verdict"], judged["reasons"]) == ("complete", [])
    for arm in ARMS:
        observed = run.observed(arm.name)
        assert list(observed) == [tick for tick in run.sent if tick >= min(observed)]
    assert refused.keys() == REFUSALS.keys()
    assert {attempts % REFUSED for attempts in refused.values()} == {0}


@pytest.mark.usefixtures("cloud")
def test_the_instances_are_as_patient_as_the_functions() -> None:
    """Of itself the AWS CLI tries three times, and a ledger that it does not bring home costs the run."""
    (step,) = document()["Resources"]["TrafficDocument"]["Properties"]["Content"]["mainSteps"]
    (attempts,) = re.findall(r"AWS_MAX_ATTEMPTS=(\d+)", "\n".join(step["inputs"]["runCommand"]))
    assert int(attempts) == clients.s3().meta.config.retries["total_max_attempts"]
