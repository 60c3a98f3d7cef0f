"""Systems Manager, scripted: moto runs no commands."""

import json
from typing import Any

from botocore.stub import Stubber

from tests.functions.run import PLAN
from tests.functions.template import WORK_BUCKET

type Answer = dict[str, Any]

DOCUMENT = "flowlag-TrafficDocument-1"
SENDER, TARGET = PLAN.sender_instance_id, str(PLAN.target_instance_id)
PARAMETERS = {
    "RunId": ["first-light"],
    "Bucket": [WORK_BUCKET],
    "SourceAddress": ["10.99.0.10"],
    "TargetAddress": ["10.99.0.20"],
    "TargetPort": ["7777"],
    "Rate": ["1"],
    "PayloadBytes": [str(PLAN.payload_bytes)],
    "DurationSeconds": ["3360"],  # the longest wait for a first delivery, the traffic, and ten minutes
}


class SystemsManager:
    """Expects commands on the run's instances, with its code of this digest."""

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


def succeeded(output: str) -> Answer:
    return {"Status": "Success", "StandardOutputContent": f"{output}\n"}


def reported(**counts: float | None) -> Answer:
    """What a stop action prints."""
    return succeeded(json.dumps(counts))


def failed(said: str, status: str = "Failed") -> Answer:
    return {"Status": "Failed", "StatusDetails": status, "StandardErrorContent": said}
