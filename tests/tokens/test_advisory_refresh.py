"""Background refreshes: callers that continue, and callers that wait."""

from __future__ import annotations

import asyncio

import pytest
import trio

from seic.events import TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import CALLERS, all_of
from tests._support.mocks import PATIENCE, UNAVAILABLE
from tests._support.sources import access_token_of, landed, source_of


async def test_a_renewal_ahead_stalls_nobody(server: MockProvider, clock: FakeClock) -> None:
    """While the endpoint is slow, every call uses the old token; afterwards the new one."""
    source = source_of(server, clock)
    await source.token()
    clock.advance(3000)
    server.hold_tokens()

    assert {access_token_of(held) for held in await all_of(CALLERS, source.get)} == {"token-1"}
    assert await server.wait_for_token_request(PATIENCE)
    assert access_token_of(await source.get()) == "token-1"

    server.release_tokens()
    await landed(source)
    assert access_token_of(await source.get()) == "token-2"
    assert server.token_requests == 2
    assert source.cache.stats.renewals_ahead == 1


def test_a_blocking_caller_renews_ahead_in_a_thread(server: MockProvider, clock: FakeClock) -> None:
    """It does not wait either."""
    source = source_of(server, clock)
    source.token_sync()
    clock.advance(3000)
    server.hold_tokens()

    assert access_token_of(source.get_sync()) == "token-1"
    assert server.wait_for_token_request_sync(PATIENCE)
    flight = source.cache.pending
    server.release_tokens()
    assert flight is None or flight.future.wait_sync(PATIENCE)
    assert access_token_of(source.get_sync()) == "token-2"


def test_trio_renews_ahead_in_the_background(server: MockProvider, clock: FakeClock) -> None:
    """A system task refreshes, so that no call waits."""
    source = source_of(server, clock)

    async def main() -> None:
        await source.token()
        clock.advance(3000)
        server.hold_tokens()
        assert access_token_of(await source.get()) == "token-1"
        assert await server.wait_for_token_request(PATIENCE)
        assert access_token_of(await source.get()) == "token-1"
        server.release_tokens()
        await landed(source)
        assert access_token_of(await source.get()) == "token-2"

    trio.run(main)


async def test_a_failed_renewal_ahead_is_invisible(server: MockProvider, clock: FakeClock) -> None:
    """Calls succeed; the pauses between attempts grow."""
    source = source_of(server, clock, chance=lambda: 0.999)
    await source.token()
    clock.advance(3000)
    requests = []
    for _ in range(20):
        server.token_responses.append(UNAVAILABLE)
        assert access_token_of(await source.get()) == "token-1"
        await landed(source)
        requests.append(server.token_requests - 1)
        server.token_responses.clear()
        clock.advance(1)

    assert requests == [1, 2, 2, 3, 3, 3, 3, 4, *[4] * 7, 5, *[5] * 4]


async def test_in_the_mandatory_window_callers_wait(server: MockProvider, clock: FakeClock) -> None:
    """They get the new token."""
    source = source_of(server, clock)
    await source.token()
    clock.advance(3510)
    assert {access_token_of(held) for held in await all_of(CALLERS, source.get)} == {"token-2"}
    assert server.token_requests == 2


@pytest.mark.parametrize("kind", ["asyncio", "trio", "thread"])
def test_in_the_mandatory_window_a_fetch_that_hangs_holds_nobody_for_long(
    server: MockProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The first caller uses the valid token after a moment, the others at once; the refresh continues."""
    monkeypatch.setattr("seic._tokens.cache._PATIENCE", 0.001)
    source = source_of(
        server, clock, emit=lambda event: clock.advance(1) if isinstance(event, TokenWaitStarted) else None
    )

    async def main() -> None:
        await source.get()
        clock.advance(3550)
        server.hold_tokens()
        assert {access_token_of(await source.get()), access_token_of(await source.get())} == {"token-1"}
        assert await server.wait_for_token_request(PATIENCE)
        server.release_tokens()
        await landed(source)
        assert access_token_of(await source.get()) == "token-2"

    def blocking() -> None:
        source.get_sync()
        clock.advance(3550)
        server.hold_tokens()
        assert {access_token_of(source.get_sync()), access_token_of(source.get_sync())} == {"token-1"}
        assert server.wait_for_token_request_sync(PATIENCE)
        flight = source.cache.pending
        server.release_tokens()
        assert flight is not None
        assert flight.future.wait_sync(PATIENCE)
        assert access_token_of(source.get_sync()) == "token-2"

    {"asyncio": lambda: asyncio.run(main()), "trio": lambda: trio.run(main), "thread": blocking}[kind]()
    assert server.token_requests == 2
