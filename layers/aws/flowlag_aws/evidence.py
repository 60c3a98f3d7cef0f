"""Evidence: what the sender and the target uploaded and said, and what the flow logs delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flowlag.capture import Capture, parse_capture
from flowlag.first_delivery import t0
from flowlag.ledger import Ledger, parse_ledger
from flowlag.probe import ProbeFilter
from flowlag_aws import flow_log_objects, log_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowlag.instants import Micros
    from flowlag.plan import RunPlan
    from flowlag.probe import Sifted
    from flowlag_aws.store import Store


def read_ledger(store: Store, plan: RunPlan) -> Ledger:
    """A run's ledger; an empty, open one if the sender never uploaded any."""
    text = store.find_text(plan.run_id, "ledger.csv")
    return Ledger((), closed=False) if text is None else parse_ledger(text)


def read_capture(store: Store, plan: RunPlan) -> Capture | None:
    """A run's capture; None if the target never uploaded any."""
    text = store.find_text(plan.run_id, "capture.csv")
    return None if text is None else parse_capture(text, plan.rate)


class Clocks(NamedTuple):
    """By how many seconds the clocks of sender and target were ahead of NTP's; None where they could not say."""

    sender_s: float | None
    target_s: float | None


def read_clocks(store: Store, plan: RunPlan) -> Clocks:
    """What the two machines said of their clocks when the traffic ended."""
    said = store.find_control(plan.run_id, "traffic") or {}
    return Clocks(*(said.get(job, {}).get("clock_offset_s") for job in ("sending", "capture")))


def read_deliveries(plan: RunPlan, creation: Mapping[str, Any], *, until: Micros | None = None) -> Sifted:
    """What the flow log of an arm has delivered, up to `until`.

    Args:
        plan: the run.
        creation: what CreateFlowLog wrote down: the flow log, its T0 and its destination.
        until: when the run was closed, if it was.
    """
    probes = ProbeFilter.of(plan, since=t0(creation))
    if "log_group" in creation:
        return log_groups.sift(creation["log_group"], probes, until=until)
    return flow_log_objects.sift(
        creation["bucket"], creation["prefix"], creation["flow_log_id"], probes, until=until
    )
