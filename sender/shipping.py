"""Shipping: the ledger and the capture to S3, while they grow and when they are whole.

A process of its own ships them, at low priority. It outlives the worker that writes the file, even one that was
killed, and ships what there is.
"""

from __future__ import annotations

import logging
import os
import subprocess
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError
from sender.processes import has_ended

if TYPE_CHECKING:
    from pathlib import Path

    from sender.order import Order

INTERVAL_S = 60.0
"""How much of a file may be lost, should the whole instance go. More often would cost CPU credits and requests:
each upload starts the AWS CLI and sends the file again."""

UPLOAD_TIMEOUT_S = 60.0
_NICENESS = 10

_log = logging.getLogger(__name__)


class NotShipped(FlowlagError):
    """A file could not be uploaded."""


def ship(file: Path, order: Order) -> None:
    """Upload `file`, unless the bucket has all of it.

    Raises:
        NotShipped: the AWS CLI is missing, or failed, or took too long; the message has its reason.
    """
    shipped = file.with_suffix(".shipped")
    size = str(file.stat().st_size)  # the files only grow, so their size says what is in them
    if shipped.exists() and shipped.read_text() == size:
        return
    _upload(file, order.uri(file))
    aside = shipped.with_suffix(".new")
    aside.write_text(size)
    aside.replace(shipped)


def keep_shipping(file: Path, order: Order, worker: Path) -> None:
    """Ship `file` every minute until the holder of the lock `worker` is gone, and then once more.

    Raises:
        NotShipped: the last upload failed. An earlier failure is only told.
    """
    os.nice(_NICENESS)
    while not has_ended(worker, INTERVAL_S):
        try:
            ship(file, order)
        except NotShipped as failure:  # noqa: PERF203 - once a minute
            _log.warning("%s", failure)
    ship(file, order)


def _upload(file: Path, uri: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - a file and a bucket that were checked
            ["aws", "s3", "cp", "--only-show-errors", str(file), uri],  # noqa: S607 - where it is differs by system
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UPLOAD_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise NotShipped(f"{file} was not uploaded to {uri}: there is no AWS CLI on the PATH") from None
    except subprocess.TimeoutExpired:
        raise NotShipped(f"{file} was not uploaded to {uri} within {UPLOAD_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise NotShipped(f"{file} was not uploaded to {uri}: {reason}")
