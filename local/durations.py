"""Durations as people write and read them: 30s, 5m, 1h30m, or plain seconds."""

from __future__ import annotations

import re
from math import ceil
from typing import Final

_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER: Final = r"\d+(?:\.\d+)?"
_PLAIN: Final = re.compile(_NUMBER)
_PARTS: Final = re.compile("".join(f"(?:({_NUMBER}){unit})?" for unit in _SECONDS))
LONGEST_S: Final = 366 * 86_400
_SHORTEST_S: Final = 1e-6


def seconds_of(text: str) -> float:
    """Read a duration.

    Raises:
        ValueError: it is none, or it is shorter than a microsecond or longer than a year.
    """
    if _PLAIN.fullmatch(text):
        seconds = float(text)
    elif text and (parts := _PARTS.fullmatch(text)):
        seconds = sum(float(part) * unit for part, unit in zip(parts.groups("0"), _SECONDS.values(), strict=True))
    else:
        raise ValueError(f"'{text}' is not a duration")
    if not _SHORTEST_S <= seconds <= LONGEST_S:
        raise ValueError(f"'{text}' is shorter than a microsecond or longer than a year")
    return seconds


def in_units(seconds: float) -> str:
    """A duration in days, hours, minutes and seconds, rounded up to a whole second: 1h 30m."""
    rest = ceil(round(seconds, 6))
    parts = []
    for unit, size in _SECONDS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts) or "0s"
