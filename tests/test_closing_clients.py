"""A closed client sends nothing, and leaves no task running."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import pytest

import seic
from tests._support.clients import both
from tests._support.fakes.gateway import FakeGateway
from tests._support.fakes.token_endpoint import PATIENCE, FakeEndpoint


async def test_a_closed_client_sends_nothing(gateway: FakeGateway) -> None:
    """Httpx's error is raised, also after the `with` block and after a second close."""
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
    """A pending refresh ends with the client, and so do the requests that wait for it."""
    gateway.hold()
    client = gateway.client()
    waiting = asyncio.create_task(client.get("/"))
    assert await gateway.arrived.wait_async(PATIENCE)

    await (client.aclose() if way == "aclose" else client.__aexit__())
    gateway.release()
    await asyncio.wait([waiting])

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["aclose", "block"])
def test_a_closing_that_is_cancelled_closes_all_the_same(library: str, way: str) -> None:
    """It cancels the pending refresh at once, and closes the connections."""
    server = FakeEndpoint()
    closed: list[bool] = []
    heard: list[BaseException] = []

    class Carrier(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await server.handle_async_request(request)

        async def aclose(self) -> None:
            closed.append(True)

    async def main() -> None:
        server.hold()
        client = seic.AsyncClient(FakeGateway().config(), transport=Carrier())

        async def wait() -> None:
            try:
                await client.token()
            except seic.TokenError as error:
                heard.append(error)

        async with anyio.create_task_group() as outer:
            outer.start_soon(wait)
            assert await server.arrived.wait_async(PATIENCE)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await (client.aclose() if way == "aclose" else client.__aexit__())
            assert scope.cancelled_caught
            assert closed
            assert client.is_closed
        server.release()

    anyio.run(main, backend=library)
    assert len(heard) == 1
    assert server.calls == 1
