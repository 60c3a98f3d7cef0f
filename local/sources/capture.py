"""Captures: what arrived at the target. flowlag's own `capture.csv`, or a pcap file as tcpdump writes it.

A pcap file is a sequence of frames behind fixed headers; to read these here takes a hundredth of scapy's time.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from flowlag import capture
from flowlag.errors import UnreadableLedger
from flowlag.probe import TCP
from flowlag.stamp import decode
from local.sources.dataset import UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path


class _Clock(NamedTuple):
    """How a file writes numbers: byte order, and how many of its fractions are a microsecond."""

    byte_order: str
    fractions: int


class _Link(NamedTuple):
    """Where a frame's IP packet begins, and where the frame says that it is one (None: it always is)."""

    packet: int
    ethertype: int | None


_CLOCKS: Final = {
    b"\xa1\xb2\xc3\xd4": _Clock(">", 1),
    b"\xd4\xc3\xb2\xa1": _Clock("<", 1),
    b"\xa1\xb2\x3c\x4d": _Clock(">", 1_000),
    b"\x4d\x3c\xb2\xa1": _Clock("<", 1_000),
}
_LINKS: Final = {
    1: _Link(14, 12),  # Ethernet
    12: _Link(0, None),  # raw IP, as some systems number it
    101: _Link(0, None),  # raw IP
    113: _Link(16, 14),  # Linux, `tcpdump -i any`
    228: _Link(0, None),  # raw IPv4
    276: _Link(20, 0),  # Linux, `tcpdump -i any` since 2021
}
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_LONGEST_FRAME: Final = 262_144
"""tcpdump never keeps more of one."""
_ETHERTYPE_IPV4: Final = b"\x08\x00"
_IPV4: Final = 4
_SYN, _ACK = 0x02, 0x10


def read_capture(path: Path, port: int, rate: int) -> frozenset[int]:
    """The ticks whose probes to `port` were captured.

    Raises:
        UnusableInput: the file is not a capture, or ends in the middle of a frame.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
        if magic in _CLOCKS:
            seen = _probes(path, stream, _CLOCKS[magic], port)
            return frozenset(decode(srcport, seen_at, rate) for srcport, seen_at in seen)
        if magic == _PCAPNG:
            raise UnusableInput(f"'{path}' is pcapng: rewrite it as pcap, with `tcpdump -r OLD -w NEW`")
        return _own(path, magic + stream.read(), rate)


def _own(path: Path, data: bytes, rate: int) -> frozenset[int]:
    try:
        return frozenset(capture.parse_capture(data.decode(), rate).seen)
    except UnicodeDecodeError:
        raise UnusableInput(f"'{path}' is neither a pcap file nor flowlag's own capture") from None
    except UnreadableLedger as reason:
        raise UnusableInput(f"'{path}' is neither a pcap file nor flowlag's own capture: {reason}") from None


def _probes(path: Path, stream: BufferedReader, clock: _Clock, port: int) -> Iterator[tuple[int, int]]:
    """Source port and instant (microseconds) of every probe to `port`."""
    # After the magic number: version, zone, accuracy, longest frame, and the link's type.
    (network,) = struct.unpack(f"{clock.byte_order}16xI", _read(path, stream, 20))
    link = _LINKS.get(network & 0xFFFF)
    if link is None:
        raise UnusableInput(f"'{path}' is of link type {network}: capture on Ethernet, or as raw IP")
    header = struct.Struct(f"{clock.byte_order}IIIxxxx")
    while stream.peek(1):
        seconds, fraction, captured = header.unpack(_read(path, stream, header.size))
        if captured > _LONGEST_FRAME:
            raise UnusableInput(
                f"'{path}' is damaged: a frame of {captured} bytes ends before byte {stream.tell()}"
            )
        srcport = _probe(_read(path, stream, captured), link, port)
        if srcport is not None:
            yield srcport, seconds * 1_000_000 + fraction // clock.fractions


def _read(path: Path, stream: BufferedReader, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise UnusableInput(
            f"'{path}' ends in the middle of a frame: copy its whole ones with `tcpdump -r OLD -w NEW`"
        )
    return data


def _probe(frame: bytes, link: _Link, port: int) -> int | None:
    """The source port of a SYN to `port`; None for any other frame, such as the target's refusals."""
    packet, ethertype = link
    if ethertype is not None and frame[ethertype : ethertype + 2] != _ETHERTYPE_IPV4:
        return None
    if len(frame) < packet + 20 or frame[packet] >> 4 != _IPV4 or frame[packet + 9] != TCP:
        return None
    segment = packet + (frame[packet] & 0x0F) * 4
    if len(frame) < segment + 14 or frame[segment + 13] & (_SYN | _ACK) != _SYN:
        return None
    srcport, dstport = struct.unpack_from(">HH", frame, segment)
    return srcport if dstport == port else None
