"""Numbers of the page as people read them."""

from __future__ import annotations

from typing import Final

from flowlag_report.words import counted

__all__ = ["counted", "duration", "percent", "signed"]

MINUS: Final = "\N{MINUS SIGN}"


def duration(seconds: float) -> str:
    """To the nearest second: 18 s, 5 min 26 s, 10 min."""
    minutes, rest = divmod(round(seconds), 60)
    parts = ((minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def signed(number: float, decimals: int = 0) -> str:
    """With its sign, and a minus that is one."""
    return f"{number:+,.{decimals}f}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share with three digits: 29.0 %, 0.129 %."""
    return f"{100 * share:#.3g} %"
