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
    from collections.abc import Iterable, Iterator

    from local.network.virtual import Host

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 65_536


@contextlib.contextmanager
def relayed(hosts: Iterable[Host], port: int) -> Iterator[None]:
    """Forward 127.0.0.1:`port` of every host to 127.0.0.1:`port` of this process's own network."""
    listeners = [_listen(host, port) for host in hosts]
    loop, closing = asyncio.new_event_loop(), asyncio.Event()
    thread = Thread(target=_serve, args=(loop, listeners, port, closing), name="endpoint relay", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join()


def _listen(host: Host, port: int) -> socket.socket:
    listener = host.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((_LOOPBACK, port))
    listener.listen()  # connections wait here until the loop runs
    return listener


def _serve(
    loop: asyncio.AbstractEventLoop, listeners: list[socket.socket], port: int, closing: asyncio.Event
) -> None:
    async def until_closing() -> None:
        servers = [await asyncio.start_server(partial(_forward, port), sock=each) for each in listeners]
        await closing.wait()
        for server in servers:
            server.close()
            server.abort_clients()  # a client that keeps its connection alive must not keep the relay

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(until_closing())


async def _forward(port: int, inside: asyncio.StreamReader, to_inside: asyncio.StreamWriter) -> None:
    with contextlib.closing(to_inside):
        try:
            outside, to_outside = await asyncio.open_connection(_LOOPBACK, port)
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
