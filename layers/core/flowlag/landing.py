"""Landing: what one delivery to our Lambda shows at once, before the run is reconciled."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from flowlag.observation import Observation, observe
from flowlag.probe import ProbeFilter, Sifted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowlag.plan import RunPlan
    from flowlag.probe import Delivered


@dataclass(frozen=True, slots=True)
class Landed:
    """One delivery, told apart. `digest` names it: the same events give the same one."""

    digest: str
    observations: tuple[Observation, ...]
    sifted: Sifted


def land(plan: RunPlan, arm_name: str, events: Sequence[Delivered]) -> Landed:
    """Tell the events of a delivery apart; `delivered_at` of each is when our Lambda received it."""
    arm = plan.arm(arm_name)
    sifted = ProbeFilter.of(plan).sift(events)
    observations = tuple(
        observe(probe, plan, arm, event_id=event.event_id, received_at=event.delivered_at)
        for event, probe in sifted.probes
    )
    return Landed(digest(event_id for event_id, _, _ in events), observations, sifted)


def digest(event_ids: Iterable[str]) -> str:
    """A name for a delivery: 32 hex digits of its event ids."""
    return sha256("\n".join(event_ids).encode()).hexdigest()[:32]
