"""Packets: what a probe is, how it leaves the sender, and how it is seen at the target.

scapy writes and reads the probes, and is imported here only. It does not send them: its `send()` opens and closes
a packet socket each time, which takes longer than all the rest and costs a sender of one probe a second a whole
second every few minutes.
"""

from __future__ import annotations

import socket
import struct
from typing import IO, TYPE_CHECKING

from scapy.error import Scapy_Exception
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
from scapy.utils import PcapReader

from flowlag.capture import Seen
from flowlag.errors import FlowlagError
from flowlag.signature import HEADERS_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sender.order import Order

RECEIVE_TIMEOUT_S = 0.2
"""How long a capture waits for the next packet before it looks up."""

_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35  # the `socket` module does not name it
_TIMESPEC = struct.Struct("@ll")


class NoRawSocket(FlowlagError):
    """The kernel lets this process neither send nor capture packets."""


def build(order: Order, srcport: int) -> bytes:
    """The probe with source port `srcport`: a whole IPv4 packet, a TCP SYN without options.

    Its payload begins with who sends it, for whoever meets it on the wire.
    """
    payload = f"flowlag {order.run_id} ".encode().ljust(order.payload_bytes, b".")[: order.payload_bytes]
    return bytes(
        IP(src=order.source, dst=order.target, flags="DF")
        / TCP(sport=srcport, dport=order.port, flags="S")
        / Raw(payload)
    )


class Wire:
    """One raw socket, held open. Call it with a probe to send it."""

    def __init__(self, order: Order) -> None:
        # Not connected: an ICMP error would make a connected socket refuse the probe after the one it is about.
        self._socket = _raw_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._destination = (order.target, 0)

    def __call__(self, probe: bytes) -> None:
        """Send `probe` now.

        Raises:
            OSError: the kernel refuses it.
        """
        self._socket.sendto(probe, self._destination)


class Sniffer:
    """Sees the probes of an order arrive, as tcpdump would: before any firewall, with the kernel's receive time."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._socket = _raw_socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.settimeout(RECEIVE_TIMEOUT_S)

    def receive(self) -> Seen | None:
        """The probe that arrives next; None when nothing did for a moment, or something else."""
        try:
            packet, ancillary, _, address = self._socket.recvmsg(65_535, socket.CMSG_SPACE(_TIMESPEC.size))
        except socket.timeout:  # of Python 3.9; TimeoutError is another there
            return None
        if address[2] == socket.PACKET_OUTGOING or len(packet) != HEADERS_BYTES + self._order.payload_bytes:
            return None  # by far the most common case on a busy target: told by its length, before any parsing
        srcport = self._srcport(IP(packet))
        return None if srcport is None else Seen(srcport, _received_ns(ancillary))

    def close(self) -> None:
        """Stop capturing."""
        self._socket.close()

    def _srcport(self, packet: IP) -> int | None:
        order = self._order
        is_probe = (
            TCP in packet
            and (packet.src, packet.dst) == (order.source, order.target)
            and packet[TCP].dport == order.port
            and packet[TCP].flags == "S"
        )
        return packet[TCP].sport if is_probe else None


def read_pcap(stream: IO[bytes]) -> Iterator[Seen]:
    """The TCP packets of a pcap stream that holds nothing else, one by one as they come.

    Raises:
        EOFError: the stream ended before it began.
    """
    try:
        packets = PcapReader(stream)  # type: ignore[arg-type] # its metaclass takes a stream as well as a name
    except Scapy_Exception:
        raise EOFError from None
    return (Seen(packet[TCP].sport, int(packet.time * 1_000_000_000)) for packet in packets)


def _received_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    ((_, _, timestamp),) = ancillary
    seconds, nanos = _TIMESPEC.unpack(timestamp)
    return int(seconds * 1_000_000_000 + nanos)


def _raw_socket(family: int, kind: int, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, kind, protocol)
    except PermissionError:
        raise NoRawSocket("raw packets need root or CAP_NET_RAW, which this process has not") from None
