"""Ledgers: what the sender says that it sent. flowlag's own `ledger.csv`, or the log of Episode 18's script."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from flowlag import ledger
from flowlag.errors import UnreadableLedger
from flowlag.stamp import PORTS, decode, due_at
from local.sources.dataset import UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

EPISODE_18: Final = ("Epoch_Time", "Date_Time", "Source_Port")
"""The columns of the log of Episode 18's script; it has lines for sent probes only."""


@dataclass(frozen=True, slots=True)
class SentTicks:
    """The ticks that were sent, of those from `first` to `last`, `rate` a second.

    `closed` if the sender ended in good order.
    """

    sent: frozenset[int]
    first: int
    last: int
    rate: int
    closed: bool


def read_ledger(path: Path, rate: int) -> SentTicks:
    """Read a ledger of either kind.

    Raises:
        UnusableInput: it is neither, a line does not parse, or its ticks cannot be those of one run.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.startswith(ledger.HEADER):
            own = ledger.parse_ledger(text)
            ticks = [entry.tick for entry in own.entries]
            sent = [entry.tick for entry in own.entries if entry.outcome == ledger.SENT]
            closed = own.closed
        else:
            ticks = sent = list(_episode_18(text, rate))
            closed = True
        _check_order(ticks)
    except UnicodeDecodeError:
        raise UnusableInput(f"'{path}' is not a ledger: it is not text") from None
    except UnreadableLedger as reason:
        raise UnusableInput(f"'{path}' is not a ledger: {reason}") from None
    return SentTicks(frozenset(sent), ticks[0], ticks[-1], rate, closed)


def _episode_18(text: str, rate: int) -> Iterator[int]:
    reader = csv.reader(text.splitlines())
    if tuple(next(reader, ())) != EPISODE_18:
        raise UnreadableLedger(f"its first line is neither '{ledger.HEADER}' nor '{','.join(EPISODE_18)}'")
    try:
        for epoch, _date, port in reader:
            yield _tick(int(epoch), int(port), rate)
    except (ValueError, csv.Error) as reason:
        raise UnreadableLedger(f"line {reader.line_num} is not an entry: {reason}") from None


def _tick(epoch_s: int, port: int, rate: int) -> int:
    tick = decode(port, epoch_s * 1_000_000, rate)
    if not 0 <= port < PORTS or due_at(tick, rate) // 1_000_000 != epoch_s:
        raise ValueError(f"source port {port} does not carry the second {epoch_s} at {rate} ticks a second")
    return tick


def _check_order(ticks: Sequence[int]) -> None:
    if not ticks:
        raise UnreadableLedger("it has no entry")
    for earlier, later in pairwise(ticks):
        if not 0 < later - earlier < PORTS:
            raise UnreadableLedger(f"tick {later} does not follow tick {earlier} in one run")
