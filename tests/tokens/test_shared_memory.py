"""The memory of used refresh tokens: which clients share it, how long it lasts, and what a blocking call does."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import httpx
import pytest

import seic
from seic import MemoryStore, RefreshToken, Token, TokenRequestRefused
from seic.testing import MockProvider
from tests._support.mocks import PATIENCE, refresh_tokens_or_grants, refreshing_mock
from tests._support.sources import granted_source_of


def _client_of(provider: MockProvider, transport: httpx.MockTransport, **options: Any) -> seic.AsyncClient:
    return seic.AsyncClient(provider.config(**options), transport=transport)


async def test_closing_one_of_several_clients_forgets_nothing() -> None:
    """The memory of a login without a store ends with the last open client; each client closes more than once."""
    provider = refreshing_mock()
    transport = httpx.MockTransport(provider.handle_request)
    first, second = (_client_of(provider, transport) for _ in range(2))
    await second.token()
    await first.aclose()
    await first.aclose()
    third = _client_of(provider, transport)
    with pytest.raises(TokenRequestRefused, match="already been used"):
        await third.token()
    assert refresh_tokens_or_grants(provider) == ["r0"]
    await second.aclose()
    await third.aclose()
    # A program that begins again may have a provider that begins again.
    async with _client_of(provider, transport) as fourth:
        with pytest.raises(TokenRequestRefused):
            await fourth.token()
    assert refresh_tokens_or_grants(provider) == ["r0", "r0"]


class Slots:
    """A store that takes no weak references, as a dataclass with slots."""

    __slots__ = ("_tokens",)
    blocking = False

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def load(self, key: str) -> Token | None:
        """Return the token."""
        return self._tokens.get(key)

    def save(self, key: str, token: Token) -> None:
        """Forget the refresh token, so that a second client has to decide by memory."""
        self._tokens[key] = attrs.evolve(token, refresh_token=None, expires_in=0)

    def delete(self, key: str) -> None:
        """Delete the token."""
        self._tokens.pop(key, None)


async def test_a_store_that_takes_no_weak_references_shares_its_memory() -> None:
    """Two clients of it send a refresh token once."""
    provider, store = refreshing_mock(), Slots()
    transport = httpx.MockTransport(provider.handle_request)
    async with _client_of(provider, transport, store=store) as one, _client_of(provider, transport, store=store) as two:
        await one.token()
        with pytest.raises(TokenRequestRefused, match="already been used"):
            await two.token()
    assert refresh_tokens_or_grants(provider) == ["r0"]


async def test_a_blocking_call_inside_the_loop_in_which_another_client_sends_its_refresh_token() -> None:
    """It is an error at once: the answer cannot come while the loop is blocked."""
    provider, store = refreshing_mock(), MemoryStore()
    grant = RefreshToken(refresh_token="r0")
    one, other = (granted_source_of(provider, grant, store=store) for _ in range(2))
    provider.hold_tokens(issued=True)
    first = asyncio.create_task(one.token())
    assert await provider.wait_for_token_request(PATIENCE)
    with pytest.raises(seic.TokenError, match="cannot wait"):
        other.token_sync()
    provider.release_tokens()
    assert (await first).access_token == "a1"
    assert other.token_sync().access_token == "a1"
    assert refresh_tokens_or_grants(provider) == ["r0"]
