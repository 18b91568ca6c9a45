"""A closed pool: requests that wait or connect fail, and no connection stays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import seic
from seic import _sync_pool
from tests._support.gated_server import GatedServer, client_of, config_for, gated_server, in_line
from tests._support.wire import Wire, wire


@pytest.fixture
async def server() -> AsyncIterator[GatedServer]:
    """A server without TLS."""
    async with gated_server() as made:
        yield made


@pytest.fixture
def far() -> Iterator[Wire]:
    """A server in a thread, without TLS."""
    with wire() as running:
        yield running


async def test_requests_that_wait_fail_when_the_client_closes(server: GatedServer) -> None:
    """With the error of httpx's closed clients, and no connection is opened for them."""
    go_on = server.hold("/held")
    async with client_of(server, max_connections=1) as client:
        held, *waiting = await in_line(client, "/held", "/1", "/2")
        await server.until_arrived("/held")
        await client.aclose()

        for task in waiting:
            with pytest.raises(RuntimeError, match="closed"):
                await asyncio.wait_for(task, 10)
        with pytest.raises(httpx.TransportError):
            await held
    go_on()
    await server.until_open(0)

    assert server.order == ["/first", "/held"]
    assert server.opened == 1


async def test_a_transport_that_is_closed_opens_nothing(server: GatedServer) -> None:
    """Also for a request that httpx does not see, such as the repetition of one."""
    config = config_for(server.url)
    transport = seic.AsyncTransport(config)
    async with httpx.AsyncClient(transport=transport, base_url=config.base_url) as client:
        await client.get("/first")
        request = client.build_request("GET", "/late")
    with pytest.raises(RuntimeError, match="closed"):
        await transport.handle_async_request(request)
    await server.until_open(0)

    assert server.opened == 1


async def test_a_connection_that_is_opened_while_the_client_closes_does_not_stay(server: GatedServer) -> None:
    """Httpcore cannot close a handshake in progress, so it is closed when its request ends."""
    async with client_of(server, max_keepalive_connections=0) as client:

        async def close(event: str, info: object) -> None:
            if event == "connection.connect_tcp.started":
                await client.aclose()

        await client.get("/", extensions={"trace": close})
    await server.until_open(0)

    assert server.opened == 2


def test_threads_that_wait_fail_when_the_client_closes(far: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the async twin, at once and not after the pool timeout."""
    queued = threading.Event()

    class Place(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            queued.set()
            return super().wait(timeout)

    monkeypatch.setattr(_sync_pool.Pool, "_event", Place)
    config = config_for(far.url)
    transport = seic.Transport(config, limits=httpx.Limits(max_connections=1))
    with (
        httpx.Client(transport=transport, base_url=config.base_url, timeout=30) as client,
        ThreadPoolExecutor() as pool,
        client.stream("GET", "/"),
    ):
        waiting = pool.submit(client.get, "/waiting")
        assert queued.wait(10)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            waiting.result(10)
