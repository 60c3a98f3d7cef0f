"""`flowlag watch`: a run as it goes on, state by state and arm by arm, until it ends. It only reads.

`reading` asks AWS, `history` and `outlook` make something of the answers, `events` says what is new,
`views` and `render` show it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from flowlag_aws.clock import now
from local.doctor.account import Account, NotLooked, in_words
from local.doctor.checks.words import grant
from local.doctor.scope import find_run, find_stack
from local.instants import iso
from local.watch.reading import POLL_S, Watching
from local.watch.summary import summary

if TYPE_CHECKING:
    from local.doctor.scope import Run, Stack
    from local.watch.reading import Seen
    from local.watch.views import View

PATIENCE: Final = 10
"""How many looks in a row may go unanswered."""


def find(stack: str, region: str | None, run_id: str | None) -> Watching:
    """The run that is to be watched.

    Args:
        stack: name of the CloudFormation stack.
        region: where it is; None leaves it to the environment.
        run_id: the run; None takes the newest one under way, else the newest.

    Raises:
        NotLooked: there are no credentials, or there is no such stack or run.
    """
    account = Account(region)
    found = find_stack(account, stack)
    return Watching(account, found, _run(account, found, run_id))


def _run(account: Account, stack: Stack, run_id: str | None) -> Run:
    try:
        run = find_run(account, stack, run_id)
    except (BotoCoreError, ClientError) as reason:
        raise _refused(f"the runs of the stack '{stack.name}'", reason) from None
    if run is None:
        raise NotLooked(
            f"the stack '{stack.name}' has no run yet: start one with 'aws stepfunctions start-execution "
            f"--state-machine-arn {stack.state_machine_arn}'"
        )
    return run


def follow(watching: Watching, view: View) -> dict[str, Any]:
    """Look again and again until the run has ended, and return its summary.

    A look that AWS does not answer is told, and made again: a connection may break in three hours.

    Raises:
        NotLooked: the first look is refused, or too many in a row.
    """
    seen: Seen | None = None
    unanswered = 0
    while seen is None or seen.history.end is None:
        try:
            seen = watching.look()
        except (BotoCoreError, ClientError) as reason:
            unanswered += 1
            if seen is None or unanswered == PATIENCE:
                raise _refused(f"run {watching.run_id}", reason) from None
            view.tell({"event": "unanswered", "at": iso(now()), "why": in_words(reason)})
            time.sleep(POLL_S)
        else:
            unanswered = 0
            view.show(seen)
            time.sleep(0 if seen.history.end else seen.next_look_s)
    return summary(seen, seen.history.end)


def _refused(what: str, reason: BotoCoreError | ClientError) -> NotLooked:
    to_do = f"; {grant()[0].lower()}{grant()[1:-1]}" if isinstance(reason, ClientError) else ""
    return NotLooked(f"{what} cannot be looked at: {in_words(reason)}{to_do}")
