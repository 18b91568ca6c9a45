"""Closing a source ends its tasks, and each waiting caller gets a result."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from seic import TokenError
from seic.events import TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE
from tests._support.sources import source_of


async def test_closing_ends_a_fetch_and_waits_for_its_end(server: MockProvider) -> None:
    """No task remains, and the source can be used again."""
    source = source_of(server)
    server.hold_tokens()
    caller = asyncio.create_task(source.token())
    assert await server.wait_for_token_request(PATIENCE)
    caller.cancel()
    await asyncio.wait([caller])
    await source.aclose()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    server.release_tokens()
    assert (await source.token()).access_token == "token-1"


async def test_waiting_callers_get_the_token_of_a_refresh_during_closing(server: MockProvider) -> None:
    """Closing waits for it for a second; nothing is requested twice."""
    source = source_of(server)
    server.hold_tokens()
    callers = [asyncio.create_task(source.token()) for _ in range(3)]
    assert await server.wait_for_token_request(PATIENCE)
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    server.release_tokens()
    await closing
    assert [(await caller).access_token for caller in callers] == ["token-1"] * 3
    assert server.token_requests == 1


@pytest.mark.parametrize("ahead", [False, True], ids=["in need", "ahead"])
async def test_waiting_callers_get_an_error_if_closing_ends_their_refresh(
    server: MockProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """Each gets its own error that says so; no task remains, and later calls are not affected."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    source = source_of(server, clock)
    if ahead:
        await source.token()
        clock.advance(3000)
    server.hold_tokens()
    if ahead:
        await source.token()
        clock.advance(600)
    callers = [asyncio.create_task(source.token()) for _ in range(3)]
    await asyncio.sleep(0)
    assert await server.wait_for_token_request(PATIENCE)
    await source.aclose()

    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert all(type(error) is TokenError and "closed" in str(error) for error in errors)
    assert len(set(map(id, errors))) == 3
    assert asyncio.all_tasks() == {asyncio.current_task()}
    calls = server.token_requests
    assert calls == 1 + ahead
    server.release_tokens()
    await source.token()
    assert server.token_requests == calls + 1


def test_a_blocking_close_leaves_no_caller_without_an_answer(
    server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocking twin does the same for callers in threads."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    waiting = Gate()
    source = source_of(server, emit=lambda event: waiting.set() if isinstance(event, TokenWaitStarted) else None)
    server.hold_tokens()
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(source.token_sync)
        assert server.wait_for_token_request_sync(PATIENCE)
        source.close()
        with pytest.raises(TokenError, match="closed"):
            caller.result(PATIENCE)
        assert source.cache.pending is None
        server.release_tokens()
    assert server.token_requests == 1


def test_trio_closes_as_well(server: MockProvider, clock: FakeClock) -> None:
    """The system task ends."""
    source = source_of(server, clock)

    async def main() -> None:
        await source.token()
        clock.advance(3000)
        server.hold_tokens()
        await source.token()
        assert await server.wait_for_token_request(PATIENCE)
        await source.aclose()
        assert source.cache.pending is None

    trio.run(main)
