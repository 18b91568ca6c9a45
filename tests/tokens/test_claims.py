"""What processes that share a store agree on: who spends the refresh token, where the store can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from seic._errors import TokenEndpointUnavailable
from seic._events import Event, StoreDegraded
from seic._model.grant_parameters import Grant
from seic._model.grants import AuthorizationCode, ClientCredentials
from seic._tokens.source import TokenSource
from seic._tokens.spending import Spendings
from seic._tokens.store import MemoryStore
from tests._support.fake_provider import FakeProvider, Hands

LATER = 3_601.0


class Claiming(MemoryStore):
    """A store that knows who renews what.

    Attributes:
        held: What is claimed now.
        claims: What was claimed, and for how many seconds.
        granted: Called when a claim is had.
        refused: Called when it is not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()
        self.claims: list[tuple[str, float]] = []
        self.granted: Callable[[], None] = lambda: None
        self.refused: Callable[[], None] = lambda: None

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key, unless somebody has."""
        if key in self.held:
            self.refused()
            return False
        self.held.add(key)
        self.claims.append((key, seconds))
        self.granted()
        return True

    def release(self, key: str) -> None:
        """Give a key back."""
        self.held.discard(key)


def process(provider: FakeProvider, hands: Hands, store: MemoryStore, **options: Any) -> TokenSource:
    """Return a source that knows nothing of what others spend, as one in another process."""
    source = provider.source(options.pop("grant", AuthorizationCode(code="c")), hands, store=store, **options)
    source._spendings = Spendings()
    return source


async def logged_in(provider: FakeProvider, hands: Hands, store: MemoryStore) -> tuple[TokenSource, TokenSource]:
    """Return two processes with the token of one login, which is over by now."""
    one, other = process(provider, hands, store), process(provider, hands, store)
    assert await one.token() == await other.token()
    hands.now += LATER
    return one, other


async def test_two_processes_spend_a_refresh_token_once() -> None:
    """Expect the second to wait, and to take the first one's token: at a second use the provider ends the session."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    sources = await logged_in(provider, hands, store)
    provider.gate = asyncio.Event()
    store.refused = provider.gate.set
    one, other = await asyncio.gather(*(source.token() for source in sources))

    assert one == other
    assert (provider.asked, provider.killed) == (["authorization_code", "r1"], set())
    assert store.held == set()
    # For longer than a renewal may take, and not for much longer: a process may end in the middle.
    assert [10 < seconds < 15 for _, seconds in store.claims] == [True]


async def test_who_comes_too_late_to_see_the_token_looks_again() -> None:
    """Expect the look after the claim to count: the other was through with it between the first look and the claim."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    one, other = await logged_in(provider, hands, store)
    before = one.state.held.token
    new = await one.token()
    store.save("key", before)
    store.granted = lambda: store.save("key", new)

    assert await other.token() == new
    assert provider.killed == set()


async def test_a_process_whose_renewal_fails_lets_the_next_one_try() -> None:
    """Expect the claim to be given back with the error."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    one, other = await logged_in(provider, hands, store)
    provider.plan.extend([httpx.Response(503)] * 2)
    with pytest.raises(TokenEndpointUnavailable):
        await one.token()

    assert store.held == set()
    assert (await other.token()).access_token == "a2"


async def test_a_renewal_that_is_cut_off_gives_its_claim_back() -> None:
    """Expect a caller's end to leave nobody waiting for nothing."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    one, _ = await logged_in(provider, hands, store)
    provider.arrived.clear()
    provider.gate = asyncio.Event()
    call = asyncio.create_task(one.token())
    await provider.arrived.wait()
    assert store.held == {"key"}
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await one.aclose()

    assert store.held == set()


async def test_nobody_waits_for_ever_for_another_process() -> None:
    """Expect an error after the time that a token call may take; the claim itself ends soon after that."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    one, _ = await logged_in(provider, hands, store)
    store.held.add("key")

    def a_second_passes() -> None:
        hands.now += 1

    store.refused = a_second_passes
    with pytest.raises(TokenEndpointUnavailable, match="another process"):
        await one.token()

    assert provider.asked == ["authorization_code"]


async def test_a_store_that_cannot_claim_costs_no_call() -> None:
    """Expect it to be told, and the renewal to go on as with a store that knows no claims."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    heard: list[Event] = []
    one = process(provider, hands, store, emit=heard.append)
    await one.token()
    hands.now += LATER

    def fail() -> None:
        raise OSError

    store.held.add("key")
    store.refused = fail

    assert (await one.token()).access_token == "a2"
    assert StoreDegraded(operation="claim", problem="OSError") in heard


@pytest.mark.parametrize(
    "grant", [ClientCredentials(), AuthorizationCode(code="c")], ids=["client credentials", "a first token"]
)
async def test_what_spends_no_refresh_token_is_not_claimed(grant: Grant) -> None:
    """Expect no word with the store about what may be asked for twice."""
    provider, hands, store = FakeProvider(), Hands(), Claiming()
    provider.refreshable = isinstance(grant, AuthorizationCode)
    source = process(provider, hands, store, grant=grant)
    await source.token()
    if not provider.refreshable:
        hands.now += LATER
        await source.token()

    assert store.claims == []
