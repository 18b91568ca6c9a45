"""`RedisStore` with an application's own async client: it is called in its own event loop, for callers everywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

import seic
from seic.redis import RedisStore
from seic.testing import MockProvider
from tests._support.loops import Loop
from tests._support.mocks import gateway_mock
from tests._support.redis_server import RedisServer

KEY = "k" * 32
ENTRY = "a1" * 32


def token(name: str = "a") -> seic.Token:
    """Return a token of an hour."""
    return seic.Token(access_token=name, expires_in=3600.0, obtained_at=time.time())


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Return an event loop in a thread, as that of a server."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True)
def _is_empty(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.flushall()


class _Counting(redis.asyncio.Redis):
    """A client that keeps the loops of its commands.

    Attributes:
        loops: The loop of each command.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.loops: list[object] = []

    async def execute_command(self, *arguments: Any, **settings: Any) -> Any:
        """Send a command."""
        self.loops.append(asyncio.get_running_loop())
        return await super().execute_command(*arguments, **settings)  # type: ignore[no-untyped-call]


def auth(gateway: MockProvider, store: RedisStore) -> seic.OAuth2Auth:
    """Return an auth whose tokens are in a store."""
    return seic.OAuth2Auth(gateway.config(store=store), transport=gateway)


async def test_an_async_caller_uses_it_in_its_own_loop(redis_server: RedisServer, gateway: MockProvider) -> None:
    """With its connections: the server sees no others."""
    async with _Counting(port=redis_server.port, single_connection_client=True) as client:
        before = (await client.info("stats"))["total_connections_received"]
        for _ in range(2):
            login = auth(gateway, RedisStore(client=client, key=KEY))
            await login.token()
            await login.aclose()

        assert (await client.info("stats"))["total_connections_received"] == before
        assert set(client.loops) == {asyncio.get_running_loop()}
        assert len(client.loops) > 5
    assert len(gateway.forms) == 1


def test_a_store_that_is_created_outside_of_a_loop_uses_the_first(
    redis_server: RedisServer, gateway: MockProvider, loop: Loop
) -> None:
    """As one of a module; callers in threads use it through that loop, which their own would break."""
    client = _Counting(port=redis_server.port)
    store = RedisStore(client=client, key=KEY)
    first = auth(gateway, store)
    loop.call(first.token)
    loop.call(first.aclose)
    auth(gateway, store).token_sync()
    asyncio.run(auth(gateway, store).token())
    store.save(ENTRY, token())

    assert store.load(ENTRY) is not None
    assert len(gateway.forms) == 1
    assert set(client.loops) == {loop.loop}
    loop.call(client.aclose)


def test_without_its_loop_it_counts_as_down(redis_server: RedisServer, gateway: MockProvider) -> None:
    """A blocking caller gets a token nevertheless, and the event says what to do."""
    events: list[object] = []
    client = _Counting(port=redis_server.port)
    login = seic.OAuth2Auth(
        gateway.config(store=RedisStore(client=client, key=KEY)), transport=gateway, on_event=events.append
    )
    login.token_sync()

    (degraded,) = [event for event in events if isinstance(event, seic.events.StoreDegraded)]
    assert "event loop of its async client does not run; pass a blocking client" in degraded.problem
    assert client.loops == []


def test_a_closed_loop_gives_way_to_the_next(redis_server: RedisServer) -> None:
    """A script may call `asyncio.run` twice."""
    client = redis.asyncio.Redis(port=redis_server.port)
    store = RedisStore(client=client, key=KEY)

    async def get_token(gateway: MockProvider) -> None:
        login = auth(gateway, store)
        await login.token()
        await login.aclose()
        await client.aclose()

    first, second = gateway_mock(), gateway_mock()
    asyncio.run(get_token(first))
    asyncio.run(get_token(second))

    assert (len(first.forms), len(second.forms)) == (1, 0)


async def test_a_call_in_the_loop_itself_is_refused() -> None:
    """It would wait for itself."""
    async with fakeredis.FakeAsyncRedis() as client:
        store = RedisStore(client=client, key=KEY)
        with pytest.raises(seic.ConfigurationError, match=r"asyncio\.to_thread"):
            store.load(ENTRY)

        await asyncio.to_thread(store.save, ENTRY, token())
        assert await asyncio.to_thread(store.load, ENTRY) is not None


async def test_a_hung_server_is_waited_for_a_second(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the client has no limit; its other calls work afterwards."""
    monkeypatch.setattr("seic._stores.event_loop_client._TIMEOUT", 0.1)
    async with redis.asyncio.Redis(port=redis_server.port, socket_timeout=None) as client:
        store = RedisStore(client=client, key=KEY)
        redis_server.freeze()
        try:
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(store.load, ENTRY)
        finally:
            redis_server.thaw()
        assert await client.ping()
        await asyncio.to_thread(store.save, ENTRY, token())
        assert await asyncio.to_thread(store.load, ENTRY) is not None
