"""An arm as far as it is: what its control documents say of its flow log and its first delivery.

They say it on every cloud, and in the same words, whatever the history tells of what goes on inside the Map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flowlag.first_delivery import DELIVERED, EXPIRED, WAITING, FirstDelivery, t0
from flowlag.plan import AWS, CLOUDWATCH, XEN
from local.doctor.checks.arrival import longest_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowlag.instants import Micros
    from flowlag.plan import Arm, RunPlan
    from local.watch.history import Failure
    from local.watch.outlook import Outlook

__all__ = ["DELIVERED", "EXPIRED", "FAILED", "NO_LOOK", "PLANNED", "WAITING", "ArmSeen", "Usual", "created"]

PLANNED: Final = "planned"
FAILED: Final = "failed"
"""How far an arm is, beside what FirstDelivery calls it. The first: it has no flow log yet."""

_MEASURED: Final = (XEN, CLOUDWATCH, 600)
"""The one combination of which Episode 18 measured the delays."""


NO_LOOK: Final = FirstDelivery()
"""What is known before the first look."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Up to how long the first records take, and whether that was ever measured."""

    longest_s: float
    is_measured: bool

    @classmethod
    def of(cls, plan: RunPlan, arm: Arm) -> Usual | None:
        """By the delivery model; None on a machine of one's own, where time may run faster."""
        if plan.source != AWS:
            return None
        what = (plan.hypervisor, arm.destination, arm.aggregation_interval_s)
        return cls(longest_s(plan.hypervisor, arm), what == _MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSeen:
    """An arm, as it was seen.

    Attributes:
        flow_log_id: None where it has none yet.
        created_at: when the flow log was created.
        looks: what the looks for its first delivery have shown.
        usual: how long that takes.
        failure: that the arm failed; None where it did not.
        outlook: what it has delivered, where it is to CloudWatch Logs and that was read.
        unread: why that cannot be read, and since when; None where it can.
    """

    name: str
    flow_log_id: str | None = None
    created_at: Micros | None = None
    looks: FirstDelivery = NO_LOOK
    usual: Usual | None = None
    failure: Failure | None = None
    outlook: Outlook | None = None
    unread: Failure | None = None

    @property
    def status(self) -> str:
        """How far it is: `PLANNED`, `WAITING`, `DELIVERED`, `EXPIRED` or `FAILED`."""
        if self.failure:
            return FAILED
        return self.looks.status if self.flow_log_id else PLANNED

    def waited_s(self, at: Micros) -> float | None:
        """From the creation to the first record, or to an instant as long as it is waited for."""
        if self.created_at is None:
            return None
        ends = {DELIVERED: self.looks.first_record_at, EXPIRED: self.looks.last_miss_at}
        return max(0, (ends.get(self.looks.status) or at) - self.created_at) / 1_000_000


def created(creation: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of an arm CreateFlowLog wrote down."""
    return {} if creation is None else {"flow_log_id": creation["flow_log_id"], "created_at": t0(creation)}
