"""Background refreshes: callers that continue, and callers that wait."""

from __future__ import annotations

import asyncio

import pytest
import trio

from seic.events import TokenWaitStarted
from tests._support.clocks import FakeClock
from tests._support.crowds import CALLERS, all_of
from tests._support.fakes.token_endpoint import PATIENCE, UNAVAILABLE, FakeEndpoint, landed, name


async def test_a_renewal_ahead_stalls_nobody(server: FakeEndpoint, clock: FakeClock) -> None:
    """While the endpoint is slow, every call uses the old token; afterwards the new one."""
    source = server.source(clock)
    await source.token()
    clock.advance(3000)
    server.hold()

    assert {name(held) for held in await all_of(CALLERS, source.get)} == {"token-1"}
    assert await server.arrived.wait_async(PATIENCE)
    assert name(await source.get()) == "token-1"

    server.release()
    await landed(source)
    assert name(await source.get()) == "token-2"
    assert server.calls == 2
    assert source.cache.stats.renewals_ahead == 1


def test_a_blocking_caller_renews_ahead_in_a_thread(server: FakeEndpoint, clock: FakeClock) -> None:
    """It does not wait either."""
    source = server.source(clock)
    source.token_sync()
    clock.advance(3000)
    server.hold()

    assert name(source.get_sync()) == "token-1"
    assert server.arrived.wait(PATIENCE)
    flight = source.cache.pending
    server.release()
    assert flight is None or flight.future.wait_sync(PATIENCE)
    assert name(source.get_sync()) == "token-2"


def test_trio_renews_ahead_in_the_background(server: FakeEndpoint, clock: FakeClock) -> None:
    """A system task refreshes, so that no call waits."""
    source = server.source(clock)

    async def main() -> None:
        await source.token()
        clock.advance(3000)
        server.hold()
        assert name(await source.get()) == "token-1"
        assert await server.arrived.wait_async(PATIENCE)
        assert name(await source.get()) == "token-1"
        server.release()
        await landed(source)
        assert name(await source.get()) == "token-2"

    trio.run(main)


async def test_a_failed_renewal_ahead_is_invisible(server: FakeEndpoint, clock: FakeClock) -> None:
    """Calls succeed; the pauses between attempts grow."""
    source = server.source(clock, chance=lambda: 0.999)
    await source.token()
    clock.advance(3000)
    requests = []
    for _ in range(20):
        server.plan.append(UNAVAILABLE)
        assert name(await source.get()) == "token-1"
        await landed(source)
        requests.append(server.calls - 1)
        server.plan.clear()
        clock.advance(1)

    assert requests == [1, 2, 2, 3, 3, 3, 3, 4, *[4] * 7, 5, *[5] * 4]


async def test_in_the_mandatory_window_callers_wait(server: FakeEndpoint, clock: FakeClock) -> None:
    """They get the new token."""
    source = server.source(clock)
    await source.token()
    clock.advance(3510)
    assert {name(held) for held in await all_of(CALLERS, source.get)} == {"token-2"}
    assert server.calls == 2


@pytest.mark.parametrize("kind", ["asyncio", "trio", "thread"])
def test_in_the_mandatory_window_a_fetch_that_hangs_holds_nobody_for_long(
    server: FakeEndpoint, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The first caller uses the valid token after a moment, the others at once; the refresh continues."""
    monkeypatch.setattr("seic._tokens.cache._PATIENCE", 0.001)
    source = server.source(clock, emit=lambda event: clock.advance(1) if isinstance(event, TokenWaitStarted) else None)

    async def main() -> None:
        await source.get()
        clock.advance(3550)
        server.hold()
        assert {name(await source.get()), name(await source.get())} == {"token-1"}
        assert await server.arrived.wait_async(PATIENCE)
        server.release()
        await landed(source)
        assert name(await source.get()) == "token-2"

    def blocking() -> None:
        source.get_sync()
        clock.advance(3550)
        server.hold()
        assert {name(source.get_sync()), name(source.get_sync())} == {"token-1"}
        assert server.arrived.wait(PATIENCE)
        flight = source.cache.pending
        server.release()
        assert flight is not None
        assert flight.future.wait_sync(PATIENCE)
        assert name(source.get_sync()) == "token-2"

    {"asyncio": lambda: asyncio.run(main()), "trio": lambda: trio.run(main), "thread": blocking}[kind]()
    assert server.calls == 2
