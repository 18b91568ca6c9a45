"""Logins whose refresh tokens several sources share, through a store."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

import seic
from seic import SEI_PLATFORM, AuthorizationCode, Grant, MemoryStore, RefreshToken, Token, TokenRequestRefused
from seic._tokens.store_guard import PATIENCE
from tests._support.clocks import FakeClock
from tests._support.mocks import refresh_tokens_or_grants, refreshing_mock, uses_of
from tests._support.renewals import LATER, code
from tests._support.sources import Direct, granted_source_of


async def test_two_sources_of_one_store_spend_a_refresh_token_once() -> None:
    """The second waits for the first one's refresh, and loads its token from the store."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    grant = code()
    one, other = (granted_source_of(provider, grant, clock, store=store) for _ in range(2))
    assert (await one.token()).access_token == (await other.token()).access_token == "a1"
    clock.advance(LATER)
    provider.hold_tokens(issued=True)
    first = asyncio.create_task(one.token())
    assert await provider.wait_for_token_request(PATIENCE)
    second = asyncio.create_task(other.token())
    for _ in range(20):  # steps of the loop, more than the second needs until it waits
        await asyncio.sleep(0)
    provider.release_tokens()
    assert (await first).access_token == (await second).access_token == "a2"
    assert (uses_of(provider), provider.reused_refresh_tokens) == ({"r1": 1}, [])


@pytest.mark.parametrize(
    "grant", [RefreshToken(refresh_token="r0"), AuthorizationCode(code="c")], ids=["refresh token", "code"]
)
async def test_two_sources_of_one_login_without_a_store(grant: Grant) -> None:
    """The second gets an error that a login is required, and the first one's tokens stay valid."""
    provider, clock = refreshing_mock(), FakeClock()
    one, other = (granted_source_of(provider, grant, clock) for _ in range(2))
    await one.token()
    with pytest.raises(TokenRequestRefused, match="login required") as caught:
        await other.token()
    assert caught.value.code == "login_required"
    clock.advance(LATER)
    await one.token()
    assert (len(provider.forms), provider.reused_refresh_tokens) == (2, [])


class SlowStore(MemoryStore):
    """A store that saves when it is released."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.saving = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def save(self, key: str, token: Token) -> None:
        """Save the token when released."""
        self.saving.set()
        assert self.let.wait(10)
        super().save(key, token)


async def test_a_rotated_token_is_saved_before_the_old_one_is_forgotten() -> None:
    """The old pair is kept until the store has the new one."""
    provider, clock, store = refreshing_mock(), FakeClock(), SlowStore()
    source = granted_source_of(provider, code(), clock, store=store)
    await source.token()
    store.saving.clear()
    store.let.clear()
    clock.advance(LATER)
    caller = asyncio.create_task(source.token())
    await asyncio.to_thread(store.saving.wait)
    kept = store.load("key")
    assert kept is not None
    assert kept.refresh_token == source.cache.token.token.refresh_token == "r1"
    assert not caller.done()
    store.let.set()
    assert (await caller).refresh_token == "r2"
    kept = store.load("key")
    assert kept is not None
    assert kept.refresh_token == "r2"


async def test_a_store_that_hangs_does_not_hold_a_login_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the store is limited, and the login continues from memory."""
    monkeypatch.setattr("seic._tokens.store_guard.PATIENCE", 0.01)
    provider, clock, store = refreshing_mock(), FakeClock(), SlowStore()
    store.let.clear()
    source = granted_source_of(provider, code(), clock, store=store)
    async with asyncio.timeout(10 * PATIENCE):
        assert (await source.token()).refresh_token == "r1"
    store.let.set()


async def test_a_new_process_goes_on_with_the_stored_refresh_token() -> None:
    """A code that another process has used is not sent again, but its refresh token is used."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    await granted_source_of(provider, code(), clock, store=store).token()
    clock.advance(LATER)
    await granted_source_of(provider, code(), clock, store=store).token()
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1"]


async def test_another_process_was_faster() -> None:
    """After a refused refresh, the store has the next token from the other process."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    source = granted_source_of(provider, code(), clock, store=store)
    await source.token()
    clock.advance(LATER)
    other = Token(access_token="from-elsewhere", refresh_token="r9", expires_in=3600, obtained_at=clock.wall)

    def refuse(_request: httpx.Request) -> httpx.Response:
        provider.forms.append({"grant_type": "refresh_token", "refresh_token": "r1"})
        store.save("key", other)
        return httpx.Response(400, json={"error": "invalid_grant"})

    object.__setattr__(source.endpoint, "transports", Direct(httpx.MockTransport(refuse)))
    assert (await source.token()).access_token == "from-elsewhere"
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1"]


async def test_a_config_with_a_store_demands_a_subject() -> None:
    """A grant with a callable must name the owner of the token if there is a store."""
    settings: dict[str, Any] = {
        "provider": SEI_PLATFORM,
        "client_id": "c",
        "client_secret": "s",
        "store": MemoryStore(),
    }
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config(**settings, grant=AuthorizationCode(code=lambda: "c"))
    assert caught.value.field == "grant.subject"
    keys = {
        seic.Config(**settings, grant=AuthorizationCode(code=lambda: "c", subject=subject)).store_key(None)
        for subject in ("ann", "bob")
    }
    assert len(keys) == 2
