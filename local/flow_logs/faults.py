"""What is to go wrong on this machine as a region, so that a test can hold flowlag against it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import TYPE_CHECKING, Final

from flowlag.delivery import Disturbance
from flowlag.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults(Disturbance):
    """The faults of the flow-log service, of the wire that it watches, and of AWS's APIs; none, if nothing is said.

    Attributes:
        wire_loss: share of the packets that leave the sender and never reach the target, from 0 to 1.
        loss: share of the records that are never delivered, from 0 to 1.
        twice: share of the deliveries that happen twice: the same records again 1.5 s (of service time) later, as
            further log events, or as a second object with another name.
        late: share of the deliveries that are late, by a quarter of an hour (of service time) on average.
        after_deletion: what a deleted flow log had collected goes on coming, one delivery a burst until all of it
            has. Otherwise what is due in the next burst comes, and the rest never.
        truncated: every second object in S3 ends in its middle. AWS never sends an object again, and nor does this
            service: the records behind the cut are lost, and all of them in Parquet, whose directory is its end.
        throttled: so many attempts of every API call that a role makes are refused: AWS is asked too often.
        seed: which packets and records get lost.
    """

    wire_loss: float = 0.0
    after_deletion: bool = False
    truncated: bool = False
    throttled: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        Disturbance.__post_init__(self)  # in a class with slots, `super()` is not this one's
        if not 0 <= self.wire_loss <= 1:
            raise InvalidRequest(f"wire_loss is a share from 0 to 1, not {self.wire_loss}")
        if self.throttled < 0:
            raise InvalidRequest(f"throttled is a number of attempts, not {self.throttled}")

    def spare[Record](self, records: Sequence[Record], window: str) -> list[Record]:
        """The records of a window that are not lost: the same ones whenever the window is named again."""
        chance = Random(f"{self.seed} {window}")  # noqa: S311 - which records get lost is no secret
        return [record for record in records if chance.random() >= self.loss]

    def to_json(self) -> str:
        """The faults in one word of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> Faults:
        """Read what `to_json` wrote; what is left out is no fault.

        Raises:
            InvalidRequest: it is no JSON object of faults.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            known = ", ".join(each.name for each in fields(cls))
            raise InvalidRequest(f"faults are a JSON object with some of {known}, not {text:.60}") from None


NONE: Final = Faults()
