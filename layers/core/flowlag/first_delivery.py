"""The first delivery of a newly created flow log: looked for by polling, timed by the service's own clock.

Polling brackets it between the last miss and the first hit; the ingestion time of the earliest record is then
exact. That no record came before the deadline is a result, not an error: a censored observation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowlag.instants import Micros
    from flowlag.plan import RunRequest
    from flowlag.probe import Sifted

WAITING: Final = "waiting"
DELIVERED: Final = "delivered"
EXPIRED: Final = "expired"

CLOCK_TOLERANCE_US: Final = 2_000_000
"""How far our clock and the service's may be apart, and how coarse the service's may be."""

_LOOKS_TO_GROW: Final = 16
"""They take the shortest interval beyond the longest. Growing on, a float overflows some 1,700 looks later."""


def t0(creation: Mapping[str, Any]) -> Micros:
    """When a flow log was created: our clock before the call, which the service's own time follows at once.

    Unless the service says that the flow log is older. Then a step that was retried got it from its first try, and
    the service's time is the only one.
    """
    before: Micros = creation["t0_before_call"]
    service: Micros | None = creation["t0_service"]
    return before if service is None or service > before - CLOCK_TOLERANCE_US else service


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDelivery:
    """What the looks so far have shown. Instants in microseconds.

    Attributes:
        polls: how many looks.
        status: `waiting`, `delivered` (a probe was seen) or `expired` (none before the deadline).
        last_miss_at: when the last look that found nothing was asked.
        first_hit_at: when the first look that found a probe was answered.
        first_record_at: ingestion of the earliest record of any kind.
        first_probe_at: ingestion of the earliest probe.
    """

    polls: int = 0
    status: str = WAITING
    last_miss_at: Micros | None = None
    first_hit_at: Micros | None = None
    first_record_at: Micros | None = None
    first_probe_at: Micros | None = None

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> FirstDelivery:
        """Read what `to_json` wrote; `{}` is the state before the first look."""
        return cls(**document)

    def to_json(self) -> dict[str, Any]:
        """The looks as plain JSON values."""
        return asdict(self)

    def looked(
        self, request: RunRequest, t0: Micros, found: Sifted, *, asked_at: Micros, answered_at: Micros
    ) -> FirstDelivery:
        """The state after a look that was asked and answered at the given instants.

        Args:
            request: the run's; says when the waiting ends.
            t0: when the flow log was created.
            found: what the destination holds.
            asked_at: our clock before the look.
            answered_at: our clock after it.
        """
        first_probe = min((event.delivered_at for event, _ in found.probes), default=None)
        seen = replace(
            self, polls=self.polls + 1, first_record_at=found.first_record_at, first_probe_at=first_probe
        )
        if first_probe is not None:
            return replace(seen, status=DELIVERED, first_hit_at=answered_at)
        deadline = t0 + request.first_delivery_timeout_s * 1_000_000
        return replace(seen, status=WAITING if answered_at < deadline else EXPIRED, last_miss_at=asked_at)

    def next_look_s(self, request: RunRequest) -> int:
        """How long to wait for the next look: half as long again each time, for looking is what costs.

        A look later than need be costs traffic and no precision.
        """
        grown = request.poll_interval_s * 1.5 ** min(self.polls, _LOOKS_TO_GROW)
        return min(request.longest_poll_interval_s, round(grown))
