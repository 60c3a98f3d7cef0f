"""Jobs: what an instance does for a run, started and stopped by two commands that may each come twice."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowlag import capture, ledger
from flowlag.errors import FlowlagError, InvalidRequest
from sender.processes import detach, end, has_ended, holder, lock_of, log_of
from sender.shipping import UPLOAD_TIMEOUT_S, ship

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sender.order import Order

START_TIMEOUT_S = 30.0
_POLL_S = 0.02
_PATIENCE_S = 10.0


class NotStarted(FlowlagError):
    """The worker ended, or did nothing for a long time; the message has its reason."""


class NotStopped(FlowlagError):
    """A process that is to end does not."""


# ---------------------------------------------------------------- the two jobs
@dataclass(frozen=True)
class Job:
    """A worker that writes a file, and a shipper that brings it to S3.

    Attributes:
        worker: The action of `python -m sender` that does the work in the foreground.
        shipper: The action that ships the file.
        file: Where an order wants the file.
        is_under_way: Whether the file, by its text, shows that the work has really begun.
        counts: What the file, by its text, amounts to.
        is_exclusive: Whether an instance does it for one run at a time. A target may serve two senders, so that
            another run's capture may be a living one's.
    """

    worker: str
    shipper: str
    file: Callable[[Order], Path]
    is_under_way: Callable[[str], bool]
    counts: Callable[[str, Order], Mapping[str, int]]
    is_exclusive: bool


def _a_probe_has_left(text: str) -> bool:
    return any(entry.outcome == ledger.SENT for entry in _ledger(text).entries)


def _count_ticks(text: str, _: Order) -> Mapping[str, int]:
    counts = Counter(entry.outcome for entry in _ledger(text).entries)
    return {outcome: counts[outcome] for outcome in ledger.OUTCOMES}


def _ledger(text: str) -> ledger.Ledger:
    return ledger.parse_ledger(text or f"{ledger.HEADER}\n")


def _listens(text: str) -> bool:
    return text.startswith(f"{capture.HEADER}\n")


def _count_seen(text: str, order: Order) -> Mapping[str, int]:
    return {"seen": len(capture.parse_capture(text or f"{capture.HEADER}\n", order.rate).seen)}


SENDING = Job("send", "ship-ledger", lambda order: order.ledger, _a_probe_has_left, _count_ticks, is_exclusive=True)
CAPTURE = Job("capture", "ship-capture", lambda order: order.capture, _listens, _count_seen, is_exclusive=False)


# ---------------------------------------------------------------- what can be done with a job
def start(job: Job, order: Order) -> list[str]:
    """Have the job done from now on, and its file shipped; returns when both are really under way.

    One that is under way is left alone. An exclusive one that is not first ends what of it is done here for other
    runs: a living run has its sender to itself, so those have lost their owners. What they wrote stays, and their
    shippers bring it to S3.

    Returns:
        What of other runs it ended.

    Raises:
        InvalidRequest: the job was done before and has ended; a run happens once.
        NotStopped: a process of another run does not end.
        NotStarted: it did not begin.
    """
    lock, file = lock_of(job.worker, order), job.file(order)
    strays = []
    if holder(lock) is None:
        if file.exists():
            raise InvalidRequest(f"run '{order.run_id}' has ended here and left {file}: a run happens once")
        strays = _end_strays(job, order)
        worker = detach(job.worker, order)
        _await_work(job, order, lambda: worker.poll() is None or holder(lock) is not None)
    else:
        _await_work(job, order, lambda: holder(lock) is not None)
    _ensure_shipping(job, order)
    return strays


def stop(job: Job, order: Order) -> Mapping[str, int]:
    """End the job or what is left of it, bring its file to S3, and count what is in it.

    Raises:
        NotStopped: one of its processes does not end.
        NotShipped: the file could not be uploaded.
    """
    end(lock_of(job.worker, order), _PATIENCE_S)
    for action in (job.worker, job.shipper):
        if not has_ended(lock_of(action, order), 2 * UPLOAD_TIMEOUT_S):
            raise NotStopped(f"'{action}' of run '{order.run_id}' does not end: see {log_of(action, order)}")
    file = job.file(order)
    if file.exists():
        ship(file, order)
    return job.counts(_text(file), order)


def _end_strays(job: Job, order: Order) -> list[str]:
    own = lock_of(job.worker, order)
    strays = []
    for lock in sorted(order.directory.parent.glob(f"*/{own.name}")) if job.is_exclusive else ():
        if lock != own and holder(lock) is not None:
            stray = f"'{job.worker}' of run '{lock.parent.name}'"
            end(lock, _PATIENCE_S)
            if not has_ended(lock, 0):
                raise NotStopped(f"{stray} does not end, and a sender works for one run at a time")
            strays.append(stray)
    return strays


def _await_work(job: Job, order: Order, is_alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        alive = is_alive()  # asked before the file is read, or its last words could be overlooked
        if job.is_under_way(_text(job.file(order))):
            return
        if not alive:
            raise NotStarted(_last_words(job, order))
        time.sleep(_POLL_S)
    end(lock_of(job.worker, order), _PATIENCE_S)
    raise NotStarted(f"nothing happened for {START_TIMEOUT_S:.0f} s: {_last_words(job, order)}")


def _ensure_shipping(job: Job, order: Order) -> None:
    lock = lock_of(job.shipper, order)
    if holder(lock) is None:
        shipper = detach(job.shipper, order)
        while holder(lock) is None and shipper.poll() is None:
            time.sleep(_POLL_S)


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii") if file.exists() else ""


def _last_words(job: Job, order: Order) -> str:
    lines = log_of(job.worker, order).read_text(errors="replace").splitlines()
    return lines[-1].removeprefix("sender: ") if lines else f"'{job.worker}' has said nothing"
