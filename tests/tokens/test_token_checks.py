"""Processes with one store: how soon one learns what another did, and what a store costs that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from seic import ClientCredentials, Token
from seic._tokens.single_use import SingleUseMemory
from seic._tokens.source import CachingTokenSource
from seic.events import Event, StoreDegraded, StoreRecovered, TokenRefreshStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE, refresh_tokens_or_grants, refreshing_mock
from tests._support.scripted_store import Store
from tests._support.sources import granted_source_of

#: A look in the background, and one that a request waits for, in seconds after the last one.
SOON, AT_LAST = 16.0, 31.0


class Claiming(Store):
    """A scripted store with claims.

    Attributes:
        entered: Set when an operation that hangs has started.
    """

    def __init__(self, *, blocking: bool) -> None:
        super().__init__(blocking=blocking)
        self.entered = Gate()

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key."""
        self._enter("claim")
        return True

    def release(self, key: str) -> None:
        """Release a key."""
        self._enter("release")

    def _enter(self, operation: str) -> None:
        if operation in self.gates:
            self.entered.set()
        super()._enter(operation)


Process = Callable[[], CachingTokenSource]


@pytest.fixture
def provider() -> MockProvider:
    """Return a provider without refresh tokens."""
    provider = refreshing_mock()
    provider.refresh_tokens = False
    return provider


@pytest.fixture
def store() -> Claiming:
    """Return a store that is called in place."""
    return Claiming(blocking=False)


@pytest.fixture
def heard() -> list[Event]:
    """Return the events of all processes."""
    return []


@pytest.fixture
def process(provider: MockProvider, clock: FakeClock, store: Claiming, heard: list[Event]) -> Process:
    """Return a function that creates a source, as another process would."""

    def create() -> CachingTokenSource:
        grant, memory = ClientCredentials(), SingleUseMemory()
        return granted_source_of(provider, grant, clock, store=store, memory=memory, emit=heard.append)

    return create


async def settled(source: CachingTokenSource) -> str:
    """Return the token of a request, once the background work that it started is done."""
    token = await source.token()
    while (pending := source.cache.pending) is not None:
        await pending.future.wait()
    return token.access_token


async def test_a_fresh_token_costs_no_call_of_the_store(process: Process, store: Claiming) -> None:
    """Until it is time to look again."""
    source = process()
    await source.token()
    store.calls.clear()
    for _ in range(100):
        await source.token()

    assert store.calls == []


@pytest.mark.parametrize(("seconds", "first"), [(SOON, "a1"), (AT_LAST, "a2")])
async def test_a_token_of_another_process_is_taken(
    process: Process, clock: FakeClock, store: Claiming, seconds: float, first: str
) -> None:
    """The other's was rejected, so it requested a new one: after a while in the background, later before a request."""
    source = process()
    await source.token()
    store.held = Token(access_token="a2", expires_in=3600, obtained_at=clock.wall)
    clock.advance(seconds)

    assert await settled(source) == first
    assert await settled(source) == "a2"


@pytest.mark.parametrize("seconds", [SOON, AT_LAST])
async def test_a_deleted_token_is_replaced(
    process: Process, provider: MockProvider, clock: FakeClock, store: Claiming, seconds: float
) -> None:
    """Another process has revoked it."""
    source = process()
    await source.token()
    store.held = None
    clock.advance(seconds)
    await settled(source)

    assert await settled(source) == "a2"
    assert len(refresh_tokens_or_grants(provider)) == 2


@pytest.mark.parametrize("seconds", [SOON, AT_LAST])
async def test_an_unchanged_token_is_kept_quietly(
    process: Process, provider: MockProvider, clock: FakeClock, store: Claiming, heard: list[Event], seconds: float
) -> None:
    """One load each time, and no refresh, for any number of looks."""
    source = process()
    await source.token()
    store.calls.clear()
    for _ in range(10):
        clock.advance(seconds)
        assert await settled(source) == "a1"

    assert store.calls == ["load"] * 10
    assert (
        len([event for event in heard if isinstance(event, TokenRefreshStarted)])
        == len(refresh_tokens_or_grants(provider))
        == 1
    )


async def test_a_token_that_was_not_saved_is_saved_at_the_next_look(
    process: Process, provider: MockProvider, clock: FakeClock, store: Claiming
) -> None:
    """The store was down when it came; that it lacks the token does not mean that someone deleted it."""
    source = process()
    store.errors = {name: OSError() for name in ("load", "claim", "save")}
    await source.token()
    store.errors.clear()
    clock.advance(SOON)

    assert await settled(source) == "a1"
    assert store.held.access_token == "a1"
    assert len(refresh_tokens_or_grants(provider)) == 1


async def test_a_look_at_a_store_that_is_down_changes_nothing(
    process: Process, provider: MockProvider, clock: FakeClock, store: Claiming, heard: list[Event]
) -> None:
    """One event when it fails, and one when it works again, however many looks are between."""
    source = process()
    await source.token()
    heard.clear()
    store.errors = {name: OSError() for name in ("load", "claim", "save")}
    for _ in range(20):
        clock.advance(AT_LAST)
        assert await settled(source) == "a1"
    store.errors.clear()
    clock.advance(AT_LAST)
    await settled(source)

    about_store = [event for event in heard if isinstance(event, (StoreDegraded, StoreRecovered))]
    assert about_store == [StoreDegraded(operation="load", problem="OSError"), StoreRecovered(operation="load")]
    assert len(refresh_tokens_or_grants(provider)) == 1


async def test_a_failing_store_is_called_less_and_less(process: Process, clock: FakeClock, store: Claiming) -> None:
    """The pause grows to half a minute."""
    store.errors["load"] = OSError()
    source = process()
    for _ in range(60):
        await source.token(force=True)
        clock.advance(1)

    assert 5 <= store.calls.count("load") <= 10


async def test_a_token_that_is_invalidated_during_a_look_is_not_kept(
    process: Process, provider: MockProvider, clock: FakeClock, store: Claiming
) -> None:
    """The API rejects it at the moment when the store confirms it."""
    source = process()
    await source.token()
    clock.advance(SOON)
    cached = source.cache.token
    cached.invalidate()
    cached.mark_checked(clock.now)

    assert cached.renew_at < clock.now
    assert await settled(source) == "a2"


async def test_a_look_that_is_cancelled_leaves_nothing_behind(
    process: Process, clock: FakeClock, store: Claiming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request looks again."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    store.blocking = True
    source = process()
    await source.token()
    await source.aclose()  # it has been saved
    clock.advance(AT_LAST)
    gate = store.hang("load")
    waiting = asyncio.create_task(source.token())
    assert await store.entered.wait_async(PATIENCE)
    await source.aclose()
    gate.set()
    await asyncio.gather(waiting, return_exceptions=True)

    assert await settled(source) == "a1"
