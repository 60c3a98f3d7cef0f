"""Container engines: the user's own Docker or Finch, or Docker of Debian's packages, run where nobody sees it.

The private one lives in network, process and mount namespaces of its own: its bridge, its mounts and its processes
are in nobody's way, it has no route to anywhere, and the kernel ends all of it with the process that entered it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, Self

import psutil

from flowlag.errors import FlowlagError
from local.network.relay import forwarded, published, relayed, to_loopback
from local.network.virtual import Host
from local.sam_local import debian
from local.sam_local import image as images
from local.sam_local.places import CACHE, WORK
from local.sam_local.sam import PYTHON_OF_SAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType


LOOPBACK: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.05
_ASKED: Final = Path(__file__).with_name("ask_engine.py")


class NoEngine(FlowlagError):
    """There is no container engine; the message says why."""


class Engine(Protocol):
    """A container engine that the SAM CLI can use, up for as long as it is entered.

    Attributes:
        description: what it is, for people.
    """

    description: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What programs need to find it."""

    @property
    def gateway(self) -> str:
        """The name or address by which a container reaches what is let in."""

    def __enter__(self) -> Self:
        """Bring it up, or find it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End whatever was started here."""

    def popen(self, argv: Sequence[str], *, env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - what subprocess.Popen takes
        """Start a program where it can reach the engine and the ports of containers; it ends with the engine."""

    def provide(self, image: str) -> str:
        """See that it has an image, by the name that SAM knows it by; what that image is, for people."""

    def let_in(self, port: int) -> contextlib.AbstractContextManager[None]:
        """Let containers, by the gateway, and `popen`'s programs reach 127.0.0.1:`port` of this machine."""

    def let_out(self, port: int) -> contextlib.AbstractContextManager[int]:
        """A port of this machine's 127.0.0.1 that leads to that port where `popen`'s programs run."""


def _ask(engine: Engine, *question: str) -> dict[str, Any]:
    """Ask the engine through the client that the SAM CLI has."""
    process = engine.popen(
        [str(PYTHON_OF_SAM), "-I", str(_ASKED), *question],
        env={**os.environ, **engine.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, complaint = process.communicate()
    if process.returncode != 0:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise NoEngine(f"{engine.description} would not {' '.join(question)}: {' '.join(last)}")
    answer: dict[str, Any] = json.loads(said)
    return answer


# ---------------------------------------------------------------- the user's own
class GivenEngine:
    """The Docker or Finch that the SAM CLI finds here. Needs no root."""

    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.description, self.gateway = "the container engine of this machine", ""

    def __enter__(self) -> Self:
        if (
            platform.system() == "Linux"
            and "DOCKER_HOST" not in os.environ
            and not any(map(os.path.exists, _SOCKETS))
        ):
            raise NoEngine("neither Docker nor Finch runs here")  # asking the SAM CLI takes longer
        found = _ask(self, "find")
        self.description = f"{found['kind']} {found['version']}, the one of this machine"
        # On Linux containers reach the host by the bridge's own address; elsewhere the engine is in a machine of
        # its own, which knows the host by a name.
        self._bridge = found["gateway"] if platform.system() == "Linux" and not found["is_desktop"] else ""
        self.gateway = self._bridge or "host.docker.internal"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            _end(process)

    def popen(self, argv: Sequence[str], *, env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as above
        """Start a program."""
        process = subprocess.Popen(argv, env=dict(env), start_new_session=True, **options)  # noqa: S603 - our own
        self._processes = [*(each for each in self._processes if each.poll() is None), process]
        return process

    def provide(self, image: str) -> str:
        """Have AWS's image pulled, unless it is there."""
        said = _ask(self, "about", image)
        return f"{image}: Python {said['python']}, {said['libc']}"

    @contextlib.contextmanager
    def let_in(self, port: int) -> Iterator[None]:
        """Relay from the bridge on Linux: what listens on 127.0.0.1 only, containers cannot reach."""
        if not self._bridge:
            yield
            return
        listener = socket.socket()
        try:
            # Packets that come in through another interface are not for it.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _BRIDGE)
            listener.bind((self._bridge, port))
        except OSError as reason:
            raise NoEngine(f"containers cannot be let in to port {port} by {self._bridge}: {reason}") from None
        with forwarded([listener], to_loopback(port)):
            yield

    @contextlib.contextmanager
    def let_out(self, port: int) -> Iterator[int]:
        """It is here already."""
        yield port


_BRIDGE: Final = b"docker0"
_SOCKETS: Final = ("/var/run/docker.sock", "/var/run/finch.sock")
"""Where the SAM CLI looks on Linux: samcli/local/docker/platform_config.py, 1.170.0."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the SAM CLI, which then removes its container: at Ctrl-C, as it documents."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---------------------------------------------------------------- ours alone
class PrivateDocker:
    """Docker of Debian's packages, in namespaces of its own. Needs root, and Debian."""

    environment: Final[Mapping[str, str]] = {"DOCKER_HOST": "unix:///run/docker.sock"}
    gateway: Final = "172.31.255.1"

    def __init__(self) -> None:
        self.description = "Docker of Debian's packages, in namespaces of its own"

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NoEngine("no container engine runs here, and only root can start one in namespaces of its own")
        try:
            programs = debian.unpacked(_PACKAGES, CACHE / "docker")
        except debian.NoPackages as reason:
            raise NoEngine(f"no container engine runs here, and Debian's cannot be had: {reason}") from None
        with ExitStack() as undo:
            self._folder = undo.enter_context(_left_as_it_was())
            self._host = undo.enter_context(Host("engine", ""))
            try:
                self._host.run(_settle)
                self._start(programs)
            except (OSError, subprocess.CalledProcessError, FlowlagError) as reason:
                raise NoEngine(f"Debian's Docker does not start here: {reason}") from None
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def popen(self, argv: Sequence[str], *, env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as above
        """Start a program in the engine's namespaces."""
        return self._host.popen(argv, env=env, start_new_session=True, **options)

    def provide(self, image: str) -> str:
        """Load the stand-in."""
        stand_in = images.stand_in()
        with stand_in.path.open("rb") as file:
            self._host.run(_request, "POST", "/images/load", file, {"Content-Type": "application/x-tar"})
        return f"a stand-in for {image}: Python {stand_in.python}, {stand_in.libc}"

    @contextlib.contextmanager
    def let_in(self, port: int) -> Iterator[None]:
        """Relay from the bridge and from the namespaces' own loopback."""
        with relayed([self._host], port), relayed([self._host], port, self.gateway):
            yield

    def let_out(self, port: int) -> contextlib.AbstractContextManager[int]:
        """Relay from this machine's loopback."""
        return published(self._host, port)

    def _start(self, programs: Path) -> None:
        self._log = self._folder / "log"
        containerd = self._folder / "containerd.toml"
        # On a disk every container's end waits for all that any process has yet to write there: overlayfs syncs.
        data = _IN_MEMORY if psutil.virtual_memory().available > _ENOUGH_BYTES else self._folder
        containerd.write_text(_CONTAINERD.format(data=data / "containerd-data"))
        environment = debian.environment(programs) | {"TMPDIR": str(data)}
        with self._log.open("wb") as log:
            for argv in (
                ["containerd", "--config", str(containerd)],
                ["dockerd", "--containerd", _CONTAINERD_SOCKET, "--data-root", str(data / "docker-data"),
                 "--cgroup-parent", f"/{self._folder.name}", "--bip", f"{self.gateway}/24", *_DOCKERD],
            ):  # fmt: skip
                self._host.popen(
                    argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        version = self._await()
        self.description = f"Docker {version} of Debian's packages, in namespaces of its own"

    def _await(self) -> str:
        """Wait until it answers; its version."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return str(json.loads(self._host.run(_request, "GET", "/version"))["Version"])
            time.sleep(_POLL_S)
        raise NoEngine(f"it said: {' / '.join(self._log.read_text(errors='replace').splitlines()[-4:])}")


_PACKAGES: Final = ("docker.io", "containerd", "runc", "libdevmapper1.02.1", "libseccomp2")
_IN_MEMORY: Final = Path("/run")
"""As it is in the engine's mounts."""

_ENOUGH_BYTES: Final = 4_000_000_000
"""An engine with the images of all functions takes half a gigabyte."""

_CONTAINERD_SOCKET: Final = "/run/containerd.sock"
_CONTAINERD: Final = f"""version = 2
root = "{{data}}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]

[grpc]
address = "{_CONTAINERD_SOCKET}"
"""
"""The `opt` plugin would make /opt/containerd."""

_DOCKERD: Final = (
    "--host", "unix:///run/docker.sock", "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid",
    "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false", "--log-level=warn",
)  # fmt: skip
"""A network of its own needs no rules, and must not lead anywhere."""


def _settle() -> None:
    """Give this thread mounts of its own, which all that it starts gets, too."""
    os.unshare(os.CLONE_NEWNS)
    for arguments in (
        ["--make-rprivate", "/"],
        ["-t", "proc", "proc", "/proc"],  # of the process namespace: runc looks for its containers there
        ["-t", "tmpfs", "tmpfs", "/run"],  # sockets, whose paths must be short
    ):
        subprocess.run(["/bin/mount", *arguments], check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - of the system
    for each in ("upper", "work"):
        Path("/run/etc", each).mkdir(parents=True)
    above = "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work"
    # dockerd writes a key to /etc/docker.
    subprocess.run(["/bin/mount", "-t", "overlay", "overlay", "-o", above, "/etc"], check=True)  # noqa: S603 - as above
    from pyroute2 import IPRoute  # noqa: PLC0415 - takes half a second

    with IPRoute() as netlink:
        netlink.link("set", index=1, state="up")


def _request(
    method: str, path: str, body: IO[bytes] | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Ask the engine's API; in a thread that sees its socket."""
    connection = http.client.HTTPConnection("docker", timeout=_START_TIMEOUT_S)
    with contextlib.closing(connection):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect("/run/docker.sock")
        connection.request(method, path, body, dict(headers or {}))
        return connection.getresponse().read()


# ---------------------------------------------------------------- nothing stays
_JANITOR: Final = """
import os, pathlib, shutil, sys, time
sys.stdin.read()
folder, *cgroups = map(pathlib.Path, sys.argv[1:])
def remains():
    for cgroup in cgroups:
        for each, _, _ in os.walk(cgroup, topdown=False):
            try:
                os.rmdir(each)
            except OSError:
                pass
    shutil.rmtree(folder, ignore_errors=True)
    return folder.exists() or any(map(os.path.exists, cgroups))
deadline = time.monotonic() + 20
while remains() and time.monotonic() < deadline:
    time.sleep(0.05)
"""
"""Removes what no namespace holds, when its input ends: so also when the engine's process was killed."""


@contextlib.contextmanager
def _left_as_it_was() -> Iterator[Path]:
    """A folder for an engine. In the end it goes, and so do the control groups that are called like it."""
    folders = WORK / "engines"
    folders.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="flowlag-", dir=folders))
    root = Path("/sys/fs/cgroup")
    controllers = [root, *(each for each in root.iterdir() if each.is_dir())]
    cgroups = [
        str(each / folder.name) for each in controllers
    ]  # version 2 has one tree, version 1 one a controller
    janitor = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-I", "-S", "-c", _JANITOR, str(folder), *cgroups],
        stdin=subprocess.PIPE,
        env={},
        start_new_session=True,  # Ctrl-C is for the owner
    )
    try:
        yield folder
    finally:
        assert janitor.stdin is not None  # noqa: S101 - a pipe
        janitor.stdin.close()
        janitor.wait()


# ---------------------------------------------------------------- which one
def enter_engine(undo: ExitStack) -> tuple[Engine | None, list[str]]:
    """Enter the engine of this machine, the user's before ours; None, and why, where there is none."""
    why: list[str] = []
    engines: tuple[Engine, ...] = (GivenEngine(), PrivateDocker())
    for each in engines:
        try:
            return undo.enter_context(each), why
        except NoEngine as reason:
            why.append(str(reason))
    return None, why
