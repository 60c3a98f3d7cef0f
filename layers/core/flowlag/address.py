"""Where probes may go: to a private address of our own, and nowhere else.

This module also runs on the sender, under the system Python (3.9) of Amazon Linux 2023.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network

from flowlag.errors import InvalidRequest

PRIVATE = tuple(IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""RFC 1918. `IPv4Address.is_private` also takes loopback, link-local and documentation addresses."""


def check_private(address: str, name: str) -> None:
    """Make sure that `address`, which a message calls `name`, is one that may be probed.

    Raises:
        InvalidRequest: it is no IPv4 address, or anybody's.
    """
    try:
        parsed = IPv4Address(address)
    except AddressValueError:
        raise InvalidRequest(f"{name} is an IPv4 address, not '{address[:80]}'") from None
    if not any(parsed in network for network in PRIVATE):
        raise InvalidRequest(
            f"{name} is a private IPv4 address (RFC 1918) of your own network, not {address}: "
            "probes go to our own target only"
        )
