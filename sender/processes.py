"""Processes that outlive the command which started them.

A worker holds a lock file for as long as it lives, and the kernel knows who holds it. So there is no pid file that
could be stale, no pid that could have become another's, and no second worker for the same run.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sender.order import Order

_FLOCK = struct.Struct("@hhqqi")  # `struct flock` of 64-bit Linux: type, whence, start, length, pid
_REALTIME_PRIORITY = 50
_SHIPPER_NICENESS = 10


class AlreadyRunning(FlowlagError):
    """Another process does this work already."""


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold `lock`; the kernel lets go of it when the process ends, however it ends.

    Raises:
        AlreadyRunning: another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"{lock.stem} is running already, as process {holder(lock)}") from None
        yield


def holder(lock: Path) -> int | None:
    """The id of the process that holds `lock`; None where nobody does."""
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
    """End the holder of `lock`, in good order if it can do so within so many seconds."""
    with _process(lock) as process:
        if process is not None:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not _wait(process, patience_s):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                _wait(process, patience_s)


@contextmanager
def _process(lock: Path) -> Iterator[int | None]:
    """A handle on the holder of `lock`, which stays that process's even when its pid is reused."""
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
