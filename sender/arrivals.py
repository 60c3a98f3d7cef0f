"""Arrivals: the probes as they reach the target, seen by tcpdump, or by scapy where tcpdump cannot."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from sender.packets import Sniffer
from sender.tcpdump import NoTcpdump, Tcpdump

if TYPE_CHECKING:
    from collections.abc import Generator

    from flowlag.capture import Seen
    from sender.order import Order

_log = logging.getLogger(__name__)


def arrivals(order: Order) -> Generator[Seen | None, None, None]:
    """The probes of `order` as they arrive, without end; None when none did for a moment.

    It captures from its first answer on, a None. tcpdump may be missing, forbidden (it insists on setting its user,
    which an unprivileged user namespace refuses) or killed in the middle; the capture goes on without it.
    """
    try:
        with closing(Tcpdump(order)) as tcpdump:
            yield None
            while True:
                yield tcpdump.receive()
    except NoTcpdump as reason:
        _log.warning("%s; scapy captures from here on", reason)
    with closing(Sniffer(order)) as sniffer:
        yield None
        while True:
            yield sniffer.receive()
