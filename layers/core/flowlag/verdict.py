"""The verdict of a run: may its numbers be used?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flowlag.reconcile import NEVER_SENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.reconcile import Counts

COMPLETE: Final = "complete"
"""Everything was measured. Lost records do not change that: loss is a result."""
PARTIAL: Final = "partial"
"""Something is missing for a reason of ours; what there is may be used with the reasons beside it."""
VOID: Final = "void"
"""Nothing can be said. Kept, and never averaged in."""

TOLERATED_NEVER_SENT = 0.01
"""The share of ticks that the sender may fail to send in a complete run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`complete`, `partial` or `void`, and why; a complete run needs no reasons."""

    verdict: str
    reasons: tuple[str, ...]


def judge(
    arms: Mapping[str, Counts | None],
    *,
    failures: Sequence[str] = (),
    ledger_closed: bool = True,
    capture_closed: bool = True,
    censored: Sequence[str] = (),
) -> Verdict:
    """Judge a run by its arms (None: the arm was not reconciled).

    Args:
        arms: arm to counts.
        failures: steps that failed, each in a sentence.
        ledger_closed: whether the sender ended in good order.
        capture_closed: whether the capture did, where there was to be one.
        censored: arms whose first delivery did not come before the deadline.
    """
    observed = [name for name, counts in arms.items() if counts and counts.observed]
    reasons = list(failures)
    reasons += [f"{name}: the arm was not reconciled" for name, counts in arms.items() if counts is None]
    reasons += [f"{name}: no probe was observed" for name, counts in arms.items() if counts and not counts.observed]
    reasons += [f"{name}: no first delivery before the deadline" for name in censored]
    if observed and not ledger_closed:
        reasons.append("the sender was cut short")
    if observed and not capture_closed:
        reasons.append("the capture was cut short, so that some loss on the wire may count as not recorded")
    reasons += [
        f"{name}: the sender missed {counts.missing[NEVER_SENT]} of {counts.ledger_ticks} ticks"
        for name, counts in arms.items()
        if counts and counts.missing.get(NEVER_SENT, 0) > TOLERATED_NEVER_SENT * counts.ledger_ticks
    ]
    if not observed:
        return Verdict(VOID, tuple(reasons))
    return Verdict(PARTIAL if reasons else COMPLETE, tuple(reasons))
