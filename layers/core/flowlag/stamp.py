"""The stamp: a send time carried in a TCP source port.

A *tick* is an instant at which a probe is due: `tick = floor(epoch seconds x rate)`. Its source port is
`tick mod 65536`, so a port names a tick only together with a reference. At one probe a second the ports repeat
after 65,536 s (18.2 h), at ten a second after 1.8 h.

Decoding takes the congruent tick nearest to the capture window that reported the probe. A flow record's `start`
labels that window and may lie up to a minute on either side of the packet, far less than half a horizon; the
seed's formula, which keeps the reference's quotient, is wrong for every record on the other side of a wrap.

This module also runs on the sender, under the system Python (3.9) of Amazon Linux 2023.
"""

from __future__ import annotations

from flowlag.errors import StampDisagreement

PORTS = 65_536
"""Distinct source ports, and so the horizon of a stamp in ticks."""

UNSENDABLE_PORT = 0
"""Port 0 is reserved and may be dropped on the way: its tick is skipped and listed as expected-missing."""

CLOCK_TOLERANCE_US = 2_000_000
"""How far the sender's clock may run ahead of the one that stamps deliveries."""

_MICROS = 1_000_000
_NANOS = 1_000_000_000


def tick_at(instant_ns: int, rate: int) -> int:
    """The tick due at or last due before `instant_ns` (nanoseconds since the epoch), at `rate` ticks a second."""
    return instant_ns * rate // _NANOS


def due_ns(tick: int, rate: int) -> int:
    """When `tick` is due, in nanoseconds since the epoch: the first nanosecond that belongs to it."""
    return -(-tick * _NANOS // rate)


def due_at(tick: int, rate: int) -> int:
    """When `tick` is due, in microseconds since the epoch, rounded down."""
    return tick * _MICROS // rate


def encode(tick: int) -> int:
    """The source port that carries `tick`."""
    return tick % PORTS


def decode(port: int, reference_at: int, rate: int) -> int:
    """The tick that `port` carries, given an instant (microseconds) less than half a horizon away from it.

    Exact on the half-open horizon: the tick lies in [reference - 32768, reference + 32768) ticks.
    """
    reference = reference_at * rate // _MICROS
    half = PORTS // 2
    return reference - half + (port - reference + half) % PORTS


def latest(port: int, not_after: int, rate: int) -> int:
    """The latest tick carried by `port` that is due at or before `not_after` (microseconds)."""
    bound = not_after * rate // _MICROS
    return bound - (bound - port) % PORTS


def decode_delivered(port: int, window_start: int, ingested_at: int, rate: int) -> int:
    """`decode` near the capture window, checked against the latest tick before the delivery.

    Raises:
        StampDisagreement: the two differ, so the record is older than a horizon or its clock is wrong; a guess
            would be off by 65,536 ticks.
    """
    near = decode(port, window_start, rate)
    last = latest(port, ingested_at + CLOCK_TOLERANCE_US, rate)
    if near != last:
        raise StampDisagreement(
            f"source port {port} is tick {near} by its capture window and tick {last} by its delivery: "
            f"the two are {abs(last - near) // PORTS} horizons apart"
        )
    return near
