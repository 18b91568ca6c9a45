"""The suite for stores of `seic.testing`, with seic's own stores; and stores that it has to refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

import seic
from seic.redis import RedisStore
from seic.testing import TokenStoreTests
from tests._support.loops import Loop
from tests._support.redis_server import RedisServer

KEY = "k" * 32
ROTATING = ["n" * 32, KEY]


class TestFileStore(TokenStoreTests):
    """Processes of one machine."""

    @pytest.fixture(autouse=True, params=[KEY, "UNENCRYPTED", ROTATING], ids=["key", "UNENCRYPTED", "keys"])
    def _set_up(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        self._path, self._key = tmp_path / "tokens", request.param

    def store(self) -> seic.FileStore:
        """Return a store of the folder."""
        return seic.FileStore(self._path, key=self._key)


class TestRedisStore(TokenStoreTests):
    """Processes of several machines."""

    @pytest.fixture(autouse=True, params=["url", "keys", "client", "decoding client", "async client"])
    def _set_up(self, redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[None]:
        self._url, self._kind, self._made = redis_server.url, request.param, []  # type: ignore[var-annotated]
        self._loop = Loop()
        yield
        for client in self._made:
            if isinstance(client, redis.asyncio.Redis):
                self._loop.call(client.aclose)
            else:
                client.close()
        self._loop.close()

    def store(self) -> RedisStore:
        """Return a store with a client of its own."""
        if self._kind in {"url", "keys"}:
            store = RedisStore(self._url, key=KEY if self._kind == "url" else ROTATING)
        elif self._kind == "async client":
            return self._loop.call(self._async_store)  # type: ignore[no-any-return]
        else:
            client = redis.Redis.from_url(self._url, decode_responses=self._kind == "decoding client")
            store = RedisStore(client=client, key=KEY)
        self._made.append(store._redis)
        return store

    async def _async_store(self) -> RedisStore:
        self._made.append(redis.asyncio.Redis.from_url(self._url))
        return RedisStore(client=self._made[-1], key=KEY)


class _Unnumbered(seic.MemoryStore):
    """A store whose claims are correct, and which accepts every save."""

    claims: set[str]

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key for ever."""
        return key not in self.claims and not self.claims.add(key)  # type: ignore[func-returns-value]

    def release(self, key: str) -> None:
        """Release a key, even of another process."""
        self.claims.discard(key)


@pytest.mark.parametrize(
    "test",
    [
        "test_another_process_releases_no_claim",
        "test_an_outdated_process_overwrites_no_newer_token",
        "test_an_outdated_process_restores_no_deleted_token",
        "test_a_claim_ends_with_its_time",
    ],
)
def test_the_suite_fails_for_a_store_that_breaks_it(test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with claims that never end, and without numbers."""
    monkeypatch.setattr("seic.testing._token_store_tests._PATIENCE", 0.1)
    shared, claims = seic.MemoryStore(), set[str]()

    class Suite(TokenStoreTests):
        def store(self) -> _Unnumbered:
            store = _Unnumbered()
            store._tokens, store.claims = shared._tokens, claims
            return store

    with pytest.raises(AssertionError):
        getattr(Suite(), test)()


class _Forgetful(_Unnumbered):
    """A store whose claims end with the next call of another process."""

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key until another process claims any key."""
        self.claims.clear()
        return super().claim(key, seconds)


def test_the_suite_fails_for_a_store_that_ends_claims_early() -> None:
    """Two processes would send the same refresh token."""
    claims = set[str]()

    class Suite(TokenStoreTests):
        def store(self) -> _Forgetful:
            store = _Forgetful()
            store.claims = claims
            return store

    with pytest.raises(AssertionError):
        Suite().test_a_claim_does_not_end_before_its_time()
