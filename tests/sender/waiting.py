"""Waiting for what another process does."""

import time
from collections.abc import Callable

TIMEOUT_S = 30


def until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition` holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "this should have happened by now"
        time.sleep(0.02)
