"""Claims: a sender works for one run at a time.

Two runs at once on one interface would share its flow logs' quota, and each would see the other's traffic. A claim
lives as long as the execution that made it, so that nobody has to give it back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError
from flowlag.plan import VPC
from flowlag_aws.executions import RUNNING, status_of
from flowlag_aws.store import CLAIMS, claim_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowlag.plan import RunPlan
    from flowlag_aws.store import Store


class SenderBusy(FlowlagError):
    """The sender works for another run that is still alive."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a sender: a run, and the execution that the run belongs to."""

    run_id: str
    execution: str

    def to_bytes(self) -> bytes:
        """The claim as it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of_bytes(cls, data: bytes) -> Claim:
        """Read what `to_bytes` wrote."""
        return cls(**json.loads(data))


def claim_site(store: Store, plan: RunPlan) -> None:
    """Have the plan's sender work for its run, and its VPC where a flow log is to watch that. May be repeated.

    Two senders have a subnet each, but one VPC, whose flow logs are few.

    Raises:
        SenderBusy: it works for a run that lives, or another one claimed it at the same moment.
    """
    _claim(store, plan, plan.sender_instance_id)
    if any(plan.level(arm) == VPC for arm in plan.arms):
        _claim(store, plan, plan.vpc_id)


def _claim(store: Store, plan: RunPlan, resource: str) -> None:
    key, mine = claim_key(resource), Claim(plan.run_id, plan.execution)
    if store.put_new(key, mine.to_bytes()):
        return
    data, etag = store.get_with_etag(key)
    other = Claim.of_bytes(data)
    if other == mine:
        return
    if status_of(other.execution) == RUNNING or not store.replace(key, mine.to_bytes(), etag):
        busy_for = Claim.of_bytes(store.get(key)).run_id
        raise SenderBusy(
            f"{resource} works for run '{busy_for}', which has not ended: "
            "start this one later, or make the schedule's rate longer than a run"
        )


def claims(store: Store) -> Iterator[Claim]:
    """The latest claim of everything that was ever claimed."""
    for key in store.keys(CLAIMS):
        yield Claim.of_bytes(store.get(key))
