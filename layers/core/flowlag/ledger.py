"""The ledger: the sender's own record of every tick, sent or not.

A CSV file of one line a tick, written as it happens and uploaded while the run goes on, so that a killed sender
leaves everything but its last moments. A ledger without its `end` was cut short; a line torn by the kill is
dropped.

This module also runs on the sender, under the system Python (3.9) of Amazon Linux 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from flowlag.errors import UnreadableLedger
from flowlag.stamp import due_ns, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = "tick,srcport,sent_ns,outcome"

SENT = "sent"
"""The probe left, possibly late: `sent_ns` says when."""
MISSED = "missed"
"""The sender woke up after the next tick was due. The probe was not sent, and is not made up for."""
SKIPPED = "skipped"
"""The tick's source port is 0, which is not sent."""
FAILED = "failed"
"""The kernel refused the probe."""
OUTCOMES = (SENT, MISSED, SKIPPED, FAILED)

END = "end"
"""The last line of a ledger whose sender stopped in good order."""


class LedgerEntry(NamedTuple):
    """One tick: its source port, when its probe left (ns since the epoch; None: never), and its outcome."""

    tick: int
    srcport: int
    sent_ns: int | None
    outcome: str

    def line(self) -> str:
        """The entry as it stands in the file, without its line end."""
        sent = "" if self.sent_ns is None else str(self.sent_ns)
        return f"{self.tick},{self.srcport},{sent},{self.outcome}"

    def lateness_s(self, rate: int) -> float | None:
        """Seconds between the tick and its probe; None where there was no probe."""
        return None if self.sent_ns is None else (self.sent_ns - due_ns(self.tick, rate)) / 1e9


@dataclass(frozen=True)
class Ledger:
    """The entries of one run in order of tick, and whether the sender closed it in good order."""

    entries: tuple[LedgerEntry, ...]
    closed: bool


def parse_ledger(text: str) -> Ledger:
    """Read a ledger file.

    Raises:
        UnreadableLedger: the header is another, or a line other than the last does not parse.
    """
    header, _, body = text.partition("\n")
    if header != HEADER:
        raise UnreadableLedger(f"a ledger begins with '{HEADER}', this one with '{header[:60]}'")
    lines = body.split("\n")[:-1]  # what follows the last line end is empty, or was torn by a kill
    closed = bool(lines) and lines[-1] == END
    return Ledger(tuple(_entries(lines[:-1] if closed else lines)), closed)


def _entries(lines: Iterable[str]) -> Iterable[LedgerEntry]:
    for number, line in enumerate(lines, start=2):
        try:
            tick, srcport, sent, outcome = line.split(",")
            entry = LedgerEntry(int(tick), int(srcport), int(sent) if sent else None, outcome)
        except ValueError:
            raise UnreadableLedger(f"line {number} of the ledger is not an entry: '{line[:60]}'") from None
        if outcome not in OUTCOMES:
            raise UnreadableLedger(f"line {number} of the ledger has the unknown outcome '{outcome[:20]}'")
        if entry.srcport != encode(entry.tick) or (outcome == SENT) != (entry.sent_ns is not None):
            raise UnreadableLedger(f"line {number} of the ledger contradicts itself: '{line[:60]}'")
        yield entry
