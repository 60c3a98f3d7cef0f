"""Your machine as a region: one process that holds the virtual network, the embedded AWS and the flow-log service.

It can play several regions at once: all at one endpoint, each with a network and a flow-log service of its own.

`python -m local.cloud.region` is that process. When it is up, it says so in one line of JSON on standard output;
when it ends, it leaves nothing behind: no process, no namespace, no file. `Region` starts and ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, Self

import psutil

from flowlag.delivery import PRESETS
from flowlag.errors import FlowlagError
from local.cloud.settings import ministack_settings
from local.flow_logs.faults import NONE, Faults
from local.network.virtual import InMemoryNetwork, Network, become_network_root, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from local.cloud.boxes import Box
    from local.network.capture import PacketSource

LOOPBACK: Final = "127.0.0.1"
"""The region is of this machine only."""

_ROOT: Final = "test"
"""The embedded AWS's root has this access key, and any secret."""
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 15.0
_GRACE_S: Final = 1.0
_TAIL_LINES: Final = 12
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class RegionFailed(FlowlagError):
    """The region did not come up; the message ends with its last words."""


# ---------------------------------------------------------------- who starts and ends it
class Region:
    """A region, up for as long as it is entered. It ends with this process, however that ends.

    Args:
        region: the AWS region that it plays.
        also: AWS regions that it plays beside that one.
        preset: whose habits the flow-log service has, a name in `flowlag.delivery.PRESETS`.
        time_scale: how many times as fast it has them.
        faults: what goes wrong in it.
        state_dir: where the flow-log service's logs stay when the region is gone; they go, too, by default.
        port: of the loopback; 0 takes a free one.

    Attributes:
        endpoint: URL of the embedded AWS.
        network: `namespaces`, or `in-memory` where the kernel grants no network.
        reason: why it is in memory; empty where it is not.
        service_logs: the own log of each region's flow-log service, see `local.flow_logs.service`.
        pid: the region's process.
    """

    endpoint: str
    network: str
    reason: str
    service_logs: Mapping[str, Path]
    pid: int

    def __init__(
        self,
        *,
        region: str = "us-east-1",
        also: Sequence[str] = (),
        preset: str = "xen-600",
        time_scale: float = 1,
        faults: Faults = NONE,
        state_dir: Path | None = None,
        port: int = 0,
    ) -> None:
        self.name = region
        self._arguments = [
            *("--region", region, *also, "--preset", preset, "--time-scale", str(time_scale)),
            *("--faults", faults.to_json(), "--port", str(port)),
            *(("--state-dir", str(state_dir)) if state_dir else ()),
        ]

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            said = undo.enter_context(tempfile.TemporaryFile())
            process = undo.enter_context(_start(self._arguments, said))
            scratch = _Scratch()
            undo.callback(_stop, process, scratch)
            ready = _first_line(process, said)
            scratch.path = ready["scratch"]
            self.endpoint, self.network, self.reason = ready["endpoint"], ready["network"], ready["reason"]
            self.service_logs = {name: Path(path) for name, path in ready["service_logs"].items()}
            self.pid = process.pid
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def service_log(self) -> Path:
        """The log of the region's own flow-log service."""
        return self.service_logs[self.name]

    def client(self, service: str, region_name: str | None = None) -> Any:  # noqa: ANN401 - it follows from the name
        """A boto3 client of the embedded AWS, as its root; of another region than its own if that is named."""
        from botocore.config import Config  # noqa: PLC0415 - with boto3

        return self._session.client(
            service, region_name or self.name, endpoint_url=self.endpoint, config=Config(proxies={})
        )

    @functools.cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 is imported with it
        import boto3  # noqa: PLC0415 - takes its time, and the child needs none

        return boto3.Session(_ROOT, _ROOT)


class _Scratch:
    """Where the region keeps its files, as soon as that is known."""

    path: str | None = None


def _start(arguments: Sequence[str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "local.cloud.region", "--with-parent", *arguments],
        stdin=subprocess.PIPE,  # its end tells the region that we are gone
        stdout=subprocess.PIPE,
        stderr=said,
        start_new_session=True,  # Ctrl-C is for us alone, and we end the region
    )


def _first_line(process: subprocess.Popen[bytes], said: IO[bytes]) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - a pipe, see _start
    readable, _, _ = select.select([process.stdout], [], [], _START_TIMEOUT_S)
    line = process.stdout.readline() if readable else b""
    if line:
        ready: dict[str, Any] = json.loads(line)
        return ready
    what = "ended" if readable else f"was not up after {_START_TIMEOUT_S:.0f} s"
    said.seek(0)
    last = said.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    raise RegionFailed(f"the local region {what}: {' / '.join(last) or 'it said nothing'}")


def _stop(process: subprocess.Popen[bytes], scratch: _Scratch) -> None:
    """End the region and wait for it; by force if it takes long, and then clean up in its place."""
    with _uninterrupted():
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode != 0 and scratch.path is not None:
            _end_all_of(scratch.path)
            shutil.rmtree(scratch.path, ignore_errors=True)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Take no Ctrl-C for a while: a second one must not undo what the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_all_of(scratch: str) -> None:
    """Kill the processes that have a region's directory in their environment: those which it started."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(scratch in value for value in process.environ().values()):
                process.kill()


# ---------------------------------------------------------------- the process itself
def main(arguments: Sequence[str] | None = None) -> None:
    """Be a region until a signal comes, or the parent is gone."""
    options = _parse(arguments)
    become_network_root()
    for each in _ENDING:
        signal.signal(each, lambda *_: sys.exit(0))
    scratch = _directory_for_a_while()
    status = 1
    try:
        with ExitStack() as undo:
            _run(options, undo, scratch)
        status = 0
    except SystemExit:
        status = 0  # a signal came before it was up
    except FlowlagError as reason:
        print(f"flowlag: {reason}", file=sys.stderr)  # noqa: T201 - what the process has to say
    except Exception:  # noqa: BLE001 - the directory goes even where we have a defect
        traceback.print_exc()
    _become_the_remover_of(scratch, status)


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m local.cloud.region", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 takes a free one")
    parser.add_argument("--region", nargs="+", default=["us-east-1"], help="the AWS regions that it plays")
    parser.add_argument("--preset", choices=PRESETS, default="xen-600", help="habits of the flow-log service")
    parser.add_argument("--time-scale", type=float, default=1, help="how many times as fast")
    parser.add_argument("--faults", default=NONE.to_json(), help="what goes wrong, see local.flow_logs.faults")
    parser.add_argument("--state-dir", type=Path, help="where its logs stay; they go with it by default")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    return parser.parse_args(arguments)


def _run(options: Namespace, undo: ExitStack, scratch: Path) -> None:
    logs = options.state_dir or scratch
    logs.mkdir(parents=True, exist_ok=True)
    undo.callback(_end_descendants)
    listener = _listen(options.port)
    port = listener.getsockname()[1]
    endpoint = f"http://{LOOPBACK}:{port}"
    _set_environment(scratch, port, options.region[0])
    faults = Faults.of_json(options.faults)
    reason = unavailable()
    networks = {
        name: _in_memory_network(scratch / name, faults) if reason else _network(undo, port, scratch / name, faults)
        for name in options.region
    }

    # MiniStack reads its settings when it is imported.
    from local.cloud import seams  # noqa: PLC0415
    from local.flow_logs.service import FlowLogService  # noqa: PLC0415

    boxes = {(name, role): box for name, (by_role, _) in networks.items() for role, box in by_role.items()}
    seams.install(boxes, endpoint, scratch, throttled=faults.throttled)
    service_logs = {name: logs / f"flow-log-service-{name}.jsonl" for name in networks}
    services = [
        FlowLogService(
            endpoint=endpoint,
            region=name,
            preset=PRESETS[options.preset],
            time_scale=options.time_scale,
            packets=packets,
            log=service_logs[name],
            faults=faults,
        )
        for name, (_, packets) in networks.items()
    ]

    def is_up() -> None:
        for service in services:
            service.start()
            undo.callback(service.stop)
        _say(
            endpoint=endpoint,
            network="in-memory" if reason else "namespaces",
            reason=reason or "",
            service_logs={name: str(path) for name, path in service_logs.items()},
            scratch=str(scratch),
        )

    _serve(listener, is_up, with_parent=options.with_parent)


def _directory_for_a_while() -> Path:
    """The directory of all our temporary files, MiniStack's among them."""
    directory = Path(tempfile.mkdtemp(prefix="flowlag-region-"))
    tempfile.tempdir = str(directory)
    return directory


def _become_the_remover_of(directory: Path, status: int) -> NoReturn:
    """End with the removal of `directory`, in a fresh program: threads of MiniStack would still write there."""
    sys.stderr.flush()
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)  # stays so in the program that comes
    remove = "import shutil, sys; shutil.rmtree(sys.argv[1]); sys.exit(int(sys.argv[2]))"
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", remove, str(directory), str(status)])  # noqa: S606


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as reason:
        raise RegionFailed(f"port {port} of {LOOPBACK} cannot be used: {reason.strerror}") from None
    listener.listen()
    return listener


def _set_environment(scratch: Path, port: int, region: str) -> None:
    """Give this process and all that it starts an environment of its own: nobody's proxies, profiles or keys."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    os.environ.clear()
    os.environ.update(
        kept,
        **ministack_settings(scratch, port, region),
        AUTH="true",  # IAM is enforced: every function has the rights of its role, and no others
        TMPDIR=str(scratch),
    )


# ---------------------------------------------------------------- its network
def _network(undo: ExitStack, port: int, homes: Path, faults: Faults) -> tuple[Mapping[str, Box], PacketSource]:
    """What stands for a region's instances, by their role, and what their flow logs see."""
    from local.cloud.boxes import HostBox  # noqa: PLC0415 - brings boto3
    from local.network.capture import InterfaceCapture  # noqa: PLC0415 - likewise
    from local.network.relay import relayed  # noqa: PLC0415 - as little as possible before `unavailable`

    network = undo.enter_context(Network(loss=faults.wire_loss, seed=faults.seed))
    undo.enter_context(relayed(network.hosts, port))
    boxes = {host.name: HostBox(host, _home(homes, host.name)) for host in network.hosts}
    return boxes, InterfaceCapture(network.sender)


def _in_memory_network(homes: Path, faults: Faults) -> tuple[Mapping[str, Box], PacketSource]:
    from local.cloud.boxes import InMemoryBox  # noqa: PLC0415 - as above
    from local.network.capture import InMemoryCapture  # noqa: PLC0415 - likewise

    network = InMemoryNetwork(loss=faults.wire_loss, seed=faults.seed)
    boxes = {name: InMemoryBox(network, _home(homes, name)) for name in ("sender", "target")}
    return boxes, InMemoryCapture(network)


def _home(homes: Path, name: str) -> Path:
    home = homes / name
    home.mkdir(parents=True)
    return home


# ---------------------------------------------------------------- its life
def _serve(listener: socket.socket, is_up: Callable[[], None], *, with_parent: bool) -> None:
    """Serve the embedded AWS until the end; call `is_up` when it answers."""
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()
    for each in _ENDING:
        loop.add_signal_handler(each, ending.set)
    if with_parent:
        threading.Thread(target=_await_orphanhood, args=(loop, ending), daemon=True).start()
    # The loop is never closed: that would wait for threads of MiniStack.
    loop.run_until_complete(_until(ending, listener, is_up))


async def _until(ending: asyncio.Event, listener: socket.socket, is_up: Callable[[], None]) -> None:
    from hypercorn.asyncio import serve  # noqa: PLC0415 - after the settings, as MiniStack
    from hypercorn.config import Config  # noqa: PLC0415 - likewise
    from ministack.app import app  # noqa: PLC0415 - likewise

    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = _GRACE_S
    config.loglevel = os.environ["LOG_LEVEL"]
    server = asyncio.create_task(serve(app, config, shutdown_trigger=ending.wait))
    answer = asyncio.create_task(asyncio.to_thread(_ask_for_health, port))
    await asyncio.wait([server, answer], return_when=asyncio.FIRST_COMPLETED)
    if not server.done():
        await answer
        is_up()
    await server


def _ask_for_health(port: int) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_START_TIMEOUT_S)
    connection.request("GET", "/_ministack/health")
    connection.getresponse().read()
    connection.close()


def _say(**facts: object) -> None:
    """Say the one line, and nothing more: from now on standard output is standard error."""
    print(json.dumps(facts), flush=True)  # noqa: T201 - what the process is asked for
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _await_orphanhood(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    # Better than PR_SET_PDEATHSIG: it works on every system, and looks at the process, not at one of its threads.
    while os.read(sys.stdin.fileno(), 1):
        pass
    loop.call_soon_threadsafe(ending.set)


def _end_descendants() -> None:
    """Kill every process that we started, and wait for its end."""
    deadline = time.monotonic() + _STOP_TIMEOUT_S / 2
    while (children := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=_GRACE_S)


if __name__ == "__main__":
    main()
