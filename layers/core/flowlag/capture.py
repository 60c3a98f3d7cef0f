"""The capture: what arrived at the target, reduced to source port and time.

A CSV file of one line a packet, written as they arrive. One without its `end` was cut short: what it lacks may have
arrived all the same.

This module also runs on the target, under the system Python (3.9) of Amazon Linux 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from flowlag.errors import UnreadableLedger
from flowlag.stamp import decode

HEADER = "srcport,seen_ns"

END = "end"
"""The last line of a capture that was stopped in good order."""


class Seen(NamedTuple):
    """One captured probe; `seen_ns` is the kernel's receive time in nanoseconds since the epoch."""

    srcport: int
    seen_ns: int

    def line(self) -> str:
        """The packet as it stands in the file, without its line end."""
        return f"{self.srcport},{self.seen_ns}"


@dataclass(frozen=True)
class Capture:
    """Tick to the instant (microseconds) at which its probe was first seen; and whether it ended in good order."""

    seen: dict[int, int]
    closed: bool


def parse_capture(text: str, rate: int) -> Capture:
    """Read a capture file.

    Raises:
        UnreadableLedger: the file is not a capture.
    """
    header, _, body = text.partition("\n")
    if header != HEADER:
        raise UnreadableLedger(f"a capture begins with '{HEADER}', this one with '{header[:60]}'")
    lines = body.split("\n")[:-1]  # what follows the last line end is empty, or was torn by a kill
    closed = bool(lines) and lines[-1] == END
    seen: dict[int, int] = {}
    for number, line in enumerate(lines[:-1] if closed else lines, start=2):
        try:
            srcport, seen_ns = map(int, line.split(","))
        except ValueError:
            raise UnreadableLedger(f"line {number} of the capture is not a packet: '{line[:60]}'") from None
        seen_at = seen_ns // 1_000
        seen.setdefault(decode(srcport, seen_at, rate), seen_at)
    return Capture(seen, closed)
