"""Processes that share a store agree on the one that uses a refresh token, if the store supports claims."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from seic import AuthorizationCode, ClientCredentials, Grant, MemoryStore, TokenEndpointUnavailable
from seic._tokens.single_use import SingleUseMemory
from seic._tokens.source import CachingTokenSource
from seic.events import Event, StoreDegraded
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE, refresh_tokens_or_grants, refreshing_mock
from tests._support.sources import granted_source_of

LATER = 3_601.0


class Claiming(MemoryStore):
    """A store with claims.

    Attributes:
        held: The current claims.
        claims: All claims, with their seconds.
        granted: Called after a claim.
        refused: Called after a refused claim.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()
        self.claims: list[tuple[str, float]] = []
        self.granted: Callable[[], None] = lambda: None
        self.refused: Callable[[], None] = lambda: None

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key, unless it is claimed."""
        if key in self.held:
            self.refused()
            return False
        self.held.add(key)
        self.claims.append((key, seconds))
        self.granted()
        return True

    def release(self, key: str) -> None:
        """Release a key."""
        self.held.discard(key)


def process(provider: MockProvider, clock: FakeClock, store: MemoryStore, **options: Any) -> CachingTokenSource:
    """Return a source with its own memory of used secrets, as in another process."""
    grant = options.pop("grant", AuthorizationCode(code="c"))
    return granted_source_of(provider, grant, clock, store=store, memory=SingleUseMemory(), **options)


async def logged_in(
    provider: MockProvider, clock: FakeClock, store: MemoryStore
) -> tuple[CachingTokenSource, CachingTokenSource]:
    """Return two processes with the expired token of one login."""
    one, other = process(provider, clock, store), process(provider, clock, store)
    assert await one.token() == await other.token()
    clock.advance(LATER)
    return one, other


async def test_two_processes_spend_a_refresh_token_once() -> None:
    """The second waits and uses the first one's token, since the provider ends the session after a second use."""
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    sources = await logged_in(provider, clock, store)
    provider.hold_tokens(issued=True)
    store.refused = provider.release_tokens
    one, other = await asyncio.gather(*(source.token() for source in sources))

    assert one == other
    assert (refresh_tokens_or_grants(provider), provider.reused_refresh_tokens) == (["authorization_code", "r1"], [])
    assert store.held == set()
    # Longer than a refresh can take, but not much longer, since a process can end in the middle.
    assert [10 < seconds < 15 for _, seconds in store.claims] == [True, True]


async def test_who_comes_too_late_to_see_the_token_looks_again() -> None:
    """The store is read again after the claim: the other process finished between the first reading and the claim."""
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    one, other = await logged_in(provider, clock, store)
    before = one.cache.token.token
    new = await one.token()
    store.save("key", before)
    store.granted = lambda: store.save("key", new)

    assert await other.token() == new
    assert provider.reused_refresh_tokens == []


async def test_a_process_whose_renewal_fails_lets_the_next_one_try() -> None:
    """The claim is released with the error."""
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    one, other = await logged_in(provider, clock, store)
    provider.token_responses.extend([httpx.Response(503)] * 2)
    with pytest.raises(TokenEndpointUnavailable):
        await one.token()

    assert store.held == set()
    assert (await other.token()).access_token == "a2"


async def test_a_renewal_that_is_cut_off_gives_its_claim_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller's end leaves no other waiting."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    one, _ = await logged_in(provider, clock, store)
    provider.hold_tokens(issued=True)
    call = asyncio.create_task(one.token())
    assert await provider.wait_for_token_request(PATIENCE)
    assert store.held == {"key"}
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await one.aclose()

    assert store.held == set()


async def test_nobody_waits_for_ever_for_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is raised after the limit of a token request; the claim itself ends soon after."""
    monkeypatch.setattr("seic._tokens.refresh._LOOK_MAX", 0.01)
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    one, _ = await logged_in(provider, clock, store)
    store.held.add("key")

    def a_second_passes() -> None:
        clock.advance(1)

    store.refused = a_second_passes
    with pytest.raises(TokenEndpointUnavailable, match="another process"):
        await one.token()

    assert refresh_tokens_or_grants(provider) == ["authorization_code"]


async def test_a_store_that_cannot_claim_costs_no_call() -> None:
    """The failure is reported, and the refresh continues as with a store without claims."""
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    heard: list[Event] = []
    one = process(provider, clock, store, emit=heard.append)
    await one.token()
    clock.advance(LATER)

    def fail() -> None:
        raise OSError

    store.held.add("key")
    store.refused = fail

    assert (await one.token()).access_token == "a2"
    assert StoreDegraded(operation="claim", problem="OSError") in heard


@pytest.mark.parametrize(
    "grant", [ClientCredentials(), AuthorizationCode(code="c")], ids=["client credentials", "a first token"]
)
async def test_processes_that_start_together_make_one_request(grant: Grant) -> None:
    """Whatever the grant: the others wait for the token of the first."""
    provider, clock, store = refreshing_mock(), FakeClock(), Claiming()
    provider.refresh_tokens = isinstance(grant, AuthorizationCode)
    sources = [process(provider, clock, store, grant=grant) for _ in range(8)]
    provider.hold_tokens(issued=True)
    store.refused = provider.release_tokens
    tokens = await asyncio.gather(*(source.token() for source in sources))

    assert len({token.access_token for token in tokens}) == 1
    assert len(refresh_tokens_or_grants(provider)) == len(store.claims) == 1
    assert store.held == set()
