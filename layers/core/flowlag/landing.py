"""Landing: what one delivery to our Lambda shows at once, before the run is reconciled."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from typing import TYPE_CHECKING

from flowlag.observation import Observation, observe
from flowlag.probe import ProbeFilter, Sifted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowlag.instants import Micros
    from flowlag.plan import RunPlan


@dataclass(frozen=True, slots=True)
class Landed:
    """One delivery, told apart. `digest` names it: the same events give the same one."""

    digest: str
    observations: tuple[Observation, ...]
    sifted: Sifted


def land(
    plan: RunPlan, arm_name: str, event_ids: Sequence[str], messages: Iterable[str], received_at: Micros
) -> Landed:
    """Tell the events of one delivery apart, which our Lambda received at once; ids and messages in one order."""
    arm = plan.arm(arm_name)
    sifted = ProbeFilter.of(plan).sift(zip(event_ids, messages, repeat(received_at)))
    observations = tuple(
        observe(probe, plan, arm, event_id=event.event_id, received_at=event.delivered_at)
        for event, probe in sifted.probes
    )
    return Landed(digest(event_ids), observations, sifted)


def digest(event_ids: Iterable[str]) -> str:
    """A name for a delivery: 32 hex digits of its event ids."""
    return sha256("\n".join(event_ids).encode()).hexdigest()[:32]
