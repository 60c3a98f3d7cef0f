"""Capturing: every probe that arrives at the target, to the capture."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flowlag.capture import END, HEADER
from flowlag.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowlag.capture import Seen
    from sender.order import Order

GRACE_S = 600
"""The capture begins before the sending, and so must outlast it."""


def capture(
    order: Order,
    *,
    receive: Callable[[], Seen | None],
    wait: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Write what arrives, line by line, until told to stop or the order's duration and a grace have passed.

    Args:
        order: What to expect, and where the capture goes.
        receive: The next probe; None when there was none for a moment.
        wait: Sleeps for so many seconds, and answers whether to stop.
        clock: Reads a clock in seconds.

    Raises:
        InvalidRequest: the run has a capture already.
    """
    until = clock() + order.duration_s + GRACE_S
    order.directory.mkdir(parents=True, exist_ok=True)
    try:
        file = order.capture.open("x", buffering=1, encoding="ascii")  # a line at a time: it survives a kill
    except FileExistsError:
        raise InvalidRequest(f"run '{order.run_id}' was captured before: its capture is {order.capture}") from None
    with file:
        file.write(f"{HEADER}\n")
        while clock() < until and not wait(0):
            seen = receive()
            if seen is not None:
                file.write(f"{seen.line()}\n")
        file.write(f"{END}\n")
