"""The virtual network: a sender and a target, each in a network namespace of its own, joined by a veth pair.

The namespaces have no name. They live as long as their owner's descriptors, and what runs inside is killed by the
kernel with its owner, so that nothing is left behind however the owner ends. Linux only. Where the kernel grants no
namespaces, `InMemoryNetwork` carries the packets instead.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

SENDER_ADDRESS: Final = "10.99.0.10"
TARGET_ADDRESS: Final = "10.99.0.20"
PREFIX_LENGTH: Final = 24
"""The template's subnet is 10.99.0.0/24: an instance has the address of its host."""

_INTERFACE = "eth0"
_LOOPBACK_INDEX = 1

_NEEDED_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
"""To make a network namespace, to set it up, and to send and capture raw packets; bits of capabilities(7)."""


# ---------------------------------------------------------------- the network
class Network:
    """Two hosts on one wire, without a route to anywhere else. A context manager.

    Raises:
        OSError: the kernel refuses; `unavailable` tells so beforehand.
    """

    sender: "Host"
    target: "Host"

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            senders, targets = undo.enter_context(_Namespace()), undo.enter_context(_Namespace())
            _connect(senders, targets)
            # A child dies with the *thread* that started it: so one thread starts all, and outlives them.
            starter = undo.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="network"))
            self.sender = Host("sender", SENDER_ADDRESS, _INTERFACE, senders, starter)
            self.target = Host("target", TARGET_ADDRESS, _INTERFACE, targets, starter)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def hosts(self) -> "tuple[Host, Host]":
        """The sender and the target."""
        return self.sender, self.target


@dataclass(frozen=True, slots=True)
class Host:
    """One end of the wire."""

    name: str
    address: str
    interface: str
    _namespace: "_Namespace" = field(repr=False)
    _starter: ThreadPoolExecutor = field(repr=False)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this host: it stays in its namespace, whoever uses it."""
        return self._namespace.run(lambda: socket.socket(family, kind, protocol))

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        **options: Any,  # noqa: ANN401 - what subprocess.Popen takes
    ) -> "subprocess.Popen[bytes]":
        """Start a program on this host. It is killed when the network closes or its owner dies.

        Args:
            argv: the program, found on the PATH of `env`, and its arguments.
            env: its whole environment.
            options: of `subprocess.Popen`, but for `pass_fds`.
        """
        namespace = self._namespace.descriptor
        # -I: neither the program's environment nor its directory decides which module `local.enter` is.
        launcher = [sys.executable, "-I", "-m", "local.enter", str(namespace), str(os.getpid())]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen([*launcher, *argv], env=env, pass_fds=(namespace,), **options)  # noqa: S603

        return self._starter.submit(start).result()


class _Namespace:
    """A network namespace that only a descriptor holds."""

    descriptor: int

    def __enter__(self) -> Self:
        self.descriptor = _in_a_thread(_unshare_network)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def run[Result](self, function: Callable[[], Result]) -> Result:
        """Call `function` inside. Only the calling thread moves, and it ends with the call."""

        def enter() -> Result:
            os.setns(self.descriptor, os.CLONE_NEWNET)
            return function()

        return _in_a_thread(enter)


def _in_a_thread[Result](function: Callable[[], Result]) -> Result:
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(function).result()


def _unshare_network() -> int:
    os.unshare(os.CLONE_NEWNET)
    # IPv6 would announce itself in the capture. Best effort: the flow-log service reads IPv4 only.
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _connect(senders: _Namespace, targets: _Namespace) -> None:
    senders.run(partial(_add_veth, targets.descriptor))
    senders.run(partial(_set_up, SENDER_ADDRESS))
    targets.run(partial(_set_up, TARGET_ADDRESS))


def _add_veth(peer_namespace: int) -> None:
    peer = {"ifname": _INTERFACE, "net_ns_fd": peer_namespace}
    with _netlink() as netlink:
        netlink.link("add", ifname=_INTERFACE, kind="veth", peer=peer)


def _set_up(address: str) -> None:
    with _netlink() as netlink:
        (index,) = netlink.link_lookup(ifname=_INTERFACE)
        netlink.addr("add", index=index, address=address, prefixlen=PREFIX_LENGTH)
        for link in (_LOOPBACK_INDEX, index):
            netlink.link("set", index=link, state="up")


def _netlink() -> Any:  # noqa: ANN401 - pyroute2 carries no types
    from pyroute2 import IPRoute  # noqa: PLC0415 - takes half a second, and makes sense on Linux only

    return IPRoute()


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
