"""A wire that loses packets, carried by a thread.

The kernel's own means would be netem, which small kernels are built without. And it must be a wire: what a packet
filter or a policer of either host drops, the flow log has not seen or the target's capture has.
"""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_ETH_P_ALL: Final = 0x0003
_ETH_P_IP: Final = b"\x08\x00"
_SOL_PACKET: Final = 263
_PACKET_VNET_HDR: Final = 15
"""Of <linux/if_packet.h>; Python has no names for them. A frame then comes and goes with what its sender has left
to do, above all its checksum: the kernel computes none on a veth pair."""
_VNET_HDR_BYTES: Final = 10
_ETHERTYPE: Final = slice(_VNET_HDR_BYTES + 12, _VNET_HDR_BYTES + 14)
_LONGEST_FRAME: Final = _VNET_HDR_BYTES + 14 + 65_535


def end_of_wire(interface: str) -> socket.socket:
    """A socket that takes and gives the frames of an interface whole, in the namespace of the calling thread."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.bind((interface, _ETH_P_ALL))
    return end


class LossyWire:
    """Carries frames between two ends, and loses some IPv4 packets on their way to the target. A context manager.

    Args:
        sender: the end at the sender; closed with the wire.
        target: the end at the target; likewise.
        loss: share of the packets to lose, from 0 to 1.
        seed: which ones.
    """

    def __init__(self, sender: socket.socket, target: socket.socket, *, loss: float, seed: int) -> None:
        self._sender = sender
        self._target = target
        self._loss = loss
        self._chance = Random(seed)  # noqa: S311 - which packets get lost is no secret
        self._stopped, self._stop = socket.socketpair()
        self._thread = Thread(target=self._run, name="lossy wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()
        for each in (self._sender, self._target, self._stopped):
            each.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._sender, self._target, self._stopped):
                selector.register(each, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._stopped in ready:
                    return
                if self._sender in ready:
                    self._carry(self._sender, self._target, self._loss)
                if self._target in ready:
                    self._carry(self._target, self._sender, 0)

    def _carry(self, origin: socket.socket, destination: socket.socket, loss: float) -> None:
        frame, (_, _, packet_type, *_) = origin.recvfrom(_LONGEST_FRAME)
        if packet_type == socket.PACKET_OUTGOING:
            return  # our own, from the other end
        if frame[_ETHERTYPE] == _ETH_P_IP and self._chance.random() < loss:
            return
        with suppress(OSError):  # a full queue loses a frame, as it would on any wire
            destination.send(frame)
