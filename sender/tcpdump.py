"""tcpdump at the target: it filters in the kernel, and its pcap stream is read here as it grows."""

from __future__ import annotations

import logging
import select
from typing import IO, TYPE_CHECKING, cast

from flowlag.errors import FlowlagError
from flowlag.signature import HEADERS_BYTES
from sender.packets import RECEIVE_TIMEOUT_S, read_pcap
from sender.processes import attach

if TYPE_CHECKING:
    from flowlag.capture import Seen
    from sender.order import Order

_ARGV = (
    "tcpdump",
    *("-i", "any", "-Q", "in"),
    *("-w", "-", "-U", "--immediate-mode"),  # every packet leaves at once, and whole
    "--time-stamp-precision=nano",
    *("-s", "128"),  # the headers; with whole packets the kernel keeps eight, and drops the rest of a burst
    *("-Z", "root"),  # the kernel forgets to end a process with its parent as soon as it changes its user
)

_log = logging.getLogger(__name__)


class NoTcpdump(FlowlagError):
    """tcpdump is missing, or does not capture, or has ended; the message has its reason."""


class Tcpdump:
    """Sees the probes of an order arrive, and nothing else. It captures as soon as it is made."""

    def __init__(self, order: Order) -> None:
        try:
            self._process = attach([*_ARGV, _filter(order)])
        except OSError as reason:
            raise NoTcpdump(f"no tcpdump can be started ({reason.strerror})") from None
        self._pcap = cast("IO[bytes]", self._process.stdout)
        try:
            self._probes = read_pcap(self._pcap)
        except EOFError:
            raise NoTcpdump(self._ended()) from None

    def receive(self) -> Seen | None:
        """The probe that arrives next; None when none did for a moment.

        Raises:
            NoTcpdump: it has ended.
        """
        if not select.select([self._pcap], [], [], RECEIVE_TIMEOUT_S)[0]:
            return None
        seen = next(self._probes, None)
        if seen is None:
            raise NoTcpdump(self._ended())
        return seen

    def close(self) -> None:
        """End it, should it not have ended, and log what it says of itself: how many packets it had to drop."""
        if self._process.returncode is None:
            self._process.terminate()
            _log.info("%s", "; ".join(self._last_words()))

    def _ended(self) -> str:
        words = self._last_words()[-1:]
        return ": ".join([f"tcpdump ended with status {self._process.returncode}", *words])

    def _last_words(self) -> list[str]:
        _, said = self._process.communicate()
        return said.decode(errors="replace").splitlines()


def _filter(order: Order) -> str:
    return (
        f"src host {order.source} and dst host {order.target} and tcp dst port {order.port}"
        f" and tcp[tcpflags] = tcp-syn and ip[2:2] = {HEADERS_BYTES + order.payload_bytes}"
    )
