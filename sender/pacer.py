"""The pacer: every tick gets exactly one turn, within its own period or never.

Each tick is due at an absolute time, so no delay adds to the next and nothing drifts. Whoever wakes up late takes
a turn only while its tick's period lasts; the ticks that passed meanwhile are missed and not made up for. The
clock may step: forward, the ticks it jumped over are missed; backward, the next tick waits until its time comes
again, and none is taken twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flowlag.stamp import due_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LONGEST_WAIT_S = 1.0
"""The clock is read again after at most this long, so that a step forward is noticed."""


class Turn(NamedTuple):
    """One tick's turn: the instant in its period (ns since the epoch; None: missed) and the probe made for it."""

    tick: int
    now_ns: int | None
    probe: bytes | None


def pace(
    ticks: Iterable[int],
    rate: int,
    prepare: Callable[[int], bytes | None],
    *,
    clock: Callable[[], int],
    wait: Callable[[float], bool],
) -> Iterator[Turn]:
    """Give each of `ticks` its turn, in order, until they end or `wait` says to stop.

    Args:
        ticks: Rising ticks.
        rate: Ticks a second.
        prepare: Makes a tick's probe, in the idle time before the tick is due.
        clock: Reads the time in nanoseconds since the epoch.
        wait: Sleeps for so many seconds, and answers whether to stop. It may return early.
    """
    for tick in ticks:
        due, over = due_ns(tick, rate), due_ns(tick + 1, rate)
        probe = None
        if clock() < over:
            probe = prepare(tick)
        while (now := clock()) < due:
            if wait(min((due - now) / 1e9, LONGEST_WAIT_S)):
                return
        yield Turn(tick, now, probe) if now < over else Turn(tick, None, None)
