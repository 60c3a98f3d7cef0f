"""The capture: what arrived at the target, reduced to source port and time.

This module also runs on the target, under the system Python (3.9) of Amazon Linux 2023.
"""

from __future__ import annotations

from typing import NamedTuple

from flowlag.errors import UnreadableLedger
from flowlag.stamp import decode

HEADER = "srcport,seen_ns"


class Seen(NamedTuple):
    """One captured probe; `seen_ns` is the kernel's receive time in nanoseconds since the epoch."""

    srcport: int
    seen_ns: int

    def line(self) -> str:
        """The packet as it stands in the file, without its line end."""
        return f"{self.srcport},{self.seen_ns}"


def parse_capture(text: str, rate: int) -> dict[int, int]:
    """Read a capture file: tick to the instant (microseconds) at which its probe was first seen.

    Raises:
        UnreadableLedger: the file is not a capture.
    """
    header, _, body = text.partition("\n")
    if header != HEADER:
        raise UnreadableLedger(f"a capture begins with '{HEADER}', this one with '{header[:60]}'")
    seen: dict[int, int] = {}
    for number, line in enumerate(body.split("\n")[:-1], start=2):
        try:
            srcport, seen_ns = map(int, line.split(","))
        except ValueError:
            raise UnreadableLedger(f"line {number} of the capture is not a packet: '{line[:60]}'") from None
        seen_at = seen_ns // 1_000
        seen.setdefault(decode(srcport, seen_at, rate), seen_at)
    return seen
