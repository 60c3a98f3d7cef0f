"""The relay: the embedded AWS, reachable from inside the virtual network.

On AWS an instance without Internet reaches S3 through a gateway endpoint. Here the network leads nowhere, and
`127.0.0.1` inside it is the host's own. So the relay listens there and forwards each connection to the same port of
the real `127.0.0.1`; clients inside use the same endpoint URL as outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from local.network.virtual import Host

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 65_536

type Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Opens a connection to where things are forwarded to."""


@contextlib.contextmanager
def relayed(hosts: Iterable[Host], port: int, address: str = _LOOPBACK) -> Iterator[None]:
    """Forward `address`:`port` of every host to 127.0.0.1:`port` of this process's own network."""
    listeners = [_bound(host.socket(socket.AF_INET, socket.SOCK_STREAM), address, port) for host in hosts]
    with forwarded(listeners, to_loopback(port)):
        yield


@contextlib.contextmanager
def published(host: Host, port: int) -> Iterator[int]:
    """Forward a free port of this process's own 127.0.0.1 to 127.0.0.1:`port` of a host; which one it is."""
    listener = _bound(socket.socket(), _LOOPBACK, 0)

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        inside = host.socket(socket.AF_INET, socket.SOCK_STREAM)
        inside.settimeout(0)
        try:
            await asyncio.get_running_loop().sock_connect(inside, (_LOOPBACK, port))
        except OSError:
            inside.close()
            raise
        return await asyncio.open_connection(sock=inside)

    with forwarded([listener], connect):
        yield listener.getsockname()[1]


def to_loopback(port: int) -> Connect:
    """Connections to 127.0.0.1:`port` of this process's own network."""
    return partial(asyncio.open_connection, _LOOPBACK, port)


@contextlib.contextmanager
def forwarded(listeners: Iterable[socket.socket], connect: Connect) -> Iterator[None]:
    """Forward what comes to bound sockets, which are closed in the end."""
    listening = list(listeners)
    for listener in listening:
        listener.listen()  # connections wait here until the loop runs
    loop, closing = asyncio.new_event_loop(), asyncio.Event()
    thread = Thread(target=_serve, args=(loop, listening, connect, closing), name="relay", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join()


def _bound(listener: socket.socket, address: str, port: int) -> socket.socket:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    return listener


def _serve(
    loop: asyncio.AbstractEventLoop, listeners: list[socket.socket], connect: Connect, closing: asyncio.Event
) -> None:
    async def until_closing() -> None:
        servers = [await asyncio.start_server(partial(_forward, connect), sock=each) for each in listeners]
        await closing.wait()
        for server in servers:
            server.close()
            server.abort_clients()  # a client that keeps its connection alive must not keep the relay

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(until_closing())


_UNDER_WAY: set[asyncio.Task[None] | None] = set()
"""Connections. Once one of its sides has ended, the loop knows a connection by weak references only."""


async def _forward(connect: Connect, inside: asyncio.StreamReader, to_inside: asyncio.StreamWriter) -> None:
    _UNDER_WAY.add(task := asyncio.current_task())
    with contextlib.closing(to_inside), contextlib.ExitStack() as ending:
        ending.callback(_UNDER_WAY.discard, task)
        try:
            outside, to_outside = await connect()
        except ConnectionError:
            return  # nobody listens outside: the client inside sees its connection end
        with contextlib.closing(to_outside):
            try:
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(_pump(inside, to_outside))
                    both_ways.create_task(_pump(outside, to_inside))
            except* ConnectionError:
                pass  # one side hung up; closing the other tells it so


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK_BYTES):
        sink.write(data)
        await sink.drain()
    sink.write_eof()
