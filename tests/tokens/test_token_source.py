"""One source of tokens for all callers: many callers cause one request, and force or a new identity another."""

from __future__ import annotations

import asyncio

import pytest
import trio

from seic import MemoryStore, SeicError, Token
from tests._support.clocks import FakeClock
from tests._support.crowds import CALLERS, all_of
from tests._support.fakes.token_endpoint import PATIENCE, FakeEndpoint, name


async def test_a_crowd_makes_one_request(server: FakeEndpoint) -> None:
    """All callers during a request share its token."""
    source = server.source()
    server.hold()
    crowd = asyncio.create_task(all_of(CALLERS, source.get))
    assert await server.arrived.wait_async(PATIENCE)
    server.release()

    assert {name(held) for held in await crowd} == {"token-1"}
    assert server.calls == 1
    assert source.cache.stats.token_requests == 1


async def test_a_crowd_on_an_expired_token_makes_one_request(server: FakeEndpoint, clock: FakeClock) -> None:
    """As for the first token."""
    source = server.source(clock)
    await source.token()
    clock.advance(3600)

    assert {name(held) for held in await all_of(CALLERS, source.get)} == {"token-2"}
    assert server.calls == 2


def test_trio_shares_as_well(server: FakeEndpoint) -> None:
    """The same source works for tasks of trio."""
    source = server.source()
    names: list[str] = []

    async def one() -> None:
        names.append(name(await source.get()))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(one)

    trio.run(main)
    assert names == ["token-1"] * CALLERS
    assert server.calls == 1


async def test_force_gets_a_new_token_and_all_who_force_share_it(server: FakeEndpoint) -> None:
    """The store is not asked."""
    store = MemoryStore()
    source = server.source(store=store, store_key=lambda _: "key")
    await source.token()
    tokens = {token.access_token for token in await all_of(CALLERS, lambda: source.token(force=True))}
    assert tokens == {"token-2"}
    kept = store.load("key")
    assert kept is not None
    assert kept.access_token == "token-2"
    assert name(await source.get()) == "token-2"


async def test_force_passes_over_what_another_process_has_stored(server: FakeEndpoint) -> None:
    """It can be older than the change that the caller wants to see."""
    store = MemoryStore()
    source = server.source(store=store, store_key=lambda _: "key")
    await source.token()
    store.save("key", Token(access_token="of-another-process", obtained_at=1_700_000_000, expires_in=3600))
    assert (await source.token(force=True)).access_token == "token-2"


async def test_force_during_a_fetch_waits_and_fetches_again(server: FakeEndpoint) -> None:
    """The token in progress was requested before; a change may not be included in it."""
    source = server.source()
    server.hold()
    first = asyncio.create_task(source.token())
    assert await server.arrived.wait_async(PATIENCE)
    forced = asyncio.create_task(all_of(CALLERS, lambda: source.token(force=True)))
    await asyncio.sleep(0)
    server.release()

    assert (await first).access_token == "token-1"
    assert {token.access_token for token in await forced} == {"token-2"}


async def test_looking_at_the_token_in_hand_fetches_nothing(server: FakeEndpoint, clock: FakeClock) -> None:
    """It is None before the first token and after its expiry."""
    source = server.source(clock)
    assert source.current is None
    token = await source.token()
    assert source.current is token
    clock.advance(3600)
    assert source.current is None
    assert server.calls == 1


async def test_a_new_identity_renews_before_the_next_call(server: FakeEndpoint) -> None:
    """A token bound to the old certificate cannot be used with the new one."""
    source = server.source()
    await source.token()
    source.cache.expire_soon()
    assert name(await source.get()) == "token-2"


async def test_an_identity_that_changes_during_the_fetch_fetches_again(server: FakeEndpoint) -> None:
    """The token in progress is bound to the old certificate."""
    identities = iter(["old", "new", "new", "new"])
    source = server.source(identity=lambda: next(identities))
    assert name(await source.get()) == "token-1"
    assert name(await source.get()) == "token-2"
    assert name(await source.get()) == "token-2"


async def test_an_error_of_the_tree_passes_as_it_is(server: FakeEndpoint) -> None:
    """A certificate that cannot be used is not a failure of the endpoint."""

    class Broken(SeicError):
        pass

    server.plan.append(Broken("the certificate has expired"))
    with pytest.raises(Broken):
        await server.source().token()
    assert server.calls == 1
