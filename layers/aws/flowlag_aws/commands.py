"""SSM: commands on the sender and the target, without SSH."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError
from flowlag_aws import clients

if TYPE_CHECKING:
    from collections.abc import Mapping

DELIVERY_TIMEOUT_S = 600
"""On a fresh Amazon Linux 2023 instance State Manager's associations run first, for a minute or more."""

COMMAND_TIMEOUT_S = 840
"""Less than a function lives."""

_PENDING = frozenset({"Pending", "InProgress", "Delayed"})


class CommandFailed(FlowlagError):
    """A command on an instance did not succeed."""


def run_command(
    document: str,
    instance_id: str,
    parameters: Mapping[str, str],
    *,
    poll_s: float = 1.0,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> str:
    """Run an SSM document on an instance, wait for its end and return its standard output.

    Raises:
        CommandFailed: it ended otherwise than in success, or not within `timeout_s`.
    """
    client = clients.ssm()
    command_id = client.send_command(
        DocumentName=document,
        InstanceIds=[instance_id],
        TimeoutSeconds=DELIVERY_TIMEOUT_S,
        Parameters={name: [value] for name, value in parameters.items()},
    )["Command"]["CommandId"]
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        try:
            invocation = client.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        except client.exceptions.InvocationDoesNotExist:
            sleep(poll_s)  # eventually consistent right after SendCommand
            continue
        if invocation["Status"] == "Success":
            return invocation["StandardOutputContent"].strip()
        if invocation["Status"] not in _PENDING:
            said = invocation["StandardErrorContent"].strip().splitlines() or ["it said nothing"]
            raise CommandFailed(
                f"{parameters.get('Action', document)} on {instance_id} ended as "
                f"{invocation['StatusDetails']}: {said[-1][:500]}"
            )
        sleep(poll_s)
    raise CommandFailed(f"{parameters.get('Action', document)} on {instance_id} did not end in {timeout_s:.0f} s")
