"""One source of tokens for all callers: many callers cause one request, and force or a new identity another."""

from __future__ import annotations

import asyncio

import pytest
import trio

from seic import MemoryStore, SeicError, Token
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import CALLERS, all_of
from tests._support.mocks import PATIENCE
from tests._support.sources import access_token_of, source_of


async def test_a_crowd_makes_one_request(server: MockProvider) -> None:
    """All callers during a request share its token."""
    source = source_of(server)
    server.hold_tokens()
    crowd = asyncio.create_task(all_of(CALLERS, source.get))
    assert await server.wait_for_token_request(PATIENCE)
    server.release_tokens()

    assert {access_token_of(held) for held in await crowd} == {"token-1"}
    assert server.token_requests == 1
    assert source.cache.stats.token_requests == 1


async def test_a_crowd_on_an_expired_token_makes_one_request(server: MockProvider, clock: FakeClock) -> None:
    """As for the first token."""
    source = source_of(server, clock)
    await source.token()
    clock.advance(3600)

    assert {access_token_of(held) for held in await all_of(CALLERS, source.get)} == {"token-2"}
    assert server.token_requests == 2


def test_trio_shares_as_well(server: MockProvider) -> None:
    """The same source works for tasks of trio."""
    source = source_of(server)
    names: list[str] = []

    async def one() -> None:
        names.append(access_token_of(await source.get()))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(one)

    trio.run(main)
    assert names == ["token-1"] * CALLERS
    assert server.token_requests == 1


async def test_force_gets_a_new_token_and_all_who_force_share_it(server: MockProvider) -> None:
    """The store is not asked."""
    store = MemoryStore()
    source = source_of(server, store=store, store_key=lambda _: "key")
    await source.token()
    tokens = {token.access_token for token in await all_of(CALLERS, lambda: source.token(force=True))}
    assert tokens == {"token-2"}
    kept = store.load("key")
    assert kept is not None
    assert kept.access_token == "token-2"
    assert access_token_of(await source.get()) == "token-2"


async def test_force_passes_over_what_another_process_has_stored(server: MockProvider) -> None:
    """It can be older than the change that the caller wants to see."""
    store = MemoryStore()
    source = source_of(server, store=store, store_key=lambda _: "key")
    await source.token()
    store.save("key", Token(access_token="of-another-process", obtained_at=1_700_000_000, expires_in=3600))
    assert (await source.token(force=True)).access_token == "token-2"


async def test_force_during_a_fetch_waits_and_fetches_again(server: MockProvider) -> None:
    """The token in progress was requested before; a change may not be included in it."""
    source = source_of(server)
    server.hold_tokens()
    first = asyncio.create_task(source.token())
    assert await server.wait_for_token_request(PATIENCE)
    forced = asyncio.create_task(all_of(CALLERS, lambda: source.token(force=True)))
    await asyncio.sleep(0)
    server.release_tokens()

    assert (await first).access_token == "token-1"
    assert {token.access_token for token in await forced} == {"token-2"}


async def test_looking_at_the_token_in_hand_fetches_nothing(server: MockProvider, clock: FakeClock) -> None:
    """It is None before the first token and after its expiry."""
    source = source_of(server, clock)
    assert source.current is None
    token = await source.token()
    assert source.current is token
    clock.advance(3600)
    assert source.current is None
    assert server.token_requests == 1


async def test_a_new_identity_renews_before_the_next_call(server: MockProvider) -> None:
    """A token bound to the old certificate cannot be used with the new one."""
    source = source_of(server)
    await source.token()
    source.cache.expire_soon()
    assert access_token_of(await source.get()) == "token-2"


async def test_an_identity_that_changes_during_the_fetch_fetches_again(server: MockProvider) -> None:
    """The token in progress is bound to the old certificate."""
    identities = iter(["old", "new", "new", "new"])
    source = source_of(server, identity=lambda: next(identities))
    assert access_token_of(await source.get()) == "token-1"
    assert access_token_of(await source.get()) == "token-2"
    assert access_token_of(await source.get()) == "token-2"


async def test_an_error_of_the_tree_passes_as_it_is(server: MockProvider) -> None:
    """A certificate that cannot be used is not a failure of the endpoint."""

    class Broken(SeicError):
        pass

    server.token_responses.append(Broken("the certificate has expired"))
    with pytest.raises(Broken):
        await source_of(server).token()
    assert server.token_requests == 1
