"""The virtual network: a sender and a target, joined by a veth pair or a lossy wire, in namespaces of the kernel's.

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
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from local.network.wire import LossyWire, end_of_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

SENDER_ADDRESS: Final = "10.99.0.10"
TARGET_ADDRESS: Final = "10.99.0.20"
PREFIX_LENGTH: Final = 24
"""The template's subnet is 10.99.0.0/24: an instance has the address of its host."""

_LOOPBACK_INDEX = 1

_NEEDED_CAPABILITIES = (12, 13, 21)
"""CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN: to set a network up, to use raw packets, to make namespaces."""

_INIT = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); sys.stdin.read()"
"""A host's first process: when it ends, the kernel kills all others of the host. It reaps what they leave, and ends
when its input does, whose other end only the owner holds."""


# ---------------------------------------------------------------- the network
class Network:
    """Two hosts on one wire, without a route to anywhere else. A context manager.

    Entering it fails where the kernel refuses; `unavailable` tells so beforehand.

    Args:
        loss: share of the packets that leave the sender and never reach the target, from 0 to 1.
        seed: which ones.
    """

    def __init__(self, *, loss: float = 0.0, seed: int = 0) -> None:
        self.sender = Host("sender", SENDER_ADDRESS)
        self.target = Host("target", TARGET_ADDRESS)
        self._loss = loss
        self._seed = seed

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            for host in self.hosts:
                undo.enter_context(host)
            if self._loss:
                self._connect_by_lossy_wire(undo)
            else:
                _lay_cable(self.sender, self.sender.interface, self.target, self.target.interface)
            for host in self.hosts:
                host.run(_set_up, host.interface, host.address)
            self._undo = undo.pop_all()
        return self

    def _connect_by_lossy_wire(self, undo: ExitStack) -> None:
        middle = undo.enter_context(Host("wire", ""))
        for host in self.hosts:
            _lay_cable(host, host.interface, middle, host.name)
            middle.run(_set_up, host.name)
        ends = [middle.run(end_of_wire, host.name) for host in self.hosts]
        undo.enter_context(LossyWire(*ends, loss=self._loss, seed=self._seed))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def hosts(self) -> tuple[Host, Host]:
        """The sender and the target."""
        return self.sender, self.target


class Host:
    """One end of the wire: a thread of ours that lives in namespaces of its own, and what it starts there."""

    interface: Final = "eth0"

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._thread = undo.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name))
            self.run(_unshare)
            self._init = undo.enter_context(self.run(_start_init))
            self._processes: list[subprocess.Popen[bytes]] = []
            undo.callback(self._switch_off)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def run[**Arguments, Result](
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call `function` on this host. Sockets that it opens and programs that it starts stay there."""
        return self._thread.submit(function, *args, **kwargs).result()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this host, for use anywhere."""
        return self.run(socket.socket, family, kind, protocol)

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        **options: Any,  # noqa: ANN401 - what subprocess.Popen takes
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host. It and its children are killed when the network closes or its owner dies.

        Args:
            argv: the program and its arguments.
            env: its whole environment.
            options: of `subprocess.Popen`.
        """
        return self.run(self._start, argv, env=env, **options)

    def _start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as above
        process = subprocess.Popen(argv, **options)  # noqa: S603 - the owner decides what runs
        self._processes = [*(each for each in self._processes if each.poll() is None), process]
        return process

    def _switch_off(self) -> None:
        self._init.kill()
        for process in self._processes:
            process.wait()  # first: the init cannot be waited for while one of its processes is


def _unshare() -> None:
    os.unshare(os.CLONE_NEWNET | os.CLONE_NEWPID)
    # IPv6 would announce itself in the capture. Best effort: the flow-log service reads IPv4 only.
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")


def _start_init() -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C is for the owner, who ends things in order.
    init = [sys.executable, "-I", "-S", "-c", _INIT]
    return subprocess.Popen(init, stdin=subprocess.PIPE, env={}, start_new_session=True)  # noqa: S603


def _lay_cable(one: Host, interface: str, other: Host, other_interface: str) -> None:
    peer_namespace = other.run(os.open, "/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        one.run(_add_veth, interface, {"ifname": other_interface, "net_ns_fd": peer_namespace})
    finally:
        os.close(peer_namespace)


def _add_veth(interface: str, peer: Mapping[str, str | int]) -> None:
    with _netlink() as netlink:
        netlink.link("add", ifname=interface, kind="veth", peer=peer)


def _set_up(interface: str, address: str = "") -> None:
    with _netlink() as netlink:
        (index,) = netlink.link_lookup(ifname=interface)
        if address:
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
    return all(effective >> bit & 1 for bit in _NEEDED_CAPABILITIES)


def _is_allowed_a_user_namespace() -> bool:
    """Try in a child: some kernels grant the namespace and then refuse its mapping, which cannot be undone."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(OSError):
            _enter_user_namespace()
            _unshare()
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
    """A wire without a kernel: what the sender transmits, every subscriber sees at once. Nobody answers.

    Args:
        loss: share of the packets that leave the sender and never reach the target, from 0 to 1.
        seed: which ones.
    """

    def __init__(self, *, loss: float = 0.0, seed: int = 0) -> None:
        self._loss = loss
        self._chance = Random(seed)  # noqa: S311 - which packets get lost is no secret
        self._at_sender: tuple[Subscriber, ...] = ()
        self._at_target: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Show `subscriber` every packet that leaves the sender from now on."""
        self._at_sender = (*self._at_sender, subscriber)

    def subscribe_at_target(self, subscriber: Subscriber) -> None:
        """Show `subscriber` every packet that reaches the target from now on."""
        self._at_target = (*self._at_target, subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Show it no more."""
        self._at_sender = tuple(each for each in self._at_sender if each != subscriber)
        self._at_target = tuple(each for each in self._at_target if each != subscriber)

    def transmit(self, packet: bytes) -> None:
        """Send an IPv4 packet, whole from its header."""
        at_ns = time.time_ns()
        arrives = self._chance.random() >= self._loss
        for subscriber in (*self._at_sender, *(self._at_target if arrives else ())):
            subscriber(packet, at_ns)
