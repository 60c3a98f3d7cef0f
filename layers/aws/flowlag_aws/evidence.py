"""Evidence: what the sender and the target uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowlag.capture import parse_capture
from flowlag.ledger import Ledger, parse_ledger

if TYPE_CHECKING:
    from flowlag.instants import Micros
    from flowlag.plan import RunPlan
    from flowlag_aws.store import Store


def read_ledger(store: Store, plan: RunPlan) -> Ledger:
    """A run's ledger; an empty, open one if the sender never uploaded any."""
    text = store.find_text(plan.run_id, "ledger.csv")
    return Ledger((), closed=False) if text is None else parse_ledger(text)


def read_capture(store: Store, plan: RunPlan) -> dict[int, Micros] | None:
    """Tick to when the target saw its probe; None if there is no capture."""
    text = store.find_text(plan.run_id, "capture.csv")
    return None if text is None else parse_capture(text, plan.rate)
