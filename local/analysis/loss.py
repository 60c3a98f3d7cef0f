"""What became of the probes: told apart by the ledger, the capture and the flow records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowlag.stamp import UNSENDABLE_PORT, due_at, encode
from local.analysis.spread import MICROS, Spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from local.sources import SentTicks, Series, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What became of the probes; None where no ledger, or no capture, was given that could tell.

    `sent + never_sent + expected_missing` is the range of the ledger, and
    `sent = recorded + missing_in_range + outside_range`.

    Attributes:
        recorded: ticks with a flow record.
        duplicates: records beyond the first of the same tick in the same flow log.
        sent: ticks sent, by the ledger.
        never_sent: ticks of the ledger's range that it did not send.
        never_sent_spacing_s: from one such tick to the next.
        expected_missing: ticks that are not sent because their source port is 0.
        seen: probes captured at the target.
        lost_on_wire: sent and not captured.
        missing_in_range: sent between the first and the last recorded tick, and without a record.
        outside_range: sent before the first or after the last recorded tick.
        not_in_ledger: records of ticks that the ledger did not send; they are part of no other number.
    """

    recorded: int
    duplicates: int
    sent: int | None = None
    never_sent: int | None = None
    never_sent_spacing_s: Spread | None = None
    expected_missing: int | None = None
    seen: int | None = None
    lost_on_wire: int | None = None
    missing_in_range: int | None = None
    outside_range: int | None = None
    not_in_ledger: int | None = None


def ticks_of(numbers: AbstractSet[int]) -> Whole:
    """A set of ticks as an ordered column."""
    return np.sort(np.fromiter(numbers, np.int64, len(numbers)))


def loss_of(
    series: Sequence[Series],
    ledger: SentTicks | None,
    captured: AbstractSet[int] | None,
    *,
    duplicates: int,
    not_in_ledger: int,
) -> Loss:
    """Account for every tick of the ledger, or without one for what was recorded.

    Args:
        series: of the flow logs, one row a tick, all in the ledger where there is one.
        ledger: what the sender sent.
        captured: the ticks that arrived at the target.
        duplicates: how many rows there were beyond one a tick.
        not_in_ledger: how many rows there were of other ticks.
    """
    if ledger is None:
        seen = None if captured is None else len(captured)
        return Loss(recorded=sum(map(len, series)), duplicates=duplicates, seen=seen)
    sent = ticks_of(ledger.sent)
    unsent = np.setdiff1d(np.arange(ledger.first, ledger.last + 1), sent, assume_unique=True)
    never_sent = [tick for tick in unsent.tolist() if encode(tick) != UNSENDABLE_PORT]
    recorded = np.unique(np.concatenate([each.ticks for each in series]))
    unrecorded = np.setdiff1d(sent, recorded, assume_unique=True)
    in_range = int(((unrecorded > recorded[0]) & (unrecorded < recorded[-1])).sum())
    seen = None if captured is None else len(ledger.sent & captured)
    return Loss(
        sent=len(sent),
        never_sent=len(never_sent),
        never_sent_spacing_s=_spacing([due_at(tick, ledger.rate) for tick in never_sent]),
        expected_missing=len(unsent) - len(never_sent),
        seen=seen,
        lost_on_wire=None if seen is None else len(sent) - seen,
        recorded=len(recorded),
        missing_in_range=in_range,
        outside_range=len(unrecorded) - in_range,
        duplicates=duplicates,
        not_in_ledger=not_in_ledger,
    )


def _spacing(instants: Sequence[int]) -> Spread | None:
    """From one instant to the next, in seconds."""
    return Spread.of((np.diff(np.array(instants, np.int64)) / MICROS).tolist())
