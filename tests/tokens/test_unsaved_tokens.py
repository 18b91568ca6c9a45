"""Refresh tokens that a store did not save: saved again until the store has them, or newer ones."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from seic import AuthorizationCode, MemoryStore, Token
from seic._tokens.store_guard import StoreGuard
from seic.events import Event, StoreDegraded, StoreRecovered
from tests._support.clocks import FakeClock
from tests._support.gate import Gate
from tests._support.mocks import refresh_tokens_or_grants, refreshing_mock
from tests._support.sources import granted_source_of

PATIENCE = 10.0
DOWN = StoreDegraded(operation="save", problem="ConnectionError")
BACK = StoreRecovered(operation="save")


def token(refresh_token: str | None) -> Token:
    """Return a token of a session."""
    return Token(access_token=f"of {refresh_token}", refresh_token=refresh_token, expires_in=3600)


class Store(MemoryStore):
    """A store that is down until it is told otherwise, and records its calls.

    Attributes:
        down: Whether it fails.
        asked: The refresh tokens of the save calls.
        gate: A save waits for it, if set.
    """

    def __init__(self, *, blocking: bool) -> None:
        super().__init__()
        self.blocking = blocking
        self.down = True
        self.asked: list[str | None] = []
        self.gate: Gate | None = None
        self._turn = threading.Condition()

    def save(self, key: str, token: Token) -> None:
        """Save the token unless it is down."""
        with self._turn:
            self.asked.append(token.refresh_token)
            self._turn.notify_all()
        if self.gate is not None:
            assert self.gate.wait(PATIENCE)
        if self.down:
            raise ConnectionError("redis://user:secret@host is down")
        super().save(key, token)

    def until_asked(self, times: int) -> None:
        """Wait until it was called this often."""
        with self._turn:
            assert self._turn.wait_for(lambda: len(self.asked) >= times, PATIENCE)


class Heard(list[Event]):
    """Records events, and signals the end of an outage."""

    def __init__(self) -> None:
        super().__init__()
        self.is_back = Gate()

    def __call__(self, event: Event) -> None:
        """Record an event."""
        self.append(event)
        if event == BACK:
            self.is_back.set()

    def of_the_store(self) -> list[Event]:
        """Return the events about the store."""
        return [event for event in self if isinstance(event, (StoreDegraded, StoreRecovered))]


@pytest.fixture
def heard() -> Heard:
    """Return a listener of the guard."""
    return Heard()


@pytest.fixture(params=[True, False], ids=["blocking", "at once"])
def store(request: pytest.FixtureRequest) -> Store:
    """Return a store of either kind that is down."""
    return Store(blocking=request.param)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use pauses of no time."""
    monkeypatch.setattr("seic._tokens.store_guard._AGAIN_FIRST", 0.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use pauses longer than any test."""
    monkeypatch.setattr("seic._tokens.store_guard._AGAIN_FIRST", 1e6)
    monkeypatch.setattr("seic._tokens.store_guard._AGAIN_MAX", 1e6)


def keeper(store: Store, heard: Heard) -> StoreGuard:
    """Return the guard of a store."""
    return StoreGuard(store, emit=heard, clock=FakeClock().clock)


def close(keeper: StoreGuard) -> None:
    """Close as a source does."""
    asyncio.run(keeper.aclose(PATIENCE))


def save(keeper: StoreGuard, key: str, token: Token) -> None:
    """Save a token."""
    asyncio.run(keeper.save(key, token))


@pytest.mark.usefixtures("hasty")
def test_it_is_saved_when_the_store_is_back(store: Store, heard: Heard) -> None:
    """It is tried until it succeeds, with one event at the start of the trouble and one at its end."""
    kept = keeper(store, heard)
    save(kept, "key", token("r1"))
    store.until_asked(4)
    store.down = False
    assert heard.is_back.wait(PATIENCE)
    assert store.load("key") == token("r1")
    assert heard.of_the_store() == [DOWN, BACK]
    close(kept)


@pytest.mark.usefixtures("patient")
def test_closing_tries_once_more(store: Store, heard: Heard) -> None:
    """The end of a program does not wait for the pause, and leaves no thread."""
    before = set(threading.enumerate())
    kept = keeper(store, heard)
    save(kept, "key", token("r1"))
    close_pending(kept)
    store.down = False
    close(kept)
    assert store.load("key") == token("r1")
    assert heard.of_the_store() == [DOWN, BACK]
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.usefixtures("patient")
def test_closing_does_not_go_on_for_ever(store: Store, heard: Heard) -> None:
    """If the store stays down there is one attempt, and another with the next close, since an auth can be shared."""
    kept = keeper(store, heard)
    save(kept, "key", token("r1"))
    close(kept)
    assert store.asked == ["r1", "r1"]
    store.down = False
    close(kept)
    assert store.asked == ["r1"] * 3
    assert heard.of_the_store() == [DOWN, BACK]
    assert kept._task is None


@pytest.mark.usefixtures("patient")
def test_a_newer_token_takes_its_place(store: Store, heard: Heard) -> None:
    """The older one is not saved after the newer one, which reports the recovery."""
    kept = keeper(store, heard)
    save(kept, "key", token("r1"))
    close_pending(kept)
    save(kept, "key", token("r2"))
    close_pending(kept)
    store.down = False
    save(kept, "key", token("r3"))
    close(kept)
    assert store.asked == ["r1", "r2", "r3"]
    assert store.load("key") == token("r3")
    assert heard.of_the_store() == [DOWN, BACK]


def close_pending(keeper: StoreGuard) -> None:
    """Wait until the store has answered."""
    if keeper._last is not None:
        assert keeper._last.wait_sync(PATIENCE)


@pytest.mark.usefixtures("patient")
def test_what_was_deleted_does_not_come_back(store: Store, heard: Heard) -> None:
    """A revoked session is not saved again, although it was waiting."""
    kept = keeper(store, heard)
    save(kept, "key", token("r1"))
    close_pending(kept)
    store.down = False
    kept.delete("key")
    close(kept)
    assert store.load("key") is None
    assert store.asked == ["r1"]


@pytest.mark.usefixtures("hasty")
def test_a_token_that_can_be_had_again_is_not_saved_again(store: Store, heard: Heard) -> None:
    """A token without a refresh token costs another token request only, and no thread."""
    kept = keeper(store, heard)
    save(kept, "key", token(None))
    close(kept)
    assert store.asked == [None]
    assert heard.of_the_store() == [DOWN]


@pytest.mark.usefixtures("hasty")
def test_a_store_that_hung(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls during the hang are executed later, in order, one at a time."""
    monkeypatch.setattr("seic._tokens.store_guard.PATIENCE", 0.0)
    store, clock = Store(blocking=True), FakeClock()
    kept = StoreGuard(store, emit=heard, clock=clock.clock)
    store.down, store.gate = False, Gate()
    save(kept, "key", token("r1"))
    store.until_asked(1)
    clock.advance(1)
    save(kept, "key", token("r2"))
    assert store.asked == ["r1"]
    store.gate.set()
    assert heard.is_back.wait(PATIENCE)
    assert store.asked == ["r1", "r2"]
    assert store.load("key") == token("r2")
    close(kept)


@pytest.mark.usefixtures("patient")
def test_a_child_process_leaves_it_to_its_parent(store: Store, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork saves nothing twice."""
    kept = keeper(store, heard)
    save(kept, "key", token("r1"))
    close_pending(kept)
    parents, hurry = kept._task, kept._hurry
    assert parents is not None
    monkeypatch.setattr(os, "getpid", lambda: 1)
    store.down = False
    close(kept)
    monkeypatch.undo()
    assert kept._task is None
    hurry.set()
    assert parents.future.wait_sync(PATIENCE)
    assert store.asked == ["r1"]


def _no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread at interpreter shutdown")


def test_no_thread_can_be_had(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends must not wait."""
    store = Store(blocking=False)
    kept = keeper(store, heard)
    monkeypatch.setattr(threading.Thread, "start", _no_thread)
    save(kept, "key", token("r1"))
    close(kept)
    assert heard.of_the_store() == [DOWN]


# In a source


async def _async(source: Any) -> str:
    held: Token = await source.token()
    await source.aclose()
    return held.access_token


async def _blocking(source: Any) -> str:
    held: Token = source.token_sync()
    source.close()
    return held.access_token


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("way", [_async, _blocking], ids=["async", "blocking"])
async def test_a_rotated_token_survives_a_store_that_was_down(
    way: Callable[[Any], Any], store: Store, heard: Heard
) -> None:
    """The session continues in the next process, although its save failed at first."""
    provider, clock = refreshing_mock(), FakeClock()
    make = functools.partial(granted_source_of, provider)
    grant = AuthorizationCode(code="code-1")
    store.down = False
    await way(make(grant, clock, store=store, emit=heard))
    clock.advance(3601)
    store.down = True
    source = make(grant, clock, store=store, emit=heard)
    assert (await source.token() if way is _async else source.token_sync()).refresh_token == "r2"
    store.down = False
    await way(source)
    assert heard.of_the_store() == [DOWN, BACK]
    clock.advance(3601)
    assert await way(make(grant, clock, store=store)) == "a3"
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1", "r2"]
