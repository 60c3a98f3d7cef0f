"""The virtual network, on a real kernel. Without the right to make one, what needs it says so and is skipped.

`test_the_same_holds_without_root` runs this file again, in a process that has no privilege but a user namespace.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flowlag.signature import SHORTEST
from local.flow_logs.records import EGRESS, INGRESS, Packet, parse_packet
from local.network.capture import InterfaceCapture
from local.network.relay import relayed
from local.network.virtual import SENDER_ADDRESS, TARGET_ADDRESS, InMemoryNetwork, Network, unavailable
from sender.order import Order
from sender.packets import build
from tests.ports import port_of_ours

PORT = 7777
RST_ACK = 0x14
PATIENCE_S = 20
NO_NETWORK = 77
ENVIRONMENT = {"PATH": os.environ["PATH"]}

POWERLESS = """
import ctypes, os, sys
CAP_SETFCAP = 31  # without it root, unlike everybody else, may not map itself into a user namespace
for capability in set(range(64)) - {CAP_SETFCAP}:
    ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP: the next program lacks it, root or not
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def permission() -> None:
    reason = unavailable()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def network(permission):  # noqa: ARG001
    with Network() as network:
        yield network


@pytest.fixture
def server():
    """An HTTP server on this machine's own loopback, which answers with the path it was asked for."""

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections alive, as AWS does

        def do_GET(self) -> None:
            body = self.path.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def output(process: subprocess.Popen[bytes]) -> str:
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    return out.decode()


def interfaces_like_a_network_s() -> set[tuple[int, str]]:
    """Those of this process's own network that are called as a `Network` calls its interfaces."""
    return {each for each in socket.if_nameindex() if each[1] in {"eth0", "sender", "target"}}


def holders(namespace: int) -> list[Path]:
    """Whatever thread on this machine is in the network namespace with this inode."""
    links = Path("/proc").glob("[0-9]*/task/*/ns/net")
    return [link for link in links if os.path.lexists(link) and inode(link) == namespace]


def inode(link: Path) -> int | None:
    try:
        return link.stat().st_ino
    except OSError:  # the thread has ended meanwhile
        return None


@pytest.fixture
def remember():
    """Keep a namespace's inode for it, even without holders: another network's would get the next free one."""
    with ExitStack() as kept:

        def remember(namespace: int) -> None:
            first, *_ = holders(namespace)
            kept.callback(os.close, os.open(first, os.O_RDONLY))

        yield remember


def namespace_of(host) -> int:
    return host.run(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)


def ends_within_patience(pipe: int) -> bool:
    """Whether every process that could write to the pipe ends; reads what they wrote."""
    deadline = time.monotonic() + PATIENCE_S
    while select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
        if not os.read(pipe, 4096):
            return True
    return False


def until_quiet(capture: InterfaceCapture) -> list[Packet]:
    """The packets that a capture sees until there has been none for a while."""
    seen = []
    while True:
        time.sleep(0.5)
        more = capture.drain()
        if not more:
            return seen
        seen += more


# ---------------------------------------------------------------- the wire
@pytest.mark.slow
def test_a_packet_crosses_the_wire(network):
    with (
        closing(network.target.socket(socket.AF_INET, socket.SOCK_DGRAM)) as target,
        closing(network.sender.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender,
    ):
        target.settimeout(PATIENCE_S)
        target.bind((network.target.address, PORT))
        sender.sendto(b"hello", (network.target.address, PORT))
        data, (source, _) = target.recvfrom(100)
    assert (data, source) == (b"hello", SENDER_ADDRESS)


@pytest.mark.slow
def test_the_target_answers_a_probe_with_a_reset(network, tmp_path):
    order = Order("run-1", "bucket", SENDER_ADDRESS, TARGET_ADDRESS, PORT, 1, SHORTEST, 1, tmp_path)
    with (
        closing(network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)) as answers,
        closing(network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as wire,
    ):
        answers.settimeout(PATIENCE_S)
        wire.sendto(build(order, 4711), (TARGET_ADDRESS, 0))
        answer = parse_packet(answers.recv(2000), 0, INGRESS)
    assert answer is not None
    assert answer.flow[:4] == (TARGET_ADDRESS, SENDER_ADDRESS, PORT, 4711)
    assert answer.tcp_flags == RST_ACK


@pytest.mark.slow
@pytest.mark.usefixtures("permission")
def test_what_a_lossy_wire_loses_has_left_the_sender_and_never_reaches_the_target(tmp_path):
    order = Order("run-1", "bucket", SENDER_ADDRESS, TARGET_ADDRESS, PORT, 1, SHORTEST, 1, tmp_path)
    ports = range(1, 401)
    with (
        Network(loss=0.25, seed=1) as network,
        closing(InterfaceCapture(network.sender)) as at_sender,
        closing(InterfaceCapture(network.target)) as at_target,
        closing(network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as wire,
    ):
        sent_or_answered, arrived_or_reset = [], []
        for port in ports:
            wire.sendto(build(order, port), (TARGET_ADDRESS, 0))
            time.sleep(0.001)  # a host's buffers do not hold them all
            sent_or_answered += at_sender.drain()
            arrived_or_reset += at_target.drain()
        sent_or_answered += until_quiet(at_sender)
        arrived_or_reset += until_quiet(at_target)
    sent = {packet.flow.srcport for packet in sent_or_answered if packet.flow.direction == EGRESS}
    answered = {packet.flow.dstport for packet in sent_or_answered if packet.flow.direction == INGRESS}
    arrived = {packet.flow.srcport for packet in arrived_or_reset if packet.flow.direction == INGRESS}
    assert sent == set(ports)
    assert arrived == answered
    assert 50 < len(sent - arrived) < 150


@pytest.mark.slow
@pytest.mark.usefixtures("permission")
def test_what_a_lossy_wire_does_not_lose_it_carries_whole():
    """Checksums that the kernel left to the network card, packets longer than a frame, and answers."""
    sent = os.urandom(300_000)
    with (
        Network(loss=0.05, seed=2) as network,
        closing(network.target.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener,
        closing(network.sender.socket(socket.AF_INET, socket.SOCK_STREAM)) as client,
    ):
        listener.bind((TARGET_ADDRESS, PORT))
        listener.listen()
        client.settimeout(PATIENCE_S)
        client.connect((TARGET_ADDRESS, PORT))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            sending = Thread(target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR)))
            sending.start()
            assert b"".join(iter(lambda: connection.recv(65_536), b"")) == sent
            sending.join()
            connection.sendall(b"thanks")
            assert client.recv(100) == b"thanks"


@pytest.mark.slow
def test_a_program_sees_its_own_host_and_no_other(network, server):
    program = f"""
import socket, sys
print([name for _, name in socket.if_nameindex()])
print(sum(line.split()[1] == "00000000" for line in open("/proc/net/route")))
print(socket.socket().connect_ex(("127.0.0.1", {server.server_port})) != 0)
"""
    process = network.sender.popen([sys.executable, "-c", program], env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert output(process).splitlines() == ["['lo', 'eth0']", "0", "True"]


@pytest.mark.slow
def test_a_program_gets_its_environment_and_directory_and_tells_how_it_ended(network, tmp_path):
    process = network.target.popen(
        ["sh", "-c", "env -u PWD; pwd; exit 3"],
        env={"PATH": os.environ["PATH"], "GREETING": "hello"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    out, _ = process.communicate(timeout=PATIENCE_S)
    lines = out.decode().splitlines()
    assert {line for line in lines[:-1] if not line.startswith(("_=", "SHLVL="))} == {
        f"PATH={os.environ['PATH']}",
        "GREETING=hello",
    }
    assert lines[-1] == str(tmp_path)
    assert process.returncode == 3


@pytest.mark.slow
def test_a_program_that_does_not_exist_is_an_error(network):
    with pytest.raises(FileNotFoundError):
        network.sender.popen(["no-such-program"], env=ENVIRONMENT)


# ---------------------------------------------------------------- the relay
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@pytest.mark.slow
def test_the_relay_reaches_a_server_outside_from_both_hosts(network, server):
    url = f"http://127.0.0.1:{server.server_port}/"
    with relayed(network.hosts, server.server_port):
        for host in network.hosts:
            fetch = [sys.executable, "-c", FETCH, url + host.name]
            process = host.popen(fetch, env=ENVIRONMENT, stdout=subprocess.PIPE)
            assert output(process) == f"/{host.name}\n"


@pytest.mark.slow
def test_the_relay_carries_more_than_a_buffer_both_ways(network):
    sent = os.urandom(3_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def echo() -> None:
            connection, _ = listener.accept()
            with connection:
                received = b"".join(iter(lambda: connection.recv(65_536), b""))
                connection.sendall(received)

        thread = Thread(target=echo)
        thread.start()
        with relayed([network.sender], port), network.sender.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect(("127.0.0.1", port))
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(65_536), b"")) == sent
        thread.join()


@pytest.mark.slow
def test_the_relay_hangs_up_where_nobody_listens_outside(network):
    with (
        port_of_ours() as port,
        relayed([network.sender], port),
        network.sender.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", port))
        assert client.recv(1) == b""


@pytest.mark.slow
def test_the_relay_closes_under_a_client_that_keeps_its_connection(network, server):
    with network.sender.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE_S)
        with relayed([network.sender], server.server_port):
            client.connect(("127.0.0.1", server.server_port))
            client.sendall(b"GET /kept HTTP/1.1\r\nHost: here\r\n\r\n")
            while b"/kept" not in client.recv(4096):
                pass
        assert client.recv(1) == b""
    url = f"http://127.0.0.1:{server.server_port}/outside"
    assert urllib.request.urlopen(url, timeout=PATIENCE_S).read() == b"/outside"


# ---------------------------------------------------------------- nothing is left
@pytest.mark.slow
@pytest.mark.usefixtures("permission")
@pytest.mark.parametrize("loss", [0, 0.5])
def test_nothing_is_left_when_the_network_closes_not_even_a_detached_process(loss, started_threads, remember):
    interfaces = interfaces_like_a_network_s()
    alive, dead = os.pipe()
    with Network(loss=loss) as network:
        namespaces = [namespace_of(host) for host in network.hosts]
        for namespace in namespaces:
            remember(namespace)
        shell = network.sender.popen(
            ["sh", "-c", "setsid sleep 1000 & echo started; exec sleep 1000"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            pass_fds=(dead,),
        )
        os.close(dead)
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"started\n"
    assert ends_within_patience(alive)
    os.close(alive)
    shell.stdout.close()
    assert shell.returncode == -signal.SIGKILL
    assert [holders(namespace) for namespace in namespaces] == [[], []]
    assert interfaces_like_a_network_s() == interfaces
    assert [thread.is_alive() for thread in started_threads] == [False] * (4 if loss else 2)


OWNER = """
import os, sys, time
from pathlib import Path
from local.network.virtual import Network
alive = int(sys.argv[1])
with Network() as network:
    for host in network.hosts:
        print(host.run(lambda: Path("/proc/thread-self/ns/net").stat().st_ino), flush=True)
        program = ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]
        host.popen(program, env={"PATH": os.environ["PATH"]}, pass_fds=(alive,))
    print("ready", flush=True)
    time.sleep(1000)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("permission")
def test_nothing_is_left_when_the_owner_is_killed(remember):
    interfaces = interfaces_like_a_network_s()
    alive, dead = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(dead)], stdout=subprocess.PIPE, pass_fds=(dead,)
    ) as owner:
        os.close(dead)
        assert owner.stdout is not None
        *namespaces, ready = [owner.stdout.readline() for _ in range(3)]
        assert ready == b"ready\n"
        for namespace in namespaces:
            remember(int(namespace))
        owner.kill()
    assert ends_within_patience(alive)
    os.close(alive)
    assert [holders(int(namespace)) for namespace in namespaces] == [[], []]
    assert interfaces_like_a_network_s() == interfaces


# ---------------------------------------------------------------- permission
def powerless(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program that has no privilege, whoever runs the tests."""
    return subprocess.run(
        [sys.executable, "-c", POWERLESS, program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30 * PATIENCE_S,
    )


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are a feature of Linux")


@on_linux
@pytest.mark.slow
def test_the_same_holds_without_root(tmp_path):
    again = f"""
import sys
from local.network.virtual import become_network_root, unavailable
become_network_root()
reason = unavailable()
if reason:
    print(reason)
    sys.exit({NO_NETWORK})
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
    deselect = f"{Path(__file__).name} and not without"
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "again"), "-k", deselect]
    result = powerless(again, *options, __file__)
    if result.returncode == NO_NETWORK:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, result.stdout + result.stderr
    assert "skipped" not in result.stdout


@on_linux
@pytest.mark.slow
def test_without_privilege_and_without_a_user_namespace_there_is_a_reason_and_nothing_has_changed():
    refused = """
import os
from local.network.virtual import become_network_root, unavailable
def refuse(flags):
    raise PermissionError(1, "Operation not permitted")
os.unshare = refuse
before = os.geteuid(), os.readlink("/proc/self/ns/user")
become_network_root()
print((os.geteuid(), os.readlink("/proc/self/ns/user")) == before)
print(unavailable())
"""
    result = powerless(refused)
    assert result.stdout.splitlines() == [
        "True",
        "the kernel grants this process no network namespace ([Errno 1] Operation not permitted)",
    ], result.stderr


def test_without_linux_there_is_a_reason(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert unavailable() == "network namespaces are a feature of Linux, and this is darwin"


# ---------------------------------------------------------------- in memory
def test_in_memory_every_subscriber_sees_each_packet_with_its_time():
    network, seen, also_seen = InMemoryNetwork(), [], []
    before = time.time_ns()
    network.subscribe(lambda packet, at_ns: seen.append((packet, at_ns)))
    network.subscribe(lambda packet, at_ns: also_seen.append((packet, at_ns)))
    network.transmit(b"one")
    network.transmit(b"two")
    assert [packet for packet, _ in seen] == [b"one", b"two"]
    assert seen == also_seen
    times = [before, *(at_ns for _, at_ns in seen), time.time_ns()]
    assert times == sorted(times)


def test_in_memory_what_is_lost_has_left_the_sender_and_never_reaches_the_target():
    network, at_sender, at_target = InMemoryNetwork(loss=0.25, seed=1), [], []
    network.subscribe(lambda packet, _: at_sender.append(packet))
    network.subscribe_at_target(lambda packet, _: at_target.append(packet))
    packets = [bytes([number]) for number in range(200)]
    for packet in packets:
        network.transmit(packet)
    assert at_sender == packets
    assert at_target == sorted(at_target)
    assert set(at_target) < set(packets)
    assert 20 < len(packets) - len(at_target) < 80


def test_in_memory_who_unsubscribed_sees_nothing_more():
    network, seen = InMemoryNetwork(), []

    def see(packet, at_ns):
        seen.append((packet, at_ns))

    network.subscribe(see)
    network.subscribe_at_target(see)
    network.unsubscribe(see)
    network.transmit(b"one")
    assert seen == []
