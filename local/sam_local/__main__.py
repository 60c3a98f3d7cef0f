"""`make sam-local`: every function once, as `sam local` runs it; or a command of yours beside the same AWS.

python -m local.sam_local                 every function with each of its events
python -m local.sam_local shell [COMMAND] a shell, or one command, in which `sam local` finds all of it
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click

from flowlag.errors import FlowlagError
from local.sam_local.session import DEBUG_PORT, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; the exit status: 0, 1 where a function failed, 2 where nothing could be tried."""
    for each in _ENDING:
        signal.signal(each, _end)
    try:
        return _shell(arguments[1:]) if arguments[:1] == ["shell"] else _all()
    except FlowlagError as reason:
        click.echo(f"flowlag: {reason}", err=True)
        return 2


def _end(number: int, _: object) -> NoReturn:
    """Leave in order; a second signal must not undo what the first one began."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def _all() -> int:
    began = time.monotonic()
    with Session(click.echo) as session:
        _introduce(session)
        played = session.rehearse()
    failed = [each for each in played if each.outcome.failure]
    for each in failed:
        click.echo(
            f"\n{each.function.name} < {each.event}.json: {each.outcome.failure}\n{each.outcome.log[-4_000:]}"
        )
    click.echo(
        f"{len(played)} invocations of {len(session.functions)} functions, {len(failed)} failed, "
        f"in {time.monotonic() - began:.0f} s, by {session.description}."
    )
    return 1 if failed else 0


def _shell(command: Sequence[str]) -> int:
    """Run a command where `sam local` finds the engine, the functions, their variables and AWS."""
    with Session(lambda line: click.echo(line, err=True)) as session, session.debugger() as port:
        _introduce(session)
        click.echo(f"a debugger that listens on port {DEBUG_PORT} is at 127.0.0.1:{port}", err=True)
        return session.start(list(command) or [os.environ.get("SHELL", "/bin/sh")]).wait()


def _introduce(session: Session) -> None:
    for each in session.why:
        click.echo(f"({each})", err=True)
    click.echo(f"by {session.description}; {session.image}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
