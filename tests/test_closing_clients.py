"""A closed client sends nothing, and leaves no task running."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import pytest

import seic
from seic.testing import MockProvider
from tests._support.clients import both
from tests._support.mocks import PATIENCE, client_of, endpoint_mock, gateway_mock


async def test_a_closed_client_sends_nothing(gateway: MockProvider) -> None:
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
async def test_closing_leaves_nothing_running(way: str, gateway: MockProvider) -> None:
    """A pending refresh ends with the client, and so do the requests that wait for it."""
    gateway.hold_tokens()
    client = client_of(gateway)
    waiting = asyncio.create_task(client.get("/"))
    assert await gateway.wait_for_token_request(PATIENCE)

    await (client.aclose() if way == "aclose" else client.__aexit__())
    gateway.release_tokens()
    await asyncio.wait([waiting])

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["aclose", "block"])
def test_a_closing_that_is_cancelled_closes_all_the_same(library: str, way: str) -> None:
    """It cancels the pending refresh at once, and closes the connections."""
    server = endpoint_mock()
    closed: list[bool] = []
    heard: list[BaseException] = []

    class Carrier(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response: httpx.Response = await server.handle_async_request(request)
            return response

        async def aclose(self) -> None:
            closed.append(True)

    async def main() -> None:
        server.hold_tokens()
        client = seic.AsyncClient(gateway_mock().config(), transport=Carrier())

        async def wait() -> None:
            try:
                await client.token()
            except seic.TokenError as error:
                heard.append(error)

        async with anyio.create_task_group() as outer:
            outer.start_soon(wait)
            assert await server.wait_for_token_request(PATIENCE)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await (client.aclose() if way == "aclose" else client.__aexit__())
            assert scope.cancelled_caught
            assert closed
            assert client.is_closed
        server.release_tokens()

    anyio.run(main, backend=library)
    assert len(heard) == 1
    assert server.token_requests == 1
