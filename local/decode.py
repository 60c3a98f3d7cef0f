"""`flowlag decode`: the tick that a source port means near a given time, and the two it could mean instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flowlag.errors import InvalidRequest
from flowlag.stamp import PORTS, decode, due_at
from local.instants import has_zone, iso, of_iso

if TYPE_CHECKING:
    from flowlag.instants import Micros

_EPOCH_SECONDS: Final = re.compile(r"\d+(\.\d+)?", re.ASCII)
_EARLIEST: Final = of_iso("1970-01-03")
_LATEST: Final = of_iso("9999-12-29")
"""The calendar as far as it has room for the candidates, which lie up to 27.4 hours away."""


class Near(NamedTuple):
    """A reference time, and whether it came without a zone and was taken as UTC."""

    at: Micros
    zone_assumed: bool

    @classmethod
    def of(cls, text: str) -> Near:
        """Read ISO 8601 or epoch seconds.

        Raises:
            InvalidRequest: it is neither, or lies outside the calendar.
        """
        try:
            if _EPOCH_SECONDS.fullmatch(text):
                near = cls(int(Decimal(text) * 1_000_000), zone_assumed=False)
            else:
                near = cls(of_iso(text), zone_assumed=not has_zone(text))
        except ValueError:
            raise InvalidRequest(
                f"'{text}' is not a time: give ISO 8601, as in 2022-03-03T19:00:40Z, or epoch seconds"
            ) from None
        if not _EARLIEST <= near.at <= _LATEST:
            raise InvalidRequest(f"'{text}' is too far away: give a time from {iso(_EARLIEST)} to {iso(_LATEST)}")
        return near


class Candidate(NamedTuple):
    """A tick, and the instant at which it is due."""

    tick: int
    due_at: Micros

    @classmethod
    def of(cls, tick: int, rate: int) -> Candidate:
        """The tick with its instant."""
        return cls(tick, due_at(tick, rate))

    def as_json(self) -> dict[str, Any]:
        """The tick, its instant in ISO 8601, and in epoch seconds."""
        return {"tick": self.tick, "due_at": iso(self.due_at), "epoch_s": self.due_at / 1_000_000}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a source port means near a time: its tick, and the candidates one horizon before and after it."""

    port: int
    near: Near
    rate: int
    nearest: Candidate
    previous: Candidate
    next: Candidate

    @classmethod
    def of(cls, port: int, near: Near, rate: int) -> Decoded:
        """Decode `port`, 0 to 65,535, at `rate` ticks a second."""
        tick = decode(port, near.at, rate)
        before, after = tick - PORTS, tick + PORTS
        return cls(port, near, rate, *(Candidate.of(each, rate) for each in (tick, before, after)))

    @property
    def horizon_s(self) -> float:
        """After how many seconds the ports repeat."""
        return PORTS / self.rate

    def as_json(self) -> dict[str, Any]:
        """One object: the question, the nearest tick, and the two beside it."""
        return {
            "port": self.port,
            "near": iso(self.near.at),
            "zone_assumed": self.near.zone_assumed,
            "rate": self.rate,
            "horizon_s": self.horizon_s,
            **self.nearest.as_json(),
            "previous": self.previous.as_json(),
            "next": self.next.as_json(),
        }
