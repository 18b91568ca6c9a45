"""Closing and revocation by a ready client."""

from __future__ import annotations

import asyncio

import httpx
import pytest

import seic
from seic.events import TokenRefreshEnded
from seic.testing import MockProvider
from tests._support.api import auth_for, config
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE


@pytest.mark.parametrize("shared", [False, True])
async def test_a_client_ends_its_own_background_work_only(server: MockProvider, clock: FakeClock, shared: bool) -> None:
    """Closing one of several clients of an auth does not cancel the refresh of the others."""
    auth = auth_for(server, clock)
    ended = asyncio.Event()
    auth.listen(lambda event: ended.set() if isinstance(event, TokenRefreshEnded) else None)
    client = seic.AsyncClient(config(), auth=auth) if shared else seic.AsyncClient(config(), transport=server)
    server.hold_tokens()
    caller = asyncio.create_task(client.token())
    assert await server.wait_for_token_request(PATIENCE)
    caller.cancel()
    await asyncio.wait([caller])
    await client.aclose()
    assert len(asyncio.all_tasks()) == (2 if shared else 1)
    server.release_tokens()
    if shared:
        await ended.wait()
    assert ("token=fresh" in repr(client)) is shared


def test_a_blocking_client_ends_its_thread(server: MockProvider) -> None:
    """An in-memory request cannot be cancelled, so closing waits for its thread for a moment."""
    with seic.Client(config(), transport=server) as client:
        assert client.token().access_token == "token-1"
        assert client.token(force=True).access_token == "token-2"
        assert client.stats.token_requests == 2
    assert client._oauth._source.cache.pending is None


async def test_a_client_revokes(server: MockProvider) -> None:
    """The provider gets the request, and the next token is a new one."""
    async with seic.AsyncClient(config(), transport=server) as client:
        await client.token()
        server.token_responses.append(httpx.Response(200))
        await client.revoke()
        assert b"invalidate_token" in server.requests[-1].content
        assert (await client.token()).access_token == "token-2"


def test_a_blocking_client_revokes(server: MockProvider) -> None:
    """As the async one."""
    with seic.Client(config(), transport=server) as client:
        client.token()
        server.token_responses.append(httpx.Response(200))
        client.revoke()
        assert b"invalidate_token" in server.requests[-1].content
        assert client.token().access_token == "token-2"


def test_what_is_no_configuration_is_refused_as_by_a_client() -> None:
    """Auth and client raise the same error."""
    for make in (seic.OAuth2Auth, seic.AsyncClient, seic.Client):
        with pytest.raises(seic.ConfigurationError, match=r"^config: must be a seic\.Config, .*, not NoneType$"):
            make(None)  # type: ignore[arg-type]
