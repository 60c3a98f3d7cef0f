"""Sending: every tick's probe to the wire, and every tick's fate to the ledger."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from flowlag.errors import InvalidRequest
from flowlag.ledger import END, FAILED, HEADER, MISSED, SENT, SKIPPED, LedgerEntry
from flowlag.stamp import UNSENDABLE_PORT, encode, tick_at
from sender.pacer import pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from sender.order import Order
    from sender.pacer import Turn

_log = logging.getLogger(__name__)


def send(
    order: Order,
    *,
    build: Callable[[int], bytes],
    wire: Callable[[bytes], None],
    wait: Callable[[float], bool],
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Send the probes of `order`, from the next tick on, and write its ledger line by line.

    Args:
        order: What to send, and where the ledger goes.
        build: Makes the probe with a source port; called before the probe is due.
        wire: Sends a probe at once; an OSError means that it was refused.
        wait: Sleeps for so many seconds, and answers whether to stop: `threading.Event.wait` is one.
        clock: Reads the time in nanoseconds since the epoch.

    Raises:
        InvalidRequest: the run has a ledger already; a run is sent once.
    """
    first = tick_at(clock(), order.rate) + 1
    ticks = range(first, first + order.duration_s * order.rate)
    order.directory.mkdir(parents=True, exist_ok=True)
    try:
        ledger = order.ledger.open("x", buffering=1, encoding="ascii")  # a line at a time: it survives a kill
    except FileExistsError:
        raise InvalidRequest(f"run '{order.run_id}' was sent before: its ledger is {order.ledger}") from None
    with ledger:
        ledger.write(f"{HEADER}\n")
        has_sent = False
        for turn in pace(ticks, order.rate, _probes(build), clock=clock, wait=wait):
            entry = _entry(turn, wire)
            ledger.write(f"{entry.line()}\n")
            has_sent = has_sent or entry.outcome == SENT
            if entry.outcome == FAILED and not has_sent:
                break  # the very first was refused: there is no network, and somebody waits to hear so
        ledger.write(f"{END}\n")


def _probes(build: Callable[[int], bytes]) -> Callable[[int], bytes | None]:
    def probe(tick: int) -> bytes | None:
        srcport = encode(tick)
        return None if srcport == UNSENDABLE_PORT else build(srcport)

    return probe


def _entry(turn: Turn, wire: Callable[[bytes], None]) -> LedgerEntry:
    tick, now_ns, probe = turn
    srcport = encode(tick)
    if srcport == UNSENDABLE_PORT:
        return LedgerEntry(tick, srcport, None, SKIPPED)
    if now_ns is None or probe is None:
        return LedgerEntry(tick, srcport, None, MISSED)
    try:
        wire(probe)
    except OSError as error:
        _log.warning("the probe of tick %d was refused: %s", tick, error)
        return LedgerEntry(tick, srcport, None, FAILED)
    return LedgerEntry(tick, srcport, now_ns, SENT)
