"""Revocation of all tokens that the source has or is about to receive."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import attrs
import httpx
import pytest

from seic import SEI_GATEWAY, ClientCredentials, ConfigurationError, MemoryStore, Token, TokenEndpointUnavailable
from seic._tokens.source import CachingTokenSource
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE, UNAVAILABLE, refusal
from tests._support.sources import access_token_of, source_of


def gateway_source(server: MockProvider, **options: Any) -> CachingTokenSource:
    """Return a source of the dialect that supports revocation."""
    source = source_of(server, **options)
    grant = ClientCredentials(username="user", password="password-1")
    source.endpoint = attrs.evolve(source.endpoint, provider=SEI_GATEWAY, grant=grant)
    return source


async def test_revoking_tells_the_provider_and_forgets_the_token(server: MockProvider) -> None:
    """Here, in the store, and at the provider."""
    store = MemoryStore()
    source = gateway_source(server, store=store, store_key=lambda _: "key")
    await source.token()
    server.token_responses.append(httpx.Response(200))
    await source.revoke()

    assert b"grant_type=invalidate_token" in server.requests[-1].content
    assert b"access_token=token-1" in server.requests[-1].content
    assert store.load("key") is None
    assert source.current is None
    assert access_token_of(await source.get()) == "token-2"


def test_revoking_blocks_where_it_is_told_to(server: MockProvider) -> None:
    """The twin does the same."""
    source = gateway_source(server)
    source.token_sync()
    server.token_responses.append(httpx.Response(200))
    source.revoke_sync()
    assert source.current is None
    assert b"grant_type=invalidate_token" in server.requests[-1].content


async def test_a_stored_token_can_be_revoked_by_another_process(server: MockProvider) -> None:
    """By one that never used it, such as a command line."""
    store = MemoryStore()
    store.save("key", Token(access_token="stored-token", obtained_at=1_700_000_000, expires_in=3600))
    source = gateway_source(server, store=store, store_key=lambda _: "key")
    server.token_responses.append(httpx.Response(200))
    await source.revoke()

    assert b"access_token=stored-token" in server.requests[-1].content
    assert store.load("key") is None


async def test_with_no_token_there_is_nothing_to_revoke(server: MockProvider) -> None:
    """No request is sent."""
    await gateway_source(server, store=MemoryStore()).revoke()
    assert server.token_requests == 0


async def test_a_revocation_that_fails_is_an_error_and_the_token_is_dropped_all_the_same(
    server: MockProvider,
) -> None:
    """A token to be revoked must not be used."""
    source = gateway_source(server)
    await source.token()
    server.token_responses.append(UNAVAILABLE)
    with pytest.raises(TokenEndpointUnavailable):
        await source.revoke()
    assert access_token_of(await source.get()) == "token-2"


def revoked(server: MockProvider) -> list[str]:
    """Return the revoked tokens, in order."""
    forms = [parse_qs(request.content.decode()) for request in server.requests]
    return [form["access_token"][0] for form in forms if form["grant_type"] == ["invalidate_token"]]


@pytest.mark.parametrize("kind", ["async", "blocking"])
async def test_a_renewal_under_way_does_not_outlive_a_revocation(
    server: MockProvider, clock: FakeClock, kind: str
) -> None:
    """The revocation waits for it, and revokes both its old and its new token, here and in the store."""
    store = MemoryStore()
    source = gateway_source(server, clock=clock, store=store, store_key=lambda _: "key")
    await source.token()
    clock.advance(3000)
    server.hold_tokens()
    await source.token()
    assert await server.wait_for_token_request(PATIENCE)
    revoke = asyncio.create_task(source.revoke() if kind == "async" else asyncio.to_thread(source.revoke_sync))
    await asyncio.sleep(0)
    assert (await source.token()).access_token == "token-1"
    server.release_tokens()
    await revoke

    assert revoked(server) == ["token-2", "token-1"]
    assert source.current is None
    assert store.load("key") is None
    server.expires_in = 3600
    assert not (await source.token()).access_token.endswith(("-1", "-2"))


async def test_a_first_fetch_under_way_does_not_outlive_a_revocation(server: MockProvider) -> None:
    """Its token is revoked as soon as it arrives."""
    source = gateway_source(server)
    server.hold_tokens()
    caller = asyncio.create_task(source.token())
    assert await server.wait_for_token_request(PATIENCE)
    revoke = asyncio.create_task(source.revoke())
    await asyncio.sleep(0)
    server.release_tokens()
    assert (await caller).access_token == "token-1"
    await revoke
    assert revoked(server) == ["token-1"]
    assert source.current is None


async def test_a_renewal_that_fails_leaves_the_old_token_to_be_revoked(server: MockProvider, clock: FakeClock) -> None:
    """Once, and nothing else."""
    source = gateway_source(server, clock=clock)
    await source.token()
    clock.advance(3000)
    server.token_responses.append(UNAVAILABLE)
    server.hold_tokens()
    await source.token()
    assert await server.wait_for_token_request(PATIENCE)
    revoke = asyncio.create_task(source.revoke())
    await asyncio.sleep(0)
    server.release_tokens()
    await revoke
    assert revoked(server) == ["token-1"]
    assert source.current is None


async def test_a_token_that_its_renewal_has_ended_is_not_revoked_again(server: MockProvider, clock: FakeClock) -> None:
    """The provider does not know it any more, which is the desired result."""
    source = gateway_source(server, clock=clock)
    await source.token()
    clock.advance(3000)
    server.hold_tokens()
    await source.token()
    assert await server.wait_for_token_request(PATIENCE)
    revoke = asyncio.create_task(source.revoke())
    await asyncio.sleep(0)
    good = httpx.Response(200, json={"access_token": "token-2", "token_type": "Bearer", "expires_in": 3600})
    server.token_responses.extend([good, httpx.Response(200), refusal(400)])
    server.release_tokens()
    await revoke
    assert revoked(server) == ["token-2", "token-1"]


async def test_a_provider_without_revocation_says_so_and_the_token_stays(server: MockProvider) -> None:
    """Nothing is removed if no request can be sent."""
    source = source_of(server)
    held = await source.get()
    with pytest.raises(ConfigurationError):
        await source.revoke()
    assert await source.get() is held
