"""Logins whose refresh tokens more than one source can see, by a store that keeps them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

import seic
from seic._errors import TokenRequestRefused
from seic._model.grant_parameters import Grant
from seic._model.grants import AuthorizationCode, RefreshToken
from seic._model.token import Token
from seic._oauth.providers import SEI_PLATFORM
from seic._tokens.store import MemoryStore
from seic._tokens.store_guard import PATIENCE
from tests._support.clocks import FakeClock
from tests._support.fakes.provider import FakeProvider
from tests._support.fakes.sources import Direct
from tests._support.renewals import LATER, code


async def test_two_sources_of_one_store_spend_a_refresh_token_once() -> None:
    """Expect the second to wait for the first one's refresh, and to take its token from the store."""
    provider, clock, store = FakeProvider(), FakeClock(), MemoryStore()
    grant = code()
    one, other = (provider.source(grant, clock, store=store) for _ in range(2))
    assert (await one.token()).access_token == (await other.token()).access_token == "a1"
    clock.advance(LATER)
    provider.hold()
    first = asyncio.create_task(one.token())
    assert await provider.arrived.wait_async(PATIENCE)
    second = asyncio.create_task(other.token())
    for _ in range(20):  # steps of the loop, more than the second needs to come to where it waits
        await asyncio.sleep(0)
    provider.release()
    assert (await first).access_token == (await second).access_token == "a2"
    assert (provider.uses, provider.killed) == ({"r1": 1}, set())


@pytest.mark.parametrize(
    "grant", [RefreshToken(refresh_token="r0"), AuthorizationCode(code="c")], ids=["refresh token", "code"]
)
async def test_two_sources_of_one_login_without_a_store(grant: Grant) -> None:
    """Expect the second to be told that a person must log in, and to leave the first one's tokens alive."""
    provider, clock = FakeProvider(), FakeClock()
    one, other = (provider.source(grant, clock) for _ in range(2))
    await one.token()
    with pytest.raises(TokenRequestRefused, match="login required") as caught:
        await other.token()
    assert caught.value.code == "login_required"
    clock.advance(LATER)
    await one.token()
    assert (len(provider.forms), provider.killed) == (2, set())


class SlowStore(MemoryStore):
    """A store that saves when it is let."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.saving = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def save(self, key: str, token: Token) -> None:
        """Keep the token once it is let."""
        self.saving.set()
        assert self.let.wait(10)
        super().save(key, token)


async def test_a_rotated_token_is_saved_before_the_old_one_is_forgotten() -> None:
    """Expect the old pair to stay in hand and in the store until the store has the new one."""
    provider, clock, store = FakeProvider(), FakeClock(), SlowStore()
    source = provider.source(code(), clock, store=store)
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


async def test_a_store_that_hangs_does_not_hold_a_login_up() -> None:
    """Expect the wait for the store to be bounded, and the login to go on from memory."""
    provider, clock, store = FakeProvider(), FakeClock(), SlowStore()
    store.let.clear()
    source = provider.source(code(), clock, store=store)
    async with asyncio.timeout(10 * PATIENCE):
        assert (await source.token()).refresh_token == "r1"
    store.let.set()


async def test_a_new_process_goes_on_with_the_stored_refresh_token() -> None:
    """Expect a code that was spent in another life not to be sent again, but what came of it to be refreshed."""
    provider, clock, store = FakeProvider(), FakeClock(), MemoryStore()
    await provider.source(code(), clock, store=store).token()
    clock.advance(LATER)
    await provider.source(code(), clock, store=store).token()
    assert provider.asked == ["authorization_code", "r1"]


async def test_another_process_was_faster() -> None:
    """Expect a refused refresh to look into the store, where the other process has left the next token."""
    provider, clock, store = FakeProvider(), FakeClock(), MemoryStore()
    source = provider.source(code(), clock, store=store)
    await source.token()
    clock.advance(LATER)
    other = Token(access_token="from-elsewhere", refresh_token="r9", expires_in=3600, obtained_at=clock.wall)

    def refuse(_request: httpx.Request) -> httpx.Response:
        provider.forms.append({"grant_type": "refresh_token", "refresh_token": "r1"})
        store.save("key", other)
        return httpx.Response(400, json={"error": "invalid_grant"})

    object.__setattr__(source.endpoint, "transports", Direct(httpx.MockTransport(refuse)))
    assert (await source.token()).access_token == "from-elsewhere"
    assert provider.asked == ["authorization_code", "r1"]


async def test_a_config_with_a_store_demands_a_subject() -> None:
    """Expect a grant whose secret is a callable to say whose token it is where a store keeps it."""
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
