"""Systems Manager: the stack's own documents, run in boxes."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ministack import app
from ministack.core.responses import AccountRegionScopedDict, get_region
from ministack.services import ec2, iam, ssm
from ministack.services.cloudformation import provisioners

from local.cloud.boxes import ROLE_TAG, Outcome, instance_environment
from local.cloud.documents import Document, InvalidDocument, InvalidParameters, Step
from local.cloud.seams.replies import json_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.cloud.boxes import Box, Boxes
    from local.cloud.seams.replies import Properties, Provisioned, Response


_documents: Any = AccountRegionScopedDict()
"""The SSM documents by name."""


def run_commands_in_boxes(boxes: Boxes, endpoint: str) -> None:
    """Run the stack's own SSM documents in the box behind an instance, and refuse what cannot be run.

    MiniStack runs AWS-RunShellScript in a container of Docker, and reports every other document as done without
    doing anything. A command never runs on the machine itself: an instance without a box is one without an agent.
    """
    agents, send = _Agents(boxes, endpoint), ssm._send_command

    def send_command(request: Properties) -> Response:
        document = _documents.get(request.get("DocumentName"))
        if document is None:
            return json_error("InvalidDocument", f"{request.get('DocumentName')} does not exist")
        try:
            document.steps(request.get("Parameters") or {})
        except InvalidParameters as reason:
            return json_error("InvalidParameters", str(reason))
        answer: Response = send(request)
        return answer

    def steps(request: Properties) -> list[Step]:
        found: list[Step] = _documents[request["DocumentName"]].steps(request.get("Parameters") or {})
        return found

    ec2.instance_is_managed = agents.is_managed
    ec2.exec_in_instance_blocking = agents.run
    ssm._send_command = send_command
    ssm._shell_argv = steps  # MiniStack hands them through to `exec_in_instance_blocking`


class _Agents:
    """The SSM agents of the instances: what runs a command in the box behind one."""

    def __init__(self, boxes: Boxes, endpoint: str) -> None:
        self._boxes = boxes
        self._endpoint = endpoint

    def is_managed(self, instance_id: str) -> bool:
        """Whether the instance is running and has a box, and a role to act with."""
        instance = ec2._instances.get(instance_id)
        is_running = instance is not None and instance["State"]["Name"] == "running"
        return is_running and self._box(instance_id) is not None and _role_of_instance(instance_id) is not None

    def run(self, instance_id: str, steps: Iterable[Step]) -> Outcome:
        """Run steps until one fails; what they said, together, and how the last one ended."""
        try:
            box, role_arn = self._box(instance_id), _role_of_instance(instance_id)
            if box is None or role_arn is None:
                return Outcome(_AGENT_FAILED, "", f"{instance_id} has no agent any more")
            environment = instance_environment(self._endpoint, get_region(), instance_id, role_arn)
            return _run_steps(box, environment, steps)
        except Exception as reason:  # noqa: BLE001 - whatever it is: who waits for the command must see its end
            app.logger.exception("the agent of %s failed", instance_id)
            return Outcome(_AGENT_FAILED, "", f"the agent of {instance_id} failed: {reason}")

    def _box(self, instance_id: str) -> Box | None:
        tags = {tag["Key"]: tag["Value"] for tag in ec2._tags.get(instance_id, [])}
        return self._boxes.get((get_region(), tags.get(ROLE_TAG, "")))


_AGENT_FAILED: Final = 255


def _run_steps(box: Box, environment: Mapping[str, str], steps: Iterable[Step]) -> Outcome:
    outcome = Outcome(0, "", "")
    for step in steps:
        ended = box.run(step.script, {**environment, **step.environment}, step.timeout_s)
        outcome = Outcome(ended.exit_code, outcome.stdout + ended.stdout, outcome.stderr + ended.stderr)
        if outcome.exit_code != 0:
            break
    return outcome


def _role_of_instance(instance_id: str) -> str | None:
    """The ARN of the role in an instance's profile."""
    attached = ec2._instances[instance_id].get("IamInstanceProfile") or {}
    profile = iam._lookup_instance_profile(arn=attached.get("Arn"))
    roles = profile["Roles"] if profile else []
    return iam._roles[roles[0]]["Arn"] if roles else None


def create_document(logical_id: str, properties: Properties, stack: str) -> Provisioned:
    """Create an AWS::SSM::Document."""
    name = properties.get("Name") or provisioners._physical_name(stack, logical_id)
    try:
        _documents[name] = Document.of_content(properties["Content"])
    except InvalidDocument as reason:
        raise ValueError(str(reason)) from None  # MiniStack's kind of error, shown as the resource's reason
    ssm._SHELL_DOCUMENTS.add(name)
    return name, {}


def delete_document(name: str, _properties: Properties) -> None:
    """Delete an AWS::SSM::Document."""
    _documents.pop(name, None)
    ssm._SHELL_DOCUMENTS.discard(name)
