"""What several checks say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.doctor.findings import broken, ok, unknown
from local.instants import iso

if TYPE_CHECKING:
    from flowlag.instants import Micros
    from local.doctor.findings import Judged
    from local.doctor.policies import Answer

AGAIN: Final = "Abort this run and start another one, which makes its own."
DEPLOY: Final = "Deploy the stack again."
NO_PLAN: Final = "There is no run with a plan, and so nothing of the kind."


def refused(why: str) -> Judged:
    """What a check comes to whose facts AWS did not tell."""
    return unknown(f"It could not be looked at: {why}.", grant())


def grant() -> str:
    """What to do where AWS refuses to tell."""
    return "Ask with credentials that may read: AWS's policy ReadOnlyAccess does."


def allowed(given: Answer, good: str, bad: str, to_do: str) -> Judged:
    """What a policy's answer comes to.

    Args:
        given: the answer.
        good: the sentence that holds if it allows.
        bad: how a sentence begins if it does not; the answer's own words end it.
        to_do: what to do then.
    """
    match given.is_allowed:
        case True:
            return ok(good)
        case False:
            return broken(f"{bad}: {given.why}.", to_do)
        case _:
            return unknown(f"It cannot be told whether this holds: {good[:-1]}; {given.why}.", to_do)


def to_the_second(at: Micros) -> str:
    """An instant, cut to a second, as people read it."""
    return iso(at // 1_000_000 * 1_000_000)
