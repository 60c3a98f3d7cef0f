"""Processes that outlive the command which started them.

A worker holds a lock file for as long as it lives, and the kernel knows who holds it. So there is no pid file that
could be stale, no pid that could have become another's, and no second worker for the same run.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import select
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sender.order import Order

_FLOCK = struct.Struct("@hhqqi")  # `struct flock` of 64-bit Linux: type, whence, start, length, pid
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_REALTIME_PRIORITY = 50
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
_LIBC = ctypes.CDLL(None)


class AlreadyRunning(FlowlagError):
    """Another process does this work already."""


# ---------------------------------------------------------------- in the command
def detach(action: str, order: Order) -> subprocess.Popen[bytes]:
    """Start `python -m sender ACTION` in a session of its own, its output in the run's log.

    Nothing of it holds on to this process: SSM waits until the last writer of a command's output is gone.
    """
    order.directory.mkdir(parents=True, exist_ok=True)
    # scapy writes caches, which belong with our files and not into somebody's home.
    environment = {**os.environ, "XDG_CACHE_HOME": str(order.home), "XDG_CONFIG_HOME": str(order.home)}
    with log_of(action, order).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module, and an order that was checked
            [sys.executable, "-m", "sender", action, *order.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def lock_of(action: str, order: Order) -> Path:
    """The lock that the worker of `action` holds."""
    return order.directory / f"{action}.lock"


def log_of(action: str, order: Order) -> Path:
    """Where the worker of `action` says what went wrong."""
    return order.directory / f"{action}.log"


def holder(lock: Path) -> int | None:
    """The id of the process that holds `lock`; None where nobody does.

    Not for the holder itself: the kernel would take the lock away from it with the descriptor that asks.
    """
    try:
        with lock.open("rb") as file:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else int(pid)


def has_ended(lock: Path, within_s: float) -> bool:
    """Whether the holder of `lock` is gone, or goes within so many seconds. Returns as soon as it is."""
    with _process(lock) as process:
        return process is None or _wait(process, within_s)


def end(lock: Path, patience_s: float) -> None:
    """End the holder of `lock`: in good order, or by force should that take longer than so many seconds."""
    with _process(lock) as process, suppress(ProcessLookupError):
        if process is not None:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not _wait(process, patience_s):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                _wait(process, patience_s)


@contextmanager
def _process(lock: Path) -> Iterator[int | None]:
    """A handle on the holder of `lock`, which stays that process's even when its id is used again."""
    pid = holder(lock)
    try:
        process = None if pid is None else os.pidfd_open(pid)
    except ProcessLookupError:
        process = None
    try:
        yield process if holder(lock) == pid else None
    finally:
        if process is not None:
            os.close(process)


def _wait(process: int, seconds: float) -> bool:
    return bool(select.select([process], [], [], seconds)[0])


# ---------------------------------------------------------------- in the worker
@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold `lock`. The kernel lets go of it when the process ends, however it ends.

    Raises:
        AlreadyRunning: another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"'{lock.stem}' of this run is done by process {holder(lock)}") from None
        yield


def stop_on_signal() -> Callable[[float], bool]:
    """Turn SIGTERM and SIGINT into an answer: a function that sleeps, and tells whether one has come.

    They are waited for and not handled, so that none can arrive in the middle of a line.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    return lambda seconds: signal.sigtimedwait(_STOP_SIGNALS, seconds) is not None


def run_promptly() -> None:
    """Be woken before every ordinary process, where the kernel allows it, and not be held up by garbage collection.

    Call it after the imports: what they made stays, and looking through it again takes tens of milliseconds.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_REALTIME_PRIORITY))
    gc.freeze()


def attach(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program whose output this process reads, and which ends with it, however it ends."""
    return subprocess.Popen(  # noqa: S603 - a program of our own choice
        argv,
        bufsize=0,  # what `select` does not see in the pipe is not anywhere else
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_become_attached,  # noqa: PLW1509 - a worker has one thread, so nobody holds a lock at the fork
    )


def _become_attached() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)  # the worker waits for them; others need to get them
