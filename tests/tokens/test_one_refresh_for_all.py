"""One source for tasks, threads, event loops and processes: no request is duplicated."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from seic import AuthorizationCode, OAuth2Auth, Password, TokenError
from seic._tokens.source import CachingTokenSource
from seic.events import TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import in_threads, names_of
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE, refresh_tokens_or_grants, refreshing_mock
from tests._support.sources import access_token_of, granted_source_of, source_of

# Threads and loops


def test_ten_threads_make_one_request(server: MockProvider) -> None:
    """Blocking callers share as tasks do."""
    source = source_of(server)
    server.hold_tokens()
    futures = in_threads(*[source.get_sync] * 10)
    assert server.wait_for_token_request_sync(PATIENCE)
    server.release_tokens()
    assert names_of(futures) == {"token-1"}
    assert server.token_requests == 1


@pytest.mark.parametrize("leader", ["asyncio", "trio", "thread"])
def test_every_kind_of_caller_shares_the_fetch_of_every_other(server: MockProvider, leader: str) -> None:
    """Ten threads with a loop each, trio together with asyncio, and blocking callers: one request."""
    source = source_of(server)
    kinds: dict[str, Callable[[], Any]] = {
        "asyncio": lambda: asyncio.run(source.get()),
        "trio": lambda: trio.run(source.get),
        "thread": source.get_sync,
    }
    server.hold_tokens()
    futures = in_threads(kinds[leader])
    assert server.wait_for_token_request_sync(PATIENCE)
    flight = source.cache.pending
    assert flight is not None
    futures += in_threads(*[kinds["asyncio"]] * 10, *[kinds["trio"]] * 3, *[kinds["thread"]] * 3)
    server.release_tokens()

    assert names_of(futures) == {"token-1"}
    assert server.token_requests == 1


def test_two_runs_in_a_row_share_a_token(server: MockProvider) -> None:
    """The source does not belong to the first loop."""
    source = source_of(server)
    assert access_token_of(asyncio.run(source.get())) == "token-1"
    assert access_token_of(asyncio.run(source.get())) == "token-1"
    assert access_token_of(trio.run(source.get)) == "token-1"
    assert server.token_requests == 1


async def test_a_blocking_call_inside_the_loop_that_fetches_does_not_wait_for_itself(server: MockProvider) -> None:
    """The refresh cannot continue while its own loop is blocked, so the caller requests a token itself."""
    source = source_of(server)
    server.hold_tokens()
    first = asyncio.create_task(source.get())
    assert await server.wait_for_token_request(PATIENCE)
    server.release_tokens()
    held = source.get_sync()

    assert access_token_of(held) == "token-1"
    assert await first is held
    assert server.token_requests == 2


async def test_a_blocking_call_inside_the_loop_that_fetches_goes_on_with_a_living_token(
    server: MockProvider, clock: FakeClock
) -> None:
    """It cannot wait, and need not: the refresh of the others continues, and is not duplicated."""
    source = source_of(server, clock)
    await source.get()
    clock.advance(3550)
    server.hold_tokens()
    first = asyncio.create_task(source.get())
    assert await server.wait_for_token_request(PATIENCE)

    assert access_token_of(source.get_sync()) == "token-1"
    server.release_tokens()
    assert access_token_of(await first) == "token-2"
    assert server.token_requests == 2


@pytest.mark.parametrize(
    "ask", [CachingTokenSource.get_sync, CachingTokenSource.revoke_sync], ids=["a token", "a revocation"]
)
async def test_a_blocking_call_inside_the_loop_that_spends_a_refresh_token_is_an_error(
    ask: Callable[[CachingTokenSource], Any],
) -> None:
    """A second request would send a single-use secret again, and end the login; the first continues."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, AuthorizationCode(code="code-1"), clock)
    await source.token()
    clock.advance(3601)
    provider.hold_tokens(issued=True)
    first = asyncio.create_task(source.token())
    assert await provider.wait_for_token_request(PATIENCE)

    with pytest.raises(TokenError, match="cannot wait"):
        ask(source)
    provider.release_tokens()
    assert (await first).access_token == "a2"
    assert refresh_tokens_or_grants(provider) == ["authorization_code", "r1"]


async def test_a_blocking_call_of_a_listener_before_the_refresh_starts_is_an_error(server: MockProvider) -> None:
    """It would wait for what starts when the listener returns; the refresh itself goes on."""
    errors: list[TokenError] = []

    def listen(event: object) -> None:
        if isinstance(event, TokenWaitStarted) and not errors:
            with pytest.raises(TokenError, match="cannot wait") as caught:
                auth.token_sync()
            errors.append(caught.value)

    auth = OAuth2Auth(server.config(token_timeout=0.5), transport=server, on_event=listen)
    assert (await auth.token()).access_token == "token-1"
    assert (len(errors), server.token_requests) == (1, 1)


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

    def test_the_child_uses_the_parents_token(self, server: MockProvider) -> None:
        """A valid token needs no request."""
        source = source_of(server)
        source.token_sync()
        assert _in_child(lambda: access_token_of(source.get_sync()).encode()) == b"token-1"

    def test_the_child_does_not_share_a_flight(self, server: MockProvider) -> None:
        """The refresh runs in the parent: the child starts another."""
        source = source_of(server)
        server.hold_tokens()
        (waiter,) = in_threads(source.get_sync)
        assert server.wait_for_token_request_sync(PATIENCE)

        def call() -> bytes:
            server.release_tokens()
            server.token_responses.append(httpx.Response(200, json={"access_token": "childs-own"}))
            return access_token_of(source.get_sync()).encode()

        assert _in_child(call) == b"childs-own"
        server.release_tokens()
        assert access_token_of(waiter.result(PATIENCE)) == "token-1"

    def test_the_child_does_not_send_what_the_parent_is_sending(self, clock: FakeClock) -> None:
        """A refresh token on its way counts as sent: the child uses the grant instead, and waits for nobody."""
        provider = refreshing_mock()
        source = granted_source_of(provider, Password(username="u", password="p"), clock)
        source.token_sync()
        clock.advance(3601)
        provider.hold_tokens(issued=True)
        (waiter,) = in_threads(source.token_sync)
        assert provider.wait_for_token_request_sync(PATIENCE)

        def call() -> bytes:
            provider.release_tokens()
            source.token_sync()
            return " ".join(refresh_tokens_or_grants(provider)).encode()

        assert _in_child(call) == b"password r1 password"
        provider.release_tokens()
        assert waiter.result(PATIENCE).access_token == "a2"

    def test_a_future_that_another_thread_held_does_not_hold_the_child(self, server: MockProvider) -> None:
        """The child drops the refresh of its parent, and touches nothing of it."""
        source = source_of(server)
        server.hold_tokens()
        (waiter,) = in_threads(source.get_sync)
        assert server.wait_for_token_request_sync(PATIENCE)
        pending, locked, unlock = source.cache.pending, Gate(), Gate()
        assert pending is not None

        def keep_the_lock() -> None:
            with pending.future._condition:
                locked.set()
                unlock.wait(PATIENCE)

        def call() -> bytes:
            server.release_tokens()
            server.token_responses.append(httpx.Response(200, json={"access_token": "childs-own"}))
            return access_token_of(source.get_sync()).encode()

        (holder,) = in_threads(keep_the_lock)
        assert locked.wait(PATIENCE)
        assert _in_child(call) == b"childs-own"
        unlock.set()
        holder.result(PATIENCE)
        server.release_tokens()
        assert access_token_of(waiter.result(PATIENCE)) == "token-1"

    def test_a_lock_that_another_thread_held_does_not_hold_the_child(self, server: MockProvider) -> None:
        """That thread does not exist in the child, so it would never release it."""
        source = source_of(server)
        locked, unlock = Gate(), Gate()

        def keep_the_lock() -> None:
            with source.cache._lock:
                locked.set()
                unlock.wait(PATIENCE)

        (holder,) = in_threads(keep_the_lock)
        assert locked.wait(PATIENCE)
        assert _in_child(lambda: access_token_of(source.get_sync()).encode()) == b"token-1"
        unlock.set()
        holder.result(PATIENCE)

    def test_the_child_can_run_an_event_loop_of_its_own(self, server: MockProvider, clock: FakeClock) -> None:
        """The loop of the parent is not used."""
        source = source_of(server, clock)
        asyncio.run(source.token())
        clock.advance(3600)
        assert _in_child(lambda: access_token_of(asyncio.run(source.get())).encode()) == b"token-2"
