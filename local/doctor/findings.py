"""What the doctor says: for each check what it looked at, its verdict, what it found, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Verdict(StrEnum):
    """What a check comes to."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "cannot tell"
    NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on some facts, each text one sentence. What is ok and has something to do is a hint."""

    verdict: Verdict
    found: str
    to_do: str = ""


def ok(found: str, hint: str = "") -> Judged:
    """Nothing is wrong; the hint says what is worth knowing all the same."""
    return Judged(Verdict.OK, found, hint)


def broken(found: str, to_do: str) -> Judged:
    """This keeps flow records from arriving, or flowlag from measuring them."""
    return Judged(Verdict.BROKEN, found, to_do)


def unknown(found: str, to_do: str) -> Judged:
    """It could not be looked at."""
    return Judged(Verdict.UNKNOWN, found, to_do)


def not_applicable(found: str, to_do: str = "") -> Judged:
    """There is nothing of the kind."""
    return Judged(Verdict.NOT_APPLICABLE, found, to_do)


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check looked at, and what it came to."""

    check: str
    looked_at: str
    judged: Judged

    def as_json(self) -> dict[str, str]:
        """The finding as plain JSON values."""
        return {
            "check": self.check,
            "looked_at": self.looked_at,
            "verdict": self.judged.verdict.value,
            "found": self.judged.found,
            "to_do": self.judged.to_do,
        }


_EXIT_CODES: Final = {Verdict.OK: 0, Verdict.BROKEN: 1, Verdict.UNKNOWN: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Every finding, in the order of a flow record's way. `run_id` is None where there is no run."""

    stack: str
    region: str
    run_id: str | None
    findings: Sequence[Finding]

    @property
    def verdict(self) -> Verdict:
        """The worst one: broken, else something that could not be looked at, else ok."""
        met = {each.judged.verdict for each in self.findings}
        return next((each for each in (Verdict.BROKEN, Verdict.UNKNOWN) if each in met), Verdict.OK)

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong, 1: something is broken, 2: it could not look everywhere, and found nothing wrong."""
        return _EXIT_CODES[self.verdict]

    def as_json(self) -> dict[str, Any]:
        """The diagnosis as plain JSON values."""
        return {
            "stack": self.stack,
            "region": self.region,
            "run_id": self.run_id,
            "verdict": self.verdict.value,
            "checks": [each.as_json() for each in self.findings],
        }
