"""The command line of the sender: `python -m sender ACTION --run-id R ...`, as the SSM document runs it.

`start-` and `stop-` actions return soon and say how it went: that the work is under way, what came of it as a line
of JSON, or one sentence on standard error. The others are the workers that they start.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import ArgumentParser
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from flowlag.errors import FlowlagError, InvalidRequest
from sender.capturing import capture
from sender.clock import offset_s
from sender.jobs import CAPTURE, SENDING, Job, start, stop
from sender.order import Order
from sender.processes import held, lock_of, run_promptly, stop_on_signal
from sender.sending import send
from sender.shipping import keep_shipping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_HOME = "/var/lib/flowlag"
_FAILED = 1
_INVALID = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one action; returns the exit status: 0, 1 when it failed, 2 when it makes no sense."""
    logging.basicConfig(format="sender: %(message)s", level=logging.INFO)
    try:
        action, order = _parse(arguments)
        _ACTIONS[action](order)
    except (FlowlagError, OSError) as error:
        print(f"sender: {error}", file=sys.stderr)  # noqa: T201 - what a command says
        return _INVALID if isinstance(error, InvalidRequest) else _FAILED
    return 0


# ---------------------------------------------------------------- actions
def _start(job: Job, order: Order) -> None:
    for stray in start(job, order):
        print(f"ended {stray}, which nobody had stopped")  # noqa: T201 - what a command says
    print(f"'{job.worker}' of run '{order.run_id}' is under way")  # noqa: T201 - what a command says


def _stop(job: Job, order: Order) -> None:
    print(json.dumps({**stop(job, order), "clock_offset_s": offset_s()}))  # noqa: T201 - what a command answers


def _send(order: Order) -> None:
    with held(lock_of(SENDING.worker, order)):
        wait = stop_on_signal()
        from sender.packets import Wire, build  # noqa: PLC0415 - takes a second, which start and stop need not wait

        run_promptly()
        send(order, build=partial(build, order), wire=Wire(order), wait=wait)


def _capture(order: Order) -> None:
    with held(lock_of(CAPTURE.worker, order)):
        wait = stop_on_signal()
        from sender.arrivals import arrivals  # noqa: PLC0415 - as above

        with closing(arrivals(order)) as arrived:
            next(arrived)
            capture(order, receive=partial(next, arrived), wait=wait)


def _ship(job: Job, order: Order) -> None:
    with held(lock_of(job.shipper, order)):
        keep_shipping(job.file(order), order, worker=lock_of(job.worker, order))


_ACTIONS: Mapping[str, Callable[[Order], None]] = {
    "start-sending": partial(_start, SENDING),
    "stop-sending": partial(_stop, SENDING),
    "start-capture": partial(_start, CAPTURE),
    "stop-capture": partial(_stop, CAPTURE),
    SENDING.worker: _send,
    CAPTURE.worker: _capture,
    SENDING.shipper: partial(_ship, SENDING),
    CAPTURE.shipper: partial(_ship, CAPTURE),
}


# ---------------------------------------------------------------- arguments
class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(message)


def _parse(arguments: Sequence[str] | None) -> tuple[str, Order]:
    parser = _Parser(prog="sender", allow_abbrev=False, description="Send or capture the probes of one run.")
    parser.add_argument("action", choices=_ACTIONS)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--bucket", required=True, help="the results bucket")
    parser.add_argument("--source", required=True, help="the sender's address")
    parser.add_argument("--target", required=True, help="the target's address")
    parser.add_argument("--port", required=True, type=int, help="the target's port")
    parser.add_argument("--rate", required=True, type=int, help="probes a second")
    parser.add_argument("--payload-bytes", required=True, type=int, help="the run's signature")
    parser.add_argument("--duration", required=True, type=int, dest="duration_s", help="seconds")
    values = vars(parser.parse_args(arguments))
    home = Path(os.environ.get("FLOWLAG_HOME") or _HOME)
    return values.pop("action"), Order(**values, home=home)


if __name__ == "__main__":
    sys.exit(main())
