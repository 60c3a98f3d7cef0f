"""A port of the loopback that nobody else has, whatever else this machine does."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

LOOPBACK = "127.0.0.1"


@contextmanager
def port_of_ours() -> Iterator[int]:
    """A port on which nobody listens until a server of ours does, which sets SO_REUSEADDR as all servers do.

    A socket that is bound and does not listen keeps it from whoever else looks for a free one.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((LOOPBACK, 0))
        yield keeper.getsockname()[1]
