"""A cancelled caller does not affect others who wait for the same token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from seic._tokens.source import CachingTokenSource
from tests._support.fakes.token_endpoint import PATIENCE, FakeEndpoint, landed, name


async def test_a_cancelled_leader_cancels_nobody(server: FakeEndpoint) -> None:
    """The refresh does not belong to the caller who started it."""
    source = server.source()
    server.hold()
    leader = asyncio.create_task(source.get())
    assert await server.arrived.wait_async(PATIENCE)
    waiter = asyncio.create_task(source.get())
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    server.release()

    assert name(await waiter) == "token-1"
    assert server.calls == 1


async def test_a_cancelled_waiter_cancels_nobody(server: FakeEndpoint) -> None:
    """Nor to a caller who waits, cancelled or timed out."""
    source = server.source()
    server.hold()
    leader = asyncio.create_task(source.get())
    assert await server.arrived.wait_async(PATIENCE)
    waiter = asyncio.create_task(source.get())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.get(), 0.001)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    server.release()

    assert name(await leader) == "token-1"
    assert server.calls == 1


async def test_a_fetch_that_all_have_left_still_lands(server: FakeEndpoint) -> None:
    """The token is not discarded: the next caller uses it."""
    source = server.source()
    server.hold()
    crowd = [asyncio.create_task(source.get()) for _ in range(10)]
    assert await server.arrived.wait_async(PATIENCE)
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    server.release()
    await landed(source)

    assert name(await source.get()) == "token-1"
    assert server.calls == 1


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
async def test_a_caller_may_be_cancelled_at_every_point(server: FakeEndpoint, begins: bool) -> None:
    """At each step, other callers get a token, and there is one request per refresh."""
    server.turns = 3
    sources: list[CachingTokenSource] = []

    async def call() -> None:
        source = server.source()
        sources.append(source)
        if not begins:
            other.append(asyncio.create_task(source.get()))
            await asyncio.sleep(0)
        await source.get()

    other: list[asyncio.Task[Any]] = []

    async def settle() -> None:
        if not sources:  # cancelled before its first step
            return
        requests = server.calls
        source = sources[-1]
        await source.get()
        for task in other:
            await task
        assert source.cache.stats.token_requests == 1
        assert server.calls <= requests + 1

    steps = await _cancel_at_each_step(call, settle)
    assert steps > 3
    assert len(sources) >= steps


def test_a_cancelled_trio_leader_cancels_nobody(server: FakeEndpoint) -> None:
    """Nor does the end of its nursery."""
    source = server.source()
    names: list[str] = []

    async def wait() -> None:
        names.append(name(await source.get()))

    async def main() -> None:
        server.hold()
        async with trio.open_nursery() as outer:
            async with trio.open_nursery() as inner:
                inner.start_soon(source.get)
                assert await server.arrived.wait_async(PATIENCE)
                outer.start_soon(wait)
                await trio.lowlevel.checkpoint()
                inner.cancel_scope.cancel()
            server.release()

    trio.run(main)
    assert names == ["token-1"]
    assert server.calls == 1
