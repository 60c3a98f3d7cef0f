"""Reconciliation: every tick of a run's ledger is either observed or missing for a stated reason."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowlag.ledger import MISSED, SENT, SKIPPED, Ledger, LedgerEntry
from flowlag.observation import Observation, observe
from flowlag.stamp import UNSENDABLE_PORT, encode, tick_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flowlag.instants import Micros
    from flowlag.plan import Arm, RunPlan
    from flowlag.probe import Sifted, Unparsable

NEVER_SENT = "never_sent"
"""The ledger says that the sender did not send it."""
LOST_ON_WIRE = "lost_on_wire"
"""Sent, but the target's capture, which was watching, does not have it."""
NOT_RECORDED = "not_recorded"
"""Sent, and seen where there is a capture, but no flow record came by the deadline: a censored observation."""
EXPECTED_MISSING = "expected_missing"
"""Its source port is 0, which is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of an arm's ticks: `ledger_ticks = observed + sum(missing)`.

    The range begins at the first tick that the flow log recorded, since before it no one can tell a lost record
    from a flow log that was not yet collecting; ticks before it are counted apart.
    """

    ledger_ticks: int
    observed: int
    missing: Mapping[str, int]
    before_first_record: int
    duplicates: int
    not_in_ledger: int
    stale: int
    foreign: int
    nodata: int
    skipdata: int
    unparsable: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """An arm, closed: its final observations in order of tick, its counts, and what could not be read."""

    observations: tuple[Observation, ...]
    counts: Counts
    unparsable: tuple[Unparsable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about an arm from every side.

    Attributes:
        ledger: what the sender did.
        seen: tick to the instant at which the target captured its probe; None where there was no capture.
        capture_closed: whether the capture was stopped in good order. One that was cut short says nothing about
            the ticks after the last one that it saw.
        delivered: what the destination holds, in any order.
        received: event id to the instant at which our Lambda got it.
        stop_requested_at: when the traffic was to end; bounds the ticks of a sender that was killed.
        flow_log_id: the flow log that delivered.
    """

    ledger: Ledger
    seen: Mapping[int, Micros] | None
    delivered: Sifted
    capture_closed: bool = True
    received: Mapping[str, Micros] = field(default_factory=dict)
    stop_requested_at: Micros | None = None
    flow_log_id: str | None = None


def reconcile(plan: RunPlan, arm: Arm, evidence: Evidence) -> Reconciled:
    """Join ledger, capture and deliveries of one arm. The same evidence gives the same result in any order."""
    entries = {entry.tick: entry for entry in _ticks(plan, evidence)}
    sifted = evidence.delivered
    unparsable = tuple(sorted(set(sifted.unparsable)))
    # The earliest delivery of a probe is the one that counts.
    in_order = sorted(set(sifted.probes), key=lambda found: (found[0].delivered_at, found))
    observations: dict[int, Observation] = {}
    duplicates = not_in_ledger = 0
    for event, probe in in_order:
        entry = entries.get(probe.tick)
        if entry is None:
            not_in_ledger += 1
        elif probe.tick in observations:
            duplicates += 1
        else:
            observations[probe.tick] = observe(
                probe,
                plan,
                arm,
                event_id=event.event_id,
                flow_log_id=evidence.flow_log_id,
                sent_at=None if entry.sent_ns is None else entry.sent_ns // 1_000,
                seen_at=(evidence.seen or {}).get(probe.tick),
                ingested_at=event.delivered_at,
                received_at=evidence.received.get(event.event_id),
            )
    first = min(observations, default=min(entries, default=0))
    in_range = [entry for tick, entry in entries.items() if tick >= first]
    missing = _missing((entry for entry in in_range if entry.tick not in observations), evidence)
    counts = Counts(
        ledger_ticks=len(in_range),
        observed=len(observations),
        missing=missing,
        before_first_record=len(entries) - len(in_range),
        duplicates=duplicates,
        not_in_ledger=not_in_ledger,
        stale=sifted.stale,
        foreign=sifted.foreign,
        nodata=sifted.nodata,
        skipdata=sifted.skipdata,
        unparsable=len(unparsable),
    )
    return Reconciled(tuple(observations[tick] for tick in sorted(observations)), counts, unparsable)


def _ticks(plan: RunPlan, evidence: Evidence) -> Iterable[LedgerEntry]:
    """The ledger's ticks, and those that a killed sender did not live to see."""
    entries = evidence.ledger.entries
    yield from entries
    if evidence.ledger.closed or not entries or evidence.stop_requested_at is None:
        return
    stop = tick_at(evidence.stop_requested_at * 1_000, plan.rate)
    for tick in range(entries[-1].tick + 1, stop + 1):
        port = encode(tick)
        yield LedgerEntry(tick, port, None, SKIPPED if port == UNSENDABLE_PORT else MISSED)


def _missing(unobserved: Iterable[LedgerEntry], evidence: Evidence) -> dict[str, int]:
    watched = _watched(evidence)
    reasons = Counter(_reason(entry, evidence.seen, watched) for entry in unobserved)
    return dict(sorted(reasons.items()))


def _watched(evidence: Evidence) -> float:
    """The tick up to which a probe that the capture does not have was lost on the wire."""
    if evidence.capture_closed:
        return math.inf
    return max(evidence.seen or (), default=-math.inf)


def _reason(entry: LedgerEntry, seen: Mapping[int, Micros] | None, watched: float) -> str:
    if entry.outcome == SKIPPED:
        return EXPECTED_MISSING
    if entry.outcome != SENT:
        return NEVER_SENT
    if seen is not None and entry.tick not in seen and entry.tick < watched:
        return LOST_ON_WIRE
    return NOT_RECORDED
