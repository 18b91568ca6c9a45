"""A store that is down, slow, corrupt or poisoned costs a moment and a token request, never an API call."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from seic import MemoryStore, Token
from seic._tokens.store_guard import StoreGuard
from seic.events import Event, StoreDegraded
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE
from tests._support.scripted_store import WALL, Store, token
from tests._support.sources import access_token_of, source_of


@pytest.fixture
def heard() -> list[Event]:
    """Return the events of the source."""
    return []


def degraded(heard: list[Event]) -> list[tuple[str, str]]:
    """Return the events about the store."""
    return [(event.operation, event.problem) for event in heard if isinstance(event, StoreDegraded)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a store that does not answer at once."""
    monkeypatch.setattr("seic._tokens.store_guard.PATIENCE", 0.01)
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)


Obtain = Callable[[MockProvider, Store, list[Event], FakeClock], str]


def _async(server: MockProvider, store: Store, heard: list[Event], clock: FakeClock) -> str:
    async def main() -> str:
        source = source_of(server, clock, store=store, store_key=lambda _: "key", emit=heard.append)
        try:
            return access_token_of(await source.get())
        finally:
            await source.aclose()

    return asyncio.run(main())


def _blocking(server: MockProvider, store: Store, heard: list[Event], clock: FakeClock) -> str:
    source = source_of(server, clock, store=store, store_key=lambda _: "key", emit=heard.append)
    try:
        return access_token_of(source.get_sync())
    finally:
        source.close()


@pytest.fixture(params=[_async, _blocking], ids=["async", "blocking"])
def obtain(request: pytest.FixtureRequest) -> Obtain:
    """Get a token with a new source, and close it."""
    way: Obtain = request.param
    return way


# Working stores


@pytest.mark.parametrize("blocking", [True, False])
def test_a_stored_token_spares_the_call(
    server: MockProvider, heard: list[Event], clock: FakeClock, obtain: Obtain, blocking: bool
) -> None:
    """Another process may have requested it."""
    assert obtain(server, Store(token(), blocking=blocking), heard, clock) == "stored"
    assert server.token_requests == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_a_new_token_is_stored(
    server: MockProvider, heard: list[Event], clock: FakeClock, obtain: Obtain, blocking: bool
) -> None:
    """For other processes; closing waits for it, so that a short script saves its token."""
    store = Store(blocking=blocking)
    assert obtain(server, store, heard, clock) == "token-1"
    assert store.held.access_token == "token-1"
    assert (threading.current_thread() in store.threads) is (not blocking and obtain is _async)


class _Plain:
    """A store with the three methods only."""

    def __init__(self, held: Token) -> None:
        self.held = held
        self.threads: list[str] = []

    def load(self, key: str) -> Token:
        """Return the token."""
        self.threads.append(threading.current_thread().name)
        return self.held

    def save(self, key: str, token: Token) -> None:
        """Save nothing."""

    def delete(self, key: str) -> None:
        """Delete nothing."""


class _Evasive(_Plain):
    @property
    def blocking(self) -> bool:
        """Raise."""
        raise RuntimeError("not now")


@pytest.mark.parametrize("kind", [_Plain, _Evasive])
def test_a_store_that_does_not_say_whether_it_blocks_is_taken_to_block(
    server: MockProvider, heard: list[Event], clock: FakeClock, obtain: Obtain, kind: type[_Plain]
) -> None:
    """It is called in a thread of its own."""
    store: Any = kind(token())
    assert obtain(server, store, heard, clock) == "stored"
    assert store.threads == ["seic-call"]


@pytest.mark.usefixtures("impatient")
def test_a_store_that_claims_not_to_block_holds_no_blocking_caller_up(
    server: MockProvider, heard: list[Event], clock: FakeClock
) -> None:
    """All blocking callers share one loop, so it is called in a thread, and waited for briefly."""
    store = Store(token(), blocking=False)
    gate = store.hang("load")
    assert _blocking(server, store, heard, clock) == "token-1"
    assert degraded(heard)[0] == ("load", "no answer within 0.01 s")
    gate.set()


@pytest.mark.parametrize(
    ("changes", "usable"),
    [
        pytest.param({"obtained_at": WALL - 2879}, True, id="fresh"),
        pytest.param({"obtained_at": WALL - 2880}, False, id="to be renewed"),
        pytest.param({"obtained_at": WALL - 3600}, False, id="dead"),
        pytest.param({"obtained_at": WALL - 1e9, "expires_in": None}, True, id="of unknown life"),
        pytest.param({"obtained_at": WALL + 60}, True, id="from a clock that is a little ahead"),
        pytest.param({"obtained_at": WALL + 61}, False, id="from the future"),
    ],
)
def test_a_stored_token_has_its_age(
    server: MockProvider, heard: list[Event], clock: FakeClock, changes: dict[str, Any], usable: bool
) -> None:
    """Its lifetime counts from its request, by the wall clock."""
    expected = "stored" if usable else "token-1"
    assert _blocking(server, Store(token(**changes)), heard, clock) == expected


def test_a_stored_token_that_nobody_used_for_long_is_dead(server: MockProvider, clock: FakeClock) -> None:
    """The last use by other processes is unknown, so its idle time counts from its creation."""
    for age, expected in ((1754, "stored"), (1755, "token-1")):
        store = Store(token(obtained_at=WALL - age))
        source = source_of(server, clock, store=store, store_key=lambda _: "key", idle_lifetime=1800)
        assert access_token_of(source.get_sync()) == expected


def test_a_stored_token_that_was_rejected_is_not_taken_again(
    server: MockProvider, clock: FakeClock, heard: list[Event]
) -> None:
    """A poisoned store costs one failed call, not each."""
    store = Store(token())
    source = source_of(server, clock, store=store, store_key=lambda _: "key", emit=heard.append)
    held = source.get_sync()
    assert access_token_of(held) == "stored"
    held.invalidate()
    assert access_token_of(source.get_sync()) == "token-1"


# Content


class NoToken:
    """Another object that looks like a token."""

    access_token = "stored"
    expires_in = 3600
    obtained_at = WALL
    refresh_token = None


@pytest.mark.parametrize(
    "held",
    [
        pytest.param("stored", id="a string"),
        pytest.param(NoToken(), id="something like a token"),
        pytest.param(token(access_token=""), id="an empty token"),
        pytest.param(token(access_token=b"stored"), id="bytes"),
        pytest.param(token(access_token="stored\r\nX-Evil: 1"), id="a header of its own"),
        pytest.param(token(access_token="störed"), id="not ASCII"),
        pytest.param(token(access_token="two words"), id="a blank"),
        pytest.param(token(expires_in="3600"), id="a lifetime in letters"),
        pytest.param(token(expires_in=True), id="a lifetime that is a flag"),
        pytest.param(token(expires_in=0), id="no lifetime"),
        pytest.param(token(expires_in=-1), id="a negative lifetime"),
        pytest.param(token(expires_in=float("inf")), id="an endless lifetime"),
        pytest.param(token(expires_in=float("nan")), id="a lifetime that is no number"),
        pytest.param(token(expires_in=365 * 86_400 + 1), id="a lifetime of more than a year"),
        pytest.param(token(expires_in=10**400), id="a lifetime beyond any float"),
        pytest.param(token(obtained_at=-(10**400)), id="a time beyond any float"),
        pytest.param(token(refresh_token="r", refresh_expires_in=10**400), id="a refresh lifetime beyond any float"),
        pytest.param(token(access_token="\ud800"), id="a surrogate"),
        pytest.param(token(refresh_token="\ud800"), id="a surrogate in the refresh token"),
        pytest.param(token(login_id="\ud800"), id="a surrogate in the login"),
        pytest.param(token(obtained_at=None), id="no time"),
        pytest.param(token(obtained_at=float("nan")), id="a time that is no number"),
        pytest.param(token(refresh_token=7), id="a refresh token that is no string"),
        pytest.param(token(token_type=None), id="no type"),
        pytest.param(token(refresh_token="r", refresh_expires_in="30 days"), id="a refresh lifetime in words"),
    ],
)
def test_what_makes_no_sense_is_not_believed(
    server: MockProvider, heard: list[Event], clock: FakeClock, obtain: Obtain, held: Any
) -> None:
    """Any program can write to a store; a token is requested as if there were none."""
    assert obtain(server, Store(held), heard, clock) == "token-1"
    assert degraded(heard) == [("load", "it holds no valid token")]


# Failures


@pytest.mark.parametrize("store", [Store(blocking=True), Store(blocking=False)], ids=["blocking", "at once"])
@pytest.mark.parametrize("operation", ["load", "save"])
def test_a_store_that_is_down_costs_a_token_call(
    server: MockProvider, clock: FakeClock, obtain: Obtain, operation: str, store: Store
) -> None:
    """The event has the class of the error, not its message, which can contain anything."""
    heard: list[Event] = []
    store.held, store.errors = None, {}
    store.errors[operation] = ConnectionError("redis://user:secret@host is down")
    assert obtain(server, store, heard, clock) == "token-1"
    assert degraded(heard) == [(operation, "ConnectionError")]


@pytest.mark.usefixtures("impatient")
def test_a_store_that_hangs_costs_a_moment_and_a_token_call(
    server: MockProvider, heard: list[Event], clock: FakeClock, obtain: Obtain
) -> None:
    """It is not waited for, and not called again while it hangs."""
    store = Store(token())
    gate = store.hang("load")
    assert obtain(server, store, heard, clock) == "token-1"
    assert degraded(heard)[0] == ("load", "no answer within 0.01 s")
    assert store.calls == ["load"]
    gate.set()


@pytest.mark.usefixtures("impatient")
def test_a_store_that_hung_is_asked_again_once_it_answers(
    server: MockProvider, heard: list[Event], clock: FakeClock
) -> None:
    """While it hangs, no further thread is started."""
    store = Store()
    gate = store.hang("load")
    source = source_of(server, clock, store=store, store_key=lambda _: "key", emit=heard.append)
    source.token_sync()
    clock.advance(3600)
    source.token_sync()
    assert store.calls == ["load"]
    # Once, however often it hangs.
    assert degraded(heard) == [("load", "no answer within 0.01 s")]
    assert len(store.threads) == 1

    gate.set()
    assert source._guard is not None
    last = source._guard._last
    assert last is not None
    assert last.wait_sync(PATIENCE)
    clock.advance(3600)
    source.token_sync()
    source.close()
    assert store.calls[-2:] == ["load", "save"]
    assert store.held.access_token == "token-3"


def test_nobody_but_the_close_waits_for_a_save(server: MockProvider, clock: FakeClock) -> None:
    """The token is used while the store still writes; a short script ends after that."""
    store = Store()
    gate = store.hang("save")
    source = source_of(server, clock, store=store, store_key=lambda _: "key")
    assert access_token_of(source.get_sync()) == "token-1"

    closing = threading.Thread(target=source.close)
    closing.start()
    closing.join(0.01)
    assert closing.is_alive()
    gate.set()
    closing.join(PATIENCE)
    assert store.held.access_token == "token-1"


async def test_an_async_close_waits_as_well(server: MockProvider, clock: FakeClock) -> None:
    """Without blocking its loop."""
    store = Store()
    gate = store.hang("save")
    source = source_of(server, clock, store=store, store_key=lambda _: "key")
    assert access_token_of(await source.get()) == "token-1"

    closing = asyncio.create_task(source.aclose())
    _, still = await asyncio.wait([closing], timeout=0.01)
    assert still
    gate.set()
    await closing
    assert store.held.access_token == "token-1"


async def test_a_close_does_not_wait_for_ever(
    server: MockProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that hangs does not keep a program from ending."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    store = Store()
    gate = store.hang("save")
    source = source_of(server, clock, store=store, store_key=lambda _: "key")
    await source.get()
    await source.aclose()
    source.close()
    assert store.held is None
    gate.set()


async def test_calls_of_a_store_come_one_at_a_time_and_in_order(clock: FakeClock) -> None:
    """A deletion right after a save does not overtake it."""
    store = Store()
    gate = store.hang("save")
    guard = StoreGuard(store, emit=lambda _: None, clock=clock.clock)
    await guard.save("key", token())
    guard.delete("key")
    gate.set()
    await guard.aclose(PATIENCE)
    assert store.calls == ["save", "delete"]
    assert store.held is None


@pytest.mark.usefixtures("impatient")
async def test_a_loop_that_ends_does_not_wait_for_a_store_that_hangs(server: MockProvider, clock: FakeClock) -> None:
    """asyncio.run joins the loop's own thread pool, so the store has a separate thread."""
    store = Store()
    gate = store.hang("load")
    source = source_of(server, clock, store=store, store_key=lambda _: "key")
    await source.token()
    await asyncio.get_running_loop().shutdown_default_executor()
    (thread,) = store.threads
    assert thread.is_alive()
    assert thread.daemon
    gate.set()
    thread.join(PATIENCE)


async def test_a_child_process_does_not_wait_for_its_parents_call(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child calls the store although a call of its parent hangs."""
    store = Store(token())
    gate = store.hang("save")
    guard = StoreGuard(store, emit=lambda _: None, clock=clock.clock)
    await guard.save("key", token())
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert await guard.load("key") is store.held
    monkeypatch.undo()
    gate.set()


# The in-memory store


def test_the_memory_store_keeps_and_forgets() -> None:
    """Each identity has its own key."""
    store = MemoryStore()
    store.save("one", token(access_token="first"))
    store.save("two", token(access_token="second"))
    store.save("one", token(access_token="third"))
    assert [store.load(key) for key in ("one", "two", "three")] == [
        token(access_token="third"),
        token(access_token="second"),
        None,
    ]
    store.delete("one")
    store.delete("one")
    assert store.load("one") is None
    assert repr(store) == "MemoryStore(tokens=1)"
