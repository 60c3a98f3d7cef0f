"""From packets to flow records, as AWS documents them; no I/O, no clock.

A packet belongs to a flow, a flow to the capture windows it was seen in, and a window's flows become its records.
When windows end and when they are delivered is the delivery model's business (`flowlag.delivery`).
"""

from __future__ import annotations

import struct
from bisect import insort
from dataclasses import dataclass, field, replace
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from flowlag.record import NODATA, OK, FlowRecord, RecordFormat, Value
from local.flow_logs.faults import NONE, Faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowlag.delivery import Schedule
    from flowlag.instants import Micros

INGRESS: Final = "ingress"
EGRESS: Final = "egress"

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_PORTS = struct.Struct("!HH")
_FRAGMENT_OFFSET = 0x1FFF
_TCP = 6
_UDP = 17
_TCP_HEADER_BYTES = 20
_TCP_FLAGS_AT = 13
_TCP_FLAGS = 0x3F
_ACK = 16
_SAME_VPC = 1
"""A value of `traffic-path`: through another resource in the same VPC."""


# ---------------------------------------------------------------- packets
class Flow(NamedTuple):
    """What tells one flow from another: the 5-tuple, and which way it passes the interface."""

    source: str
    destination: str
    srcport: int
    dstport: int
    protocol: int
    direction: str


class Packet(NamedTuple):
    """A packet as the interface saw it.

    Attributes:
        at_ns: when, in nanoseconds since the epoch.
        length: its bytes, from the IP header on.
        tcp_flags: 0 where it is not TCP.
    """

    at_ns: int
    flow: Flow
    length: int
    tcp_flags: int


def parse_packet(data: bytes, at_ns: int, direction: str) -> Packet | None:
    """Read an IPv4 packet from its header on; None if it is none.

    Ports are 0 where a packet has none: other protocols, and every fragment but the first.
    """
    if len(data) < _IPV4.size or data[0] >> 4 != 4:  # noqa: PLR2004 - IP version 4
        return None
    _, _, length, _, fragment, _, protocol, _, source, destination = _IPV4.unpack_from(data)
    transport = b"" if fragment & _FRAGMENT_OFFSET else data[(data[0] & 0x0F) * 4 :]
    has_ports = protocol in (_TCP, _UDP) and len(transport) >= _PORTS.size
    srcport, dstport = _PORTS.unpack_from(transport) if has_ports else (0, 0)
    has_flags = protocol == _TCP and len(transport) >= _TCP_HEADER_BYTES
    return Packet(
        at_ns=at_ns,
        flow=Flow(_dotted(source), _dotted(destination), srcport, dstport, protocol, direction),
        length=length,
        tcp_flags=transport[_TCP_FLAGS_AT] & _TCP_FLAGS if has_flags else 0,
    )


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))


# ---------------------------------------------------------------- windows
@dataclass(slots=True)
class Traffic:
    """What a flow did within one capture window."""

    packets: int = 0
    bytes: int = 0
    tcp_flags: int = 0

    def add(self, packet: Packet) -> None:
        """Count a packet."""
        self.packets += 1
        self.bytes += packet.length
        self.tcp_flags |= packet.tcp_flags


@dataclass(frozen=True, slots=True)
class Window:
    """A capture window, in microseconds: [start, end), and its traffic by flow.

    `labelled` is the instant that its records name as their `start`.
    """

    start: Micros
    end: Micros
    labelled: Micros
    flows: dict[Flow, Traffic] = field(default_factory=dict)

    @property
    def label(self) -> int:
        """What its records carry as `start`: whole seconds."""
        return self.labelled // 1_000_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """Windows that become visible together, from the instant `at` on."""

    at: Micros
    windows: list[Window]


class Pipeline:
    """One flow log's way from packets to deliveries, since it was first seen.

    Every packet is in exactly one window. For it to be in its own, give it before asking what is due at a later
    instant: one that comes when its window has left is counted in the next window to leave.
    """

    def __init__(self, schedule: Schedule, since: Micros, faults: Faults = NONE) -> None:
        self._schedule = schedule
        self._since = since
        self._faults = faults
        self._open: dict[Micros, Window] = {}
        self._next_window = schedule.window_start(since)
        self._next_burst = schedule.burst_after(since)
        self._dealt: list[Delivery] = []
        self._deleted_at: Micros | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether the flow log was deleted and nothing will follow."""
        return self._is_over and not self._dealt

    @property
    def next_due(self) -> Micros:
        """When `due` has something to do next."""
        return self._dealt[0].at if self._dealt else self._next_burst

    def add(self, packet: Packet) -> None:
        """Count a packet, unless it is older than the flow log."""
        at = packet.at_ns // 1_000
        if at >= self._since:
            counted_at = self._schedule.counted_at(at, _share(packet.flow))
            start = max(self._schedule.window_start(counted_at), self._next_window)
            self._window(start).flows.setdefault(packet.flow, Traffic()).add(packet)

    def delete(self, at: Micros) -> None:
        """The flow log was deleted: of the windows that ended before, those leave that the next burst takes.

        With the fault `after_deletion` they all do, one delivery a burst. Told again, it changes nothing.
        """
        if self._deleted_at is None:
            self._deleted_at = at

    def due(self, now: Micros) -> list[Delivery]:
        """The deliveries whose time has come; each is told once."""
        while self._next_burst <= now and not self._is_over:
            self._burst(self._next_burst)
            self._next_burst = self._schedule.burst_after(self._next_burst)
        due = [delivery for delivery in self._dealt if delivery.at <= now]
        del self._dealt[: len(due)]
        return due

    def _burst(self, at: Micros) -> None:
        is_deleted = self._deleted_at is not None
        is_lingering = is_deleted and self._faults.after_deletion
        gap = round(self._schedule.preset.delivery_gap_s * 1_000_000)
        dealt = self._schedule.deliveries(self._leaving(at))
        for position, starts in enumerate(dealt[:1] if is_lingering else dealt):
            self._deal(Delivery(at + position * gap, [self._leave(start) for start in starts]))
        self._is_over = is_deleted and not (is_lingering and self._is_collected(self._next_window))

    def _leaving(self, burst_at: Micros) -> list[Micros]:
        starts = []
        start = self._next_window
        while self._is_collected(start) and self._schedule.is_due(start, burst_at):
            starts.append(start)
            start = self._schedule.window_end(start)
        return starts

    def _is_collected(self, start: Micros) -> bool:
        """Whether a window ended in the flow log's life."""
        return self._deleted_at is None or self._schedule.window_end(start) <= self._deleted_at

    def _deal(self, delivery: Delivery) -> None:
        chance = Random(f"{self._faults.seed} {delivery.at}")  # noqa: S311 - what befalls a delivery is no secret
        for at in self._schedule.arrivals(delivery.at, self._faults, chance.random):
            insort(self._dealt, replace(delivery, at=at), key=attrgetter("at"))

    def _window(self, start: Micros) -> Window:
        window = Window(start, self._schedule.window_end(start), self._schedule.label(start))
        return self._open.setdefault(start, window)

    def _leave(self, start: Micros) -> Window:
        window = self._window(start)
        del self._open[start]
        self._next_window = window.end
        return window


def _share(flow: Flow) -> float:
    """A flow's own share, in [0, 1), of a window's overlap."""
    return crc32(repr(flow).encode()) / 2**32


# ---------------------------------------------------------------- records
@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """The network interface that a flow log watches, and where it is."""

    interface_id: str
    account_id: str
    instance_id: str
    subnet_id: str
    vpc_id: str
    region: str
    az_id: str

    @property
    def resources(self) -> frozenset[str]:
        """What a flow log may be created on to watch this interface."""
        return frozenset({self.interface_id, self.subnet_id, self.vpc_id})


def records(window: Window, interface: Interface, record_format: RecordFormat) -> list[FlowRecord]:
    """A window's records: one for each flow, or the one that says that there was none."""
    common: Mapping[str, Value] = {
        "version": record_format.version,
        "account-id": interface.account_id,
        "interface-id": interface.interface_id,
        "instance-id": interface.instance_id,
        "subnet-id": interface.subnet_id,
        "vpc-id": interface.vpc_id,
        "region": interface.region,
        "az-id": interface.az_id,
        "start": window.label,
        "end": window.end // 1_000_000,
    }
    if not window.flows:
        return [FlowRecord({**common, "log-status": NODATA})]
    return [
        FlowRecord({**common, **_flow_fields(flow, traffic), "log-status": OK})
        for flow, traffic in window.flows.items()
    ]


def _flow_fields(flow: Flow, traffic: Traffic) -> Mapping[str, Value]:
    return {
        "srcaddr": flow.source,
        "dstaddr": flow.destination,
        "srcport": flow.srcport,
        "dstport": flow.dstport,
        "protocol": flow.protocol,
        "packets": traffic.packets,
        "bytes": traffic.bytes,
        "action": "ACCEPT",
        # "If a flow log entry consists of only ACK packets, the flag value is 0, not 16."
        "tcp-flags": 0 if traffic.tcp_flags == _ACK else traffic.tcp_flags,
        "type": "IPv4",
        "pkt-srcaddr": flow.source,
        "pkt-dstaddr": flow.destination,
        "flow-direction": flow.direction,
        "traffic-path": _SAME_VPC if flow.direction == EGRESS else None,
    }
