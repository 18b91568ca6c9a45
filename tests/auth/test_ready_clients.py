"""What a ready client does with its auth: it ends its work, and revokes its token."""

from __future__ import annotations

import asyncio

import httpx
import pytest

import seic
from tests._support.api import auth_for, config
from tests._support.clocks import FakeClock
from tests._support.token_desk import PATIENCE, TokenDesk, landed


@pytest.mark.parametrize("shared", [False, True])
async def test_a_client_ends_its_own_background_work_only(desk: TokenDesk, clock: FakeClock, shared: bool) -> None:
    """Closing one of several clients of an auth leaves the others their fetch."""
    auth = auth_for(desk, clock)
    client = seic.AsyncClient(config(), auth=auth) if shared else seic.AsyncClient(config(), transport=desk)
    source = client._oauth._source
    desk.hold()
    caller = asyncio.create_task(client.token())
    assert await desk.arrived.wait_async(PATIENCE)
    caller.cancel()
    await client.aclose()
    assert (source.state.flight is not None) is shared
    desk.release()
    await landed(source)
    assert (source.current is not None) is shared
    await asyncio.wait([caller])


def test_a_blocking_client_ends_its_thread(desk: TokenDesk) -> None:
    """In memory the thread cannot be cut off, so closing waits a moment for it, and then goes."""
    with seic.Client(config(), transport=desk) as client:
        assert client.token().access_token == "token-1"
        assert client.token(force=True).access_token == "token-2"
        assert client.stats.token_requests == 2
    assert client._oauth._source.state.flight is None


async def test_a_client_revokes(desk: TokenDesk) -> None:
    """The provider is told, and the next token is a new one."""
    async with seic.AsyncClient(config(), transport=desk) as client:
        await client.token()
        desk.plan.append(httpx.Response(200))
        await client.revoke()
        assert b"invalidate_token" in desk.requests[-1].content
        assert (await client.token()).access_token == "token-2"


def test_a_blocking_client_revokes(desk: TokenDesk) -> None:
    """As the async one."""
    with seic.Client(config(), transport=desk) as client:
        client.token()
        desk.plan.append(httpx.Response(200))
        client.revoke()
        assert b"invalidate_token" in desk.requests[-1].content
        assert client.token().access_token == "token-2"


def test_what_is_no_configuration_is_refused_as_by_a_client() -> None:
    """The flow and the client say the same."""
    for make in (seic.OAuth2Auth, seic.AsyncClient, seic.Client):
        with pytest.raises(seic.ConfigurationError, match=r"^config: must be a seic\.Config, .*, not NoneType$"):
            make(None)  # type: ignore[arg-type]
