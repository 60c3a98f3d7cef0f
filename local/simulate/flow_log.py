"""One flow log in virtual time: from when packets were sent to when their records were delivered.

The model is `flowlag.delivery.Schedule`, asked window by window and delivery by delivery; packets, of which there
are a hundred times as many, are looked up in its answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from flowlag.delivery import Disturbance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from flowlag.delivery import Schedule
    from flowlag.instants import Micros

type Whole = NDArray[np.int64]
"""A column of whole numbers: mostly instants in microseconds."""
type Flags = NDArray[np.bool_]
"""A column of what is so and what is not."""

NEVER: Final = 4 * 10**18
"""The instant of what does not happen: later than every other, whole seconds, and far enough from an overflow."""

MILLISECOND: Final = 1_000
"""To which CloudWatch Logs dates what it ingests."""
SECOND: Final = 1_000_000
"""To which S3 dates its objects."""

UNDISTURBED: Final = Disturbance()


def happens(instants: Whole) -> Flags:
    """Which of some instants are not NEVER."""
    return np.not_equal(instants, NEVER, dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """What became of packets in a flow log: aligned columns, one row a packet. Instants in microseconds.

    Attributes:
        window_start: the label of its capture window, in whole seconds, as its record carries it.
        window_end: the same of the window's end.
        delivery: which delivery its record was in, counted from the flow log's first.
        ingested_at: when it was delivered, as the destination dates it; NEVER without a record.
        again_at: when it was delivered again; NEVER if it was not.
        received_at: when the function that subscribes to the log group got it.
        is_late: whether its delivery was held back.
        is_lost: whether its record was lost, and else would have been delivered.
        first_at: when the flow log first delivered anything, as the destination dates it.
    """

    window_start: Whole
    window_end: Whole
    delivery: Whole
    ingested_at: Whole
    again_at: Whole
    received_at: Whole
    is_late: Flags
    is_lost: Flags
    first_at: Micros

    @property
    def is_delivered(self) -> Flags:
        """Which packets have a record that was delivered."""
        return happens(self.ingested_at)

    def known(self, packets: int, closed_at: Micros) -> Records:
        """What was delivered of the first so many packets until the run was closed."""
        columns = {name: getattr(self, name)[:packets] for name in self.__slots__ if name != "first_at"}
        for name in ("ingested_at", "again_at", "received_at"):
            columns[name] = np.where(columns[name] <= closed_at, columns[name], NEVER)
        return replace(self, **columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Deliveries:
    """The deliveries of a flow log, in the order in which they were due: aligned columns."""

    ingested_at: Whole
    again_at: Whole
    received_at: Whole
    is_late: Whole

    @classmethod
    def of(
        cls,
        schedule: Schedule,
        due_at: Sequence[Micros],
        disturbance: Disturbance,
        chance: Generator,
        clock: Micros,
    ) -> _Deliveries:
        """Let chance befall them."""
        rows = []
        for due in due_at:
            arrived_at, again_at = (*schedule.arrivals(due, disturbance, chance.random), NEVER)[:2]
            received_at = schedule.received_at(arrived_at, chance.random())
            rows.append((arrived_at // clock * clock, again_at // clock * clock, received_at, arrived_at != due))
        return cls(*np.array(rows, np.int64).reshape(-1, 4).T)


def record(
    schedule: Schedule,
    sent_at: Whole,
    *,
    since: Micros,
    until: Micros,
    chance: Generator,
    disturbance: Disturbance = UNDISTURBED,
    clock: Micros = MILLISECOND,
) -> Records:
    """Record packets in a flow log.

    Args:
        schedule: the flow log's.
        sent_at: when each packet passed, in microseconds, shape (n,); NEVER for one that did not.
        since: when the flow log was created: packets before it have no record.
        until: what later bursts deliver is left out.
        chance: decides about overlaps, losses, late and repeated deliveries.
        disturbance: how often they happen.
        clock: the resolution of the destination's clock, which cuts off: MILLISECOND or SECOND.
    """
    counted_at = sent_at + _lead(schedule, len(sent_at), chance)
    is_spared = chance.random(len(sent_at)) >= disturbance.loss
    dealt = list(schedule.delivered(since, until))
    starts = [start for _, windows in dealt for start in windows]
    labels = np.array([schedule.label(start) // SECOND * SECOND for start in starts], np.int64)
    ends = np.array([schedule.window_end(start) for start in starts], np.int64)
    delivery = np.repeat(np.arange(len(dealt)), np.array([len(windows) for _, windows in dealt], np.int64))
    deliveries = _Deliveries.of(schedule, [at for at, _ in dealt], disturbance, chance, clock)

    # One window follows the other: a packet is in the first whose end is later. Behind the last there is none.
    window = np.searchsorted(ends, counted_at, side="right")
    is_due = (window < len(ends)) & (sent_at >= since)
    is_recorded = is_due & is_spared
    window = np.where(is_recorded, window, len(ends))
    delivered = np.append(delivery, len(dealt))[window]
    return Records(
        window_start=np.append(labels, NEVER)[window],
        window_end=np.append(ends // SECOND * SECOND, NEVER)[window],
        delivery=delivered,
        ingested_at=np.append(deliveries.ingested_at, NEVER)[delivered],
        again_at=np.append(deliveries.again_at, NEVER)[delivered],
        received_at=np.append(deliveries.received_at, NEVER)[delivered],
        is_late=np.append(deliveries.is_late, 0)[delivered] > 0,
        is_lost=is_due & ~is_spared,
        first_at=int(deliveries.ingested_at.min(initial=NEVER)),
    )


def _lead(schedule: Schedule, packets: int, chance: Generator) -> Whole | int:
    """By how much later than it passed each packet is counted: `Schedule.counted_at`, of many."""
    overlap = schedule.counted_at(0, 1)
    return (chance.random(packets) * overlap).astype(np.int64) if overlap else 0
