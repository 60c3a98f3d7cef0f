"""The virtual network: a sender and a target, joined by a veth pair, in namespaces of the kernel's.

Each host is a network namespace and a process namespace without names. They live as long as a thread of the owner
does, and the kernel ends what runs inside with them, detached or not: so nothing is left behind however the owner
ends. Linux only. Where the kernel grants no namespaces, `InMemoryNetwork` carries the packets instead.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

SENDER_ADDRESS: Final = "10.99.0.10"
TARGET_ADDRESS: Final = "10.99.0.20"
PREFIX_LENGTH: Final = 24
"""The template's subnet is 10.99.0.0/24: an instance has the address of its host."""

_INTERFACE = "eth0"
_LOOPBACK_INDEX = 1

_NEEDED_CAPABILITIES = (12, 13, 21)
"""CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN: to set a network up, to use raw packets, to make namespaces."""

_INIT = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); sys.stdin.read()"
"""A host's first process. It reaps what others leave, and ends with the owner, who holds the other end of its input.
When it ends, the kernel kills every process of the host."""


# ---------------------------------------------------------------- the network
class Network:
    """Two hosts on one wire, without a route to anywhere else. A context manager.

    Raises:
        OSError: the kernel refuses; `unavailable` tells so beforehand.
    """

    def __init__(self) -> None:
        self.sender = Host("sender", SENDER_ADDRESS)
        self.target = Host("target", TARGET_ADDRESS)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            for host in self.hosts:
                undo.enter_context(host)
            self.sender.wire_to(self.target)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def hosts(self) -> tuple[Host, Host]:
        """The sender and the target."""
        return self.sender, self.target


class Host:
    """One end of the wire."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.interface = _INTERFACE
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._processes: list[subprocess.Popen[bytes]] = []

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this host: it stays in its network, whoever uses it."""
        return self._thread.submit(socket.socket, family, kind, protocol).result()

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        **options: Any,  # noqa: ANN401 - what subprocess.Popen takes
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host. It ends with the network or its owner at the latest, and so do its children.

        Args:
            argv: the program and its arguments.
            env: its whole environment.
            options: of `subprocess.Popen`.
        """
        return self._thread.submit(self._start, argv, env=env, **options).result()
# ---------------------------------------------------------------- permission
def become_network_root() -> None:
    """Make this process root of a user namespace, should it lack the right to make a network.

    Call it first thing: the kernel allows it to a process with one thread only. Where the kernel forbids it, this
    process stays what it was and `unavailable` says why.
    """
    if sys.platform == "linux" and not _is_capable() and _is_allowed_a_user_namespace():
        _enter_user_namespace()


def unavailable() -> str | None:
    """Why this process cannot make a `Network`; None where it can."""
    if sys.platform != "linux":
        return f"network namespaces are a feature of Linux, and this is {sys.platform}"
    try:
        with Network():
            return None
    except Exception as reason:  # noqa: BLE001 - pyroute2 raises several kinds, and each means the same here
        return f"the kernel grants this process no network namespace ({reason})"


def _is_capable() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], base=16)
    return all(effective >> bit & 1 for bit in _NEEDED_CAPABILITIES.values())


def _is_allowed_a_user_namespace() -> bool:
    """Try in a child: some kernels grant the namespace and then refuse its mapping, which cannot be undone."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(OSError):
            _enter_user_namespace()
            os.unshare(os.CLONE_NEWNET)
            status = 0
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")  # the kernel asks for it before an unprivileged gid_map
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


# ---------------------------------------------------------------- without a network
class Subscriber(Protocol):
    """Who sees the packets of an `InMemoryNetwork`."""

    def __call__(self, packet: bytes, at_ns: int) -> None:
        """Take an IPv4 packet, sent at `at_ns` (nanoseconds since the epoch). Called in the sender's thread."""


class InMemoryNetwork:
    """A wire without a kernel: what the sender transmits, every subscriber sees at once. Nobody answers."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Show `subscriber` every packet from now on."""
        self._subscribers = (*self._subscribers, subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Show it no more."""
        self._subscribers = tuple(each for each in self._subscribers if each != subscriber)

    def transmit(self, packet: bytes) -> None:
        """Send an IPv4 packet, whole from its header."""
        at_ns = time.time_ns()
        for subscriber in self._subscribers:
            subscriber(packet, at_ns)
