"""A cancelled caller does not affect others who wait for the same token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from seic._tokens.source import CachingTokenSource
from seic.testing import MockProvider
from tests._support.mocks import PATIENCE, take_turns
from tests._support.sources import access_token_of, landed, source_of


async def test_a_cancelled_leader_cancels_nobody(server: MockProvider) -> None:
    """The refresh does not belong to the caller who started it."""
    source = source_of(server)
    server.hold_tokens()
    leader = asyncio.create_task(source.get())
    assert await server.wait_for_token_request(PATIENCE)
    waiter = asyncio.create_task(source.get())
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    server.release_tokens()

    assert access_token_of(await waiter) == "token-1"
    assert server.token_requests == 1


async def test_a_cancelled_waiter_cancels_nobody(server: MockProvider) -> None:
    """Nor to a caller who waits, cancelled or timed out."""
    source = source_of(server)
    server.hold_tokens()
    leader = asyncio.create_task(source.get())
    assert await server.wait_for_token_request(PATIENCE)
    waiter = asyncio.create_task(source.get())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.get(), 0.001)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    server.release_tokens()

    assert access_token_of(await leader) == "token-1"
    assert server.token_requests == 1


async def test_a_fetch_that_all_have_left_still_lands(server: MockProvider) -> None:
    """The token is not discarded: the next caller uses it."""
    source = source_of(server)
    server.hold_tokens()
    crowd = [asyncio.create_task(source.get()) for _ in range(10)]
    assert await server.wait_for_token_request(PATIENCE)
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    server.release_tokens()
    await landed(source)

    assert access_token_of(await source.get()) == "token-1"
    assert server.token_requests == 1


async def _cancel_at_each_step(call: Callable[[], Awaitable[Any]], settle: Callable[[], Awaitable[Any]]) -> int:
    """Cancel the call after one step of the loop, then after two, and so on, until it ends before that."""
    steps = 0
    while True:
        task = asyncio.ensure_future(call())
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            await task
            return steps
        task.cancel()
        await asyncio.wait([task])
        await settle()
        steps += 1


@pytest.mark.parametrize("begins", [True, False], ids=["the leader", "a waiter"])
async def test_a_caller_may_be_cancelled_at_every_point(server: MockProvider, begins: bool) -> None:
    """At each step, other callers get a token, and there is one request per refresh."""
    take_turns(server, 3)
    sources: list[CachingTokenSource] = []

    async def call() -> None:
        source = source_of(server)
        sources.append(source)
        if not begins:
            other.append(asyncio.create_task(source.get()))
            await asyncio.sleep(0)
        await source.get()

    other: list[asyncio.Task[Any]] = []

    async def settle() -> None:
        if not sources:  # cancelled before its first step
            return
        requests = server.token_requests
        source = sources[-1]
        await source.get()
        for task in other:
            await task
        assert source.cache.stats.token_requests == 1
        assert server.token_requests <= requests + 1

    steps = await _cancel_at_each_step(call, settle)
    assert steps > 3
    assert len(sources) >= steps


def test_a_cancelled_trio_leader_cancels_nobody(server: MockProvider) -> None:
    """Nor does the end of its nursery."""
    source = source_of(server)
    names: list[str] = []

    async def wait() -> None:
        names.append(access_token_of(await source.get()))

    async def main() -> None:
        server.hold_tokens()
        async with trio.open_nursery() as outer:
            async with trio.open_nursery() as inner:
                inner.start_soon(source.get)
                assert await server.wait_for_token_request(PATIENCE)
                outer.start_soon(wait)
                await trio.lowlevel.checkpoint()
                inner.cancel_scope.cancel()
            server.release_tokens()

    trio.run(main)
    assert names == ["token-1"]
    assert server.token_requests == 1
