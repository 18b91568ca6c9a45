"""`RedisStore` with a Valkey: the suite for stores, by a URL and with Valkey's own clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import valkey
import valkey.asyncio

from seic.redis import RedisStore
from seic.testing import TokenStoreTests
from tests._support.loops import Loop
from tests._support.redis_server import RedisServer, valkey_program

KEY = "k" * 32


@pytest.fixture(scope="module")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a running valkey-server."""
    with RedisServer(tmp_path_factory.mktemp("valkey"), program=valkey_program()) as server:
        yield server


def test_it_is_a_valkey(valkey_server: RedisServer) -> None:
    """By its own word."""
    with valkey_server.client() as client:
        assert client.info("server")["server_name"] == "valkey"


class TestValkey(TokenStoreTests):
    """Each client sends the same commands."""

    @pytest.fixture(autouse=True, params=["url", "client", "async client"])
    def _set_up(self, valkey_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[None]:
        self._server, self._kind, self._loop, self._made = valkey_server, request.param, Loop(), list[Any]()
        yield
        for client in self._made:
            if self._kind == "async client":
                self._loop.call(client.aclose)
            else:
                client.close()
        self._loop.close()

    def store(self) -> RedisStore:
        """Return a store with a client of its own."""
        if self._kind == "async client":
            return self._loop.call(self._async_store)  # type: ignore[no-any-return]
        client: Any = valkey.Valkey(port=self._server.port)
        store = RedisStore(self._server.url, key=KEY) if self._kind == "url" else RedisStore(client=client, key=KEY)
        self._made += [client, store._redis]
        return store

    async def _async_store(self) -> RedisStore:
        client: Any = valkey.asyncio.Valkey(port=self._server.port)
        self._made.append(client)
        return RedisStore(client=client, key=KEY)
