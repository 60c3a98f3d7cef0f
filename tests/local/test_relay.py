"""The relay's other direction: what listens in a namespace, at a port of this machine's own loopback."""

import contextlib
import socket
import threading

import pytest

from local.network.relay import published
from local.network.virtual import Network, unavailable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable() is not None, reason="this machine grants no network namespaces"),
]

PORT = 3_001


@pytest.fixture(scope="module")
def host():
    with Network() as network:
        yield network.target


def test_what_listens_inside_is_reached_from_outside(host):
    listener = host.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", PORT))
    listener.listen()

    def echo():
        inside, _ = listener.accept()
        with inside:
            inside.sendall(inside.recv(100).upper())

    with listener, published(host, PORT) as port:
        answering = threading.Thread(target=echo)
        answering.start()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as outside:
            outside.sendall(b"hello")
            assert outside.recv(100) == b"HELLO"
        answering.join()


def test_where_nobody_listens_the_connection_ends(host):
    with (
        published(host, PORT + 1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as outside,
        contextlib.suppress(ConnectionResetError),
    ):
        assert outside.recv(100) == b""


def test_it_is_gone_in_the_end(host):
    with published(host, PORT) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
