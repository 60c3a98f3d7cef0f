"""Where the flow-log service gets its packets from: the sender's interface, or the network in memory."""

from __future__ import annotations

import socket
import struct
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from local.flow_logs.records import EGRESS, INGRESS, Packet, parse_packet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.network.virtual import Host, InMemoryNetwork

_ETH_P_ALL = 0x0003
"""Outgoing packets are shown to sockets of every protocol only."""
_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35
"""Of <asm-generic/socket.h>, for the 64-bit machines that we run on; Python has no name for it."""
_TIMESPEC = struct.Struct("@qq")
_LONGEST_PACKET = 65_535
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""The service reads a few times a second; the kernel keeps what arrives meanwhile."""


class PacketSource(Protocol):
    """Packets as one network interface saw them."""

    def drain(self) -> list[Packet]:
        """The packets since the last call; those of every instant before this call are among them."""

    def close(self) -> None:
        """Stop capturing."""


class InterfaceCapture:
    """The packets that pass a host's interface, both ways, with the kernel's own timestamps."""

    def __init__(self, host: Host) -> None:
        # SOCK_DGRAM: the kernel takes the link header off. No protocol yet: the capture begins with `bind`.
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((host.interface, _ETH_P_ALL))

    def drain(self) -> list[Packet]:
        """The packets since the last call."""
        return [packet for packet in self._received() if packet]

    def _received(self) -> Iterator[Packet | None]:
        while True:
            try:
                data, ancillary, _, address = self._socket.recvmsg(
                    _LONGEST_PACKET, socket.CMSG_SPACE(_TIMESPEC.size)
                )
            except BlockingIOError:
                return
            _, protocol, packet_type, *_ = address
            if protocol == _ETH_P_IP:
                direction = EGRESS if packet_type == socket.PACKET_OUTGOING else INGRESS
                yield parse_packet(data, _timestamp_ns(ancillary), direction)

    def close(self) -> None:
        """Stop capturing."""
        self._socket.close()


def _timestamp_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    ((_, _, timespec),) = ancillary
    seconds: int
    nanoseconds: int
    seconds, nanoseconds = _TIMESPEC.unpack(timespec)
    return seconds * 1_000_000_000 + nanoseconds


class InMemoryCapture:
    """The packets of a network in memory, as the sender's interface would see them: all of them leave it."""

    def __init__(self, network: InMemoryNetwork) -> None:
        self._network = network
        self._transmitted: SimpleQueue[tuple[bytes, int]] = SimpleQueue()
        network.subscribe(self._take)

    def _take(self, packet: bytes, at_ns: int) -> None:
        self._transmitted.put((packet, at_ns))

    def drain(self) -> list[Packet]:
        """The packets since the last call."""
        transmitted = [self._transmitted.get_nowait() for _ in range(self._transmitted.qsize())]
        parsed = (parse_packet(data, at_ns, EGRESS) for data, at_ns in transmitted)
        return [packet for packet in parsed if packet]

    def close(self) -> None:
        """Stop capturing."""
        self._network.unsubscribe(self._take)
