"""One source for tasks, threads, event loops and processes: no request is duplicated."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from seic import AuthorizationCode, OAuth2Auth, Password, TokenError
from seic._tokens.source import CachingTokenSource
from seic.events import TokenWaitStarted
from tests._support.clocks import FakeClock
from tests._support.crowds import in_threads, names_of
from tests._support.fakes.gate import Gate
from tests._support.fakes.provider import FakeProvider
from tests._support.fakes.token_endpoint import PATIENCE, FakeEndpoint, name

# Threads and loops


def test_ten_threads_make_one_request(server: FakeEndpoint) -> None:
    """Blocking callers share as tasks do."""
    source = server.source()
    server.hold()
    futures = in_threads(*[source.get_sync] * 10)
    assert server.arrived.wait(PATIENCE)
    server.release()
    assert names_of(futures) == {"token-1"}
    assert server.calls == 1


@pytest.mark.parametrize("leader", ["asyncio", "trio", "thread"])
def test_every_kind_of_caller_shares_the_fetch_of_every_other(server: FakeEndpoint, leader: str) -> None:
    """Ten threads with a loop each, trio together with asyncio, and blocking callers: one request."""
    source = server.source()
    kinds: dict[str, Callable[[], Any]] = {
        "asyncio": lambda: asyncio.run(source.get()),
        "trio": lambda: trio.run(source.get),
        "thread": source.get_sync,
    }
    server.hold()
    futures = in_threads(kinds[leader])
    assert server.arrived.wait(PATIENCE)
    flight = source.cache.pending
    assert flight is not None
    futures += in_threads(*[kinds["asyncio"]] * 10, *[kinds["trio"]] * 3, *[kinds["thread"]] * 3)
    server.release()

    assert names_of(futures) == {"token-1"}
    assert server.calls == 1


def test_two_runs_in_a_row_share_a_token(server: FakeEndpoint) -> None:
    """The source does not belong to the first loop."""
    source = server.source()
    assert name(asyncio.run(source.get())) == "token-1"
    assert name(asyncio.run(source.get())) == "token-1"
    assert name(trio.run(source.get)) == "token-1"
    assert server.calls == 1


async def test_a_blocking_call_inside_the_loop_that_fetches_does_not_wait_for_itself(server: FakeEndpoint) -> None:
    """The refresh cannot continue while its own loop is blocked, so the caller requests a token itself."""
    source = server.source()
    server.hold()
    first = asyncio.create_task(source.get())
    assert await server.arrived.wait_async(PATIENCE)
    server.release()
    held = source.get_sync()

    assert name(held) == "token-1"
    assert await first is held
    assert server.calls == 2


async def test_a_blocking_call_inside_the_loop_that_fetches_goes_on_with_a_living_token(
    server: FakeEndpoint, clock: FakeClock
) -> None:
    """It cannot wait, and need not: the refresh of the others continues, and is not duplicated."""
    source = server.source(clock)
    await source.get()
    clock.advance(3550)
    server.hold()
    first = asyncio.create_task(source.get())
    assert await server.arrived.wait_async(PATIENCE)

    assert name(source.get_sync()) == "token-1"
    server.release()
    assert name(await first) == "token-2"
    assert server.calls == 2


@pytest.mark.parametrize(
    "ask", [CachingTokenSource.get_sync, CachingTokenSource.revoke_sync], ids=["a token", "a revocation"]
)
async def test_a_blocking_call_inside_the_loop_that_spends_a_refresh_token_is_an_error(
    ask: Callable[[CachingTokenSource], Any],
) -> None:
    """A second request would send a single-use secret again, and end the login; the first continues."""
    provider, clock = FakeProvider(), FakeClock()
    source = provider.source(AuthorizationCode(code="code-1"), clock)
    await source.token()
    clock.advance(3601)
    provider.hold()
    first = asyncio.create_task(source.token())
    assert await provider.arrived.wait_async(PATIENCE)

    with pytest.raises(TokenError, match="cannot wait"):
        ask(source)
    provider.release()
    assert (await first).access_token == "a2"
    assert provider.asked == ["authorization_code", "r1"]


async def test_a_blocking_call_of_a_listener_before_the_refresh_starts_is_an_error(server: FakeEndpoint) -> None:
    """It would wait for what starts when the listener returns; the refresh itself goes on."""
    errors: list[TokenError] = []

    def listen(event: object) -> None:
        if isinstance(event, TokenWaitStarted) and not errors:
            with pytest.raises(TokenError, match="cannot wait") as caught:
                auth.token_sync()
            errors.append(caught.value)

    auth = OAuth2Auth(server.config(token_timeout=0.5), transport=server, on_event=listen)
    assert (await auth.token()).access_token == "token-1"
    assert (len(errors), server.calls) == (1, 1)


# Processes


def _in_child(call: Callable[[], bytes]) -> bytes:
    """Fork, run the call in the child, and return its result, with a timeout."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, call())
        finally:
            os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], PATIENCE)
        return os.read(read, 1000) if ready else b"it hangs"
    finally:
        os.close(read)
        if not ready:
            os.kill(child, 9)
        os.waitpid(child, 0)


# Python 3.12 warns about threads at a fork, which are tested here.
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
class TestFork:
    """A child of os.fork has the memory of its parent, and none of its threads."""

    def test_the_child_uses_the_parents_token(self, server: FakeEndpoint) -> None:
        """A valid token needs no request."""
        source = server.source()
        source.token_sync()
        assert _in_child(lambda: name(source.get_sync()).encode()) == b"token-1"

    def test_the_child_does_not_share_a_flight(self, server: FakeEndpoint) -> None:
        """The refresh runs in the parent: the child starts another."""
        source = server.source()
        server.hold()
        (waiter,) = in_threads(source.get_sync)
        assert server.arrived.wait(PATIENCE)

        def call() -> bytes:
            server._lock = threading.Lock()
            server._gate = None
            server.plan.append(httpx.Response(200, json={"access_token": "childs-own"}))
            return name(source.get_sync()).encode()

        assert _in_child(call) == b"childs-own"
        server.release()
        assert name(waiter.result(PATIENCE)) == "token-1"

    def test_the_child_does_not_send_what_the_parent_is_sending(self, clock: FakeClock) -> None:
        """A refresh token on its way counts as sent: the child uses the grant instead, and waits for nobody."""
        provider = FakeProvider()
        source = provider.source(Password(username="u", password="p"), clock)
        source.token_sync()
        clock.advance(3601)
        provider.hold()
        (waiter,) = in_threads(source.token_sync)
        assert provider.arrived.wait(PATIENCE)

        def call() -> bytes:
            provider.reset()
            source.token_sync()
            return " ".join(provider.asked).encode()

        assert _in_child(call) == b"password r1 password"
        provider.release()
        assert waiter.result(PATIENCE).access_token == "a2"

    def test_a_future_that_another_thread_held_does_not_hold_the_child(self, server: FakeEndpoint) -> None:
        """The child drops the refresh of its parent, and touches nothing of it."""
        source = server.source()
        server.hold()
        (waiter,) = in_threads(source.get_sync)
        assert server.arrived.wait(PATIENCE)
        pending, locked, unlock = source.cache.pending, Gate(), Gate()
        assert pending is not None

        def keep_the_lock() -> None:
            with pending.future._condition:
                locked.set()
                unlock.wait(PATIENCE)

        def call() -> bytes:
            server.reset()
            server.plan.append(httpx.Response(200, json={"access_token": "childs-own"}))
            return name(source.get_sync()).encode()

        (holder,) = in_threads(keep_the_lock)
        assert locked.wait(PATIENCE)
        assert _in_child(call) == b"childs-own"
        unlock.set()
        holder.result(PATIENCE)
        server.release()
        assert name(waiter.result(PATIENCE)) == "token-1"

    def test_a_lock_that_another_thread_held_does_not_hold_the_child(self, server: FakeEndpoint) -> None:
        """That thread does not exist in the child, so it would never release it."""
        source = server.source()
        locked, unlock = Gate(), Gate()

        def keep_the_lock() -> None:
            with source.cache._lock:
                locked.set()
                unlock.wait(PATIENCE)

        (holder,) = in_threads(keep_the_lock)
        assert locked.wait(PATIENCE)
        assert _in_child(lambda: name(source.get_sync()).encode()) == b"token-1"
        unlock.set()
        holder.result(PATIENCE)

    def test_the_child_can_run_an_event_loop_of_its_own(self, server: FakeEndpoint, clock: FakeClock) -> None:
        """The loop of the parent is not used."""
        source = server.source(clock)
        asyncio.run(source.token())
        clock.advance(3600)
        assert _in_child(lambda: name(asyncio.run(source.get())).encode()) == b"token-2"
