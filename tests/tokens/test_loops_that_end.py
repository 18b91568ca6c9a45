"""A refresh whose event loop ends or stops is taken over by waiting callers."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

from seic import TokenEndpointUnavailable
from seic.events import Event, TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import in_threads, names_of
from tests._support.gate import Gate
from tests._support.loops import Loop
from tests._support.mocks import PATIENCE
from tests._support.sources import access_token_of, source_of


def test_a_loop_that_ends_mid_fetch_hands_over(server: MockProvider) -> None:
    """asyncio.run cancels remaining tasks; callers elsewhere start again."""
    source = source_of(server)
    server.hold_tokens()
    begun = Gate()

    async def begin() -> None:
        asyncio.ensure_future(source.get())  # noqa: RUF006  # the end of the loop is what it is left to
        assert await server.wait_for_token_request(PATIENCE)
        begun.set()
        assert await waiting.wait_async(PATIENCE)

    waiting = Gate()
    (dying,) = in_threads(lambda: asyncio.run(begin()))
    assert begun.wait(PATIENCE)
    futures = in_threads(source.get_sync, lambda: asyncio.run(source.get()), lambda: trio.run(source.get))
    server.hold_tokens()
    waiting.set()
    dying.result(PATIENCE)
    assert server.wait_for_token_request_sync(PATIENCE)
    server.release_tokens()

    assert len(names_of(futures)) == 1
    assert server.token_requests == 2


def test_a_run_that_ends_with_its_call_leaves_no_storm_behind(server: MockProvider, clock: FakeClock) -> None:
    """The next call does not start the cancelled refresh again at once, since it would be cancelled too."""
    source = source_of(server, clock)
    source.get_sync()
    clock.advance(3000)
    server.hold_tokens()

    async def call(*, begins: bool) -> None:
        await source.get()
        assert (source.cache.pending is not None) is begins
        assert await server.wait_for_token_request(PATIENCE)

    asyncio.run(call(begins=True))
    for _ in range(10):
        asyncio.run(call(begins=False))
    assert server.token_requests == 2

    clock.advance(1)
    server.hold_tokens()
    asyncio.run(call(begins=True))


def test_a_trio_run_that_ends_mid_fetch_hands_over(server: MockProvider) -> None:
    """A system task ends with its trio run."""
    source = source_of(server)
    server.hold_tokens()

    async def begin() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.get)
            assert await server.wait_for_token_request(PATIENCE)
            nursery.cancel_scope.cancel()

    trio.run(begin)
    server.release_tokens()
    assert access_token_of(source.get_sync()) == "token-1"
    assert server.token_requests == 2


@pytest.mark.parametrize("waiter", ["thread", "asyncio", "trio"])
def test_waiting_callers_take_over_from_a_stopped_loop(server: MockProvider, waiter: str) -> None:
    """They check the loop themselves."""
    waiting = Gate()

    def emit(event: Event) -> None:
        if isinstance(event, TokenWaitStarted) and threading.current_thread() is not loop.thread:
            waiting.set()

    source = source_of(server, emit=emit)
    server.hold_tokens()
    loop = Loop()
    loop.start(source.get())
    assert server.wait_for_token_request_sync(PATIENCE)
    kinds: dict[str, Callable[[], Any]] = {
        "asyncio": lambda: asyncio.run(source.get()),
        "trio": lambda: trio.run(source.get),
        "thread": source.get_sync,
    }
    (future,) = in_threads(kinds[waiter])
    assert waiting.wait(PATIENCE)
    loop.stop()
    server.release_tokens()

    assert access_token_of(future.result(PATIENCE)) == "token-1"
    loop.close()
    assert server.token_requests == 2


def test_a_stopped_loop_is_taken_over(server: MockProvider) -> None:
    """If the loop continues later, its refresh has been abandoned, and the result is ignored."""
    source = source_of(server)
    server.hold_tokens()
    loop = Loop()
    first = loop.start(source.get())
    assert server.wait_for_token_request_sync(PATIENCE)
    loop.stop()
    server.release_tokens()
    second = source.get_sync()
    assert access_token_of(second) == "token-1"

    loop.go_on()
    assert first.result(PATIENCE) is second
    assert source.get_sync() is second
    loop.close()
    assert server.token_requests == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_during_a_refresh_hands_over(
    server: MockProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Its task can never end, but callers elsewhere continue."""
    source = source_of(server)
    server.hold_tokens()
    loop = Loop()
    first = loop.start(source.get())
    assert server.wait_for_token_request_sync(PATIENCE)
    loop.stop()
    loop.loop.close()
    server.release_tokens()
    assert access_token_of(source.get_sync()) == "token-1"
    assert access_token_of(asyncio.run(source.get())) == "token-1"
    assert not first.done()
    assert server.token_requests == 2
    # Python reports pending tasks when it collects them: here, not in another test.
    del first, loop
    gc.collect()


async def test_a_fetch_whose_runner_is_stuck_is_given_up(server: MockProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that blocks its event loop delays callers in other loops for the limit of a refresh at most."""
    monkeypatch.setattr("seic._tokens.source._GRACE", 0.0)
    monkeypatch.setattr("seic._tokens.source.PATIENCE", 0.0)
    source = source_of(server, timeout=0.01)
    stuck, free = Gate(), Gate()

    async def begin() -> None:
        task = asyncio.ensure_future(source.get())
        assert await server.wait_for_token_request(PATIENCE)
        stuck.set()
        free.wait(PATIENCE)  # blocks the loop
        task.cancel()

    server.hold_tokens()
    (blocked,) = in_threads(lambda: asyncio.run(begin()))
    assert await stuck.wait_async(PATIENCE)
    with pytest.raises(TokenEndpointUnavailable, match="no answer within"):
        await source.get()
    server.release_tokens()
    free.set()
    await asyncio.wrap_future(blocked)
