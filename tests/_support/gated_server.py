"""A server in the test's event loop whose answers wait for the test, and clients of it without tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

import seic
from tests._support.hops import make_config


class GatedServer:
    """A server in the test's event loop that answers each path when its gate is open.

    Attributes:
        order: The paths, in the order in which they arrived.
        tokens: The `Authorization` of each request.
        opened: The number of connections so far.
    """

    def __init__(self) -> None:
        self.url = ""
        self.order: list[str] = []
        self.tokens: list[str] = []
        self.opened = 0
        self._changed = asyncio.Condition()
        self._gates: dict[str, asyncio.Event] = {}
        self._writers: set[asyncio.StreamWriter] = set()

    def hold(self, path: str) -> Callable[[], None]:
        """Have a path wait; return what lets it go."""
        gate = self._gates[path] = asyncio.Event()
        return gate.set

    async def until_arrived(self, *paths: str) -> None:
        """Wait until requests for these paths have arrived."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: set(paths) <= set(self.order))

    async def until_open(self, count: int) -> None:
        """Wait until there are no more than `count` connections."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self._writers) <= count)

    async def hang_up(self) -> None:
        """Close all connections, without a word."""
        for writer in [*self._writers]:
            writer.close()
            await writer.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.opened += 1
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ", 2)[1]
                self.tokens += [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Authoriz")]
                self.order.append(path)
                async with self._changed:
                    self._changed.notify_all()
                if path in self._gates:
                    await self._gates[path].wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        self._writers.discard(writer)
        writer.close()
        async with self._changed:
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def gated_server() -> AsyncIterator[GatedServer]:
    """Run a server without TLS."""
    made = GatedServer()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()
    await made.hang_up()


def config_for(url: str) -> seic.Config:
    """Settings that reach a server without TLS."""
    return make_config(hosts=seic.Hosts(api=url, allow_http_on_loopback=True))


@contextlib.asynccontextmanager
async def client_of(server: GatedServer, pool: float | None = 10.0, **limits: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client over seic's transport, without tokens."""
    config = config_for(server.url)
    transport = seic.AsyncTransport(config, limits=httpx.Limits(**limits))
    timeout = httpx.Timeout(10, pool=pool)
    async with httpx.AsyncClient(transport=transport, base_url=config.base_url, timeout=timeout) as client:
        await client.get("/first")  # the TLS context is built, and the first connection open
        yield client


async def in_line(client: httpx.AsyncClient, *paths: str) -> list[asyncio.Task[httpx.Response]]:
    """Send requests one after the other, without waiting for their responses."""
    tasks = []
    for path in paths:
        tasks.append(asyncio.create_task(client.get(path)))
        for _ in range(5):
            await asyncio.sleep(0)
    return tasks
