"""A closed client sends nothing, and leaves nothing running."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import pytest

import seic
from seic._concurrency import OneShotEvent
from tests._support.clients import both
from tests._support.fake_gateway import FakeGateway
from tests._support.token_desk import PATIENCE, TokenDesk


async def test_a_closed_client_sends_nothing(gateway: FakeGateway) -> None:
    """Httpx's own error, also after the block and after a second closing."""
    client, blocking = both(gateway)
    async with client:
        await client.get("/")
    await client.aclose()
    blocking.close()
    blocking.close()

    assert client.is_closed
    assert blocking.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        await client.get("/")
    with pytest.raises(RuntimeError, match="closed"):
        blocking.get("/")


@pytest.mark.parametrize("way", ["aclose", "block"])
async def test_closing_leaves_nothing_running(way: str, gateway: FakeGateway) -> None:
    """A token fetch under way ends with the client; who waits for it comes to an end, too."""
    gateway.gate = asyncio.Event()
    client = gateway.client()
    waiting = asyncio.create_task(client.get("/"))
    await gateway.arrived.wait()

    await (client.aclose() if way == "aclose" else client.__aexit__())
    gateway.gate.set()
    await asyncio.wait([waiting])

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["aclose", "block"])
def test_a_closing_that_is_cancelled_closes_all_the_same(library: str, way: str) -> None:
    """It ends the fetch that others wait for without giving it its moment, and closes the connections."""
    desk = TokenDesk()
    closed = OneShotEvent()
    heard: list[BaseException] = []

    class Carrier(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await desk.handle_async_request(request)

        async def aclose(self) -> None:
            closed.set()

    async def main() -> None:
        desk.hold()
        client = seic.AsyncClient(FakeGateway().config(), transport=Carrier())

        async def wait() -> None:
            try:
                await client.token()
            except seic.TokenError as error:
                heard.append(error)

        async with anyio.create_task_group() as outer:
            outer.start_soon(wait)
            assert await desk.arrived.wait(PATIENCE)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await (client.aclose() if way == "aclose" else client.__aexit__())
            assert scope.cancelled_caught
            assert closed.is_set()
            assert client.is_closed
        desk.release()

    anyio.run(main, backend=library)
    assert len(heard) == 1
    assert desk.calls == 1
