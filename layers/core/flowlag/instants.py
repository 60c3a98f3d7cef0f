"""Instants: integer microseconds since the Unix epoch, UTC."""

from __future__ import annotations

type Micros = int
"""An instant: integer microseconds since the Unix epoch, UTC."""


def seconds_between(later: Micros | None, earlier: Micros | None) -> float | None:
    """`later - earlier` in seconds, negative where it is negative; None where either is unknown."""
    if later is None or earlier is None:
        return None
    return (later - earlier) / 1_000_000
