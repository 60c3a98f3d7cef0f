"""Numbers and names as people read them."""

from __future__ import annotations

from math import floor, isfinite
from typing import TYPE_CHECKING, Final

from flowlag.plan import AWS, LOCAL, SIMULATED

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES: Final[Mapping[str, str]] = {
    AWS: "These are AWS delays: AWS recorded, delivered and dated these flow records.",
    LOCAL: "These are local, not AWS, delays: a flow-log service on one machine delivered these flow records.",
    SIMULATED: "These are simulated, not AWS, delays: a model made these flow records, without packets.",
}

_MINUTE: Final = 60
_TENTHS_BELOW: Final = 100
_MINUS: Final = "\N{MINUS SIGN}"


def duration(seconds: float) -> str:
    """To the nearest second, below ten to a tenth: 5.4 s, 18 s, 5 min 26 s, 1 h 10 min. As page/words.js has it."""
    size = abs(seconds)
    tenths = floor(10 * size + 0.5)  # `round` takes halves to the even one, which browsers do not
    sign = _MINUS if seconds < 0 and tenths else ""
    if tenths < _TENTHS_BELOW:
        return f"{sign}{tenths / 10:.1f} s"
    minutes, rest = divmod(floor(size + 0.5), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return sign + " ".join(f"{number} {unit}" for number, unit in parts if number)


def counted(number: int, noun: str) -> str:
    """9,999 packets, 1 run."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def answer(place: str | None, to: str, delay: Mapping[str, float | None], n_runs: int) -> str:
    """The answer in a sentence.

    Args:
        place: where, as in "eu-west-1" or "4 regions"; None where that is not known.
        to: which flow log.
        delay: `p50, p95, max`; None where a percentile falls on a record that never came.
        n_runs: from how many runs.
    """
    begin = f"In {place}, half" if place else "Half"
    p50, p95 = delay["p50"], delay["p95"]
    half = "were not visible by the deadline" if p50 is None else f"were visible {duration(p50)} after the packet"
    most = "95 % not by the deadline" if p95 is None else f"95 % after {duration(p95)}"
    longest = delay["max"]
    end = f"; longest {duration(longest)}" if longest is not None and isfinite(longest) else ""
    return f"{begin} of the flow records to {to} {half}, {most}{end}; from {counted(n_runs, 'run')}."
