"""`RedisStore` with a cluster of three nodes, and with a Sentinel and its failover."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel

import seic
from seic.redis import RedisStore
from tests._support.redis_server import RedisServer, free_port

KEY = "k" * 32
_PATIENCE = 30.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a state of servers, which agree in their own time."""
    ends = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < ends, "the servers did not agree"
        time.sleep(0.05)


def _has(node: Any, state: bytes) -> bool:
    return state in node.execute_command("CLUSTER", "INFO")


def keys(client_id: str, count: int) -> list[str]:
    """Return keys of different users of a client id."""
    settings: dict[str, Any] = {"provider": seic.OAUTH2, "hosts": seic.Hosts(api="https://api.example")}
    configs = [
        seic.Config(
            client_id=client_id,
            client_secret="s",
            grant=seic.RefreshToken(refresh_token="r", subject=f"user {number}"),
            **settings,
        )
        for number in range(count)
    ]
    return [config.store_key(None) for config in configs]


def token(name: str = "a") -> seic.Token:
    """Return a token of an hour."""
    return seic.Token(access_token=name, expires_in=3600.0, obtained_at=time.time())


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Return the three masters of a cluster."""
    with contextlib.ExitStack() as stack:
        buses = [str(free_port()) for _ in range(3)]
        servers = [
            stack.enter_context(
                RedisServer(tmp_path_factory.mktemp("node"), "--cluster-enabled", "yes", "--cluster-port", bus)
            )
            for bus in buses
        ]
        node: Any = [stack.enter_context(server.client()) for server in servers]
        for one, first, last in zip(node, (0, 5461, 10923), (5460, 10922, 16383), strict=True):
            one.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for server, bus in zip(servers[1:], buses[1:], strict=True):
            node[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for state in (b"cluster_state:ok", b"cluster_known_nodes:3"):
            for one in node:
                wait_until(functools.partial(_has, one, state))
        yield servers


def test_a_client_is_forgotten_in_all_nodes(nodes: list[RedisServer]) -> None:
    """Entries of one client are in several of them, and those of another stay."""
    with RedisCluster(host="127.0.0.1", port=nodes[0].port) as cluster:
        store = RedisStore(client=cluster, key=KEY)
        own, others = keys("one", 24), keys("other", 24)
        for key in (*own, *others):
            assert store.claim(key, 60)
            store.save(key, token())
            store.release(key)
        for node in nodes:
            with node.client() as client:
                assert len(client.keys("seic:*")) > 3
        store.forget(client_id="one")

        assert [store.load(key) for key in own] == [None] * 24
        assert all(store.load(key) for key in others)


async def test_the_async_client_of_a_cluster(nodes: list[RedisServer]) -> None:
    """The same with each method."""
    async with redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[0].port) as cluster:
        store = RedisStore(client=cluster, key=KEY)

        def use() -> None:
            for key in keys("async", 8):
                assert store.claim(key, 60)
                assert not store.claim(key, 60)
                store.save(key, token())
                store.release(key)
                assert store.load(key) is not None
            store.forget(client_id="async")
            assert [store.load(key) for key in keys("async", 8)] == [None] * 8

        await asyncio.to_thread(use)


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[int, RedisServer]]:
    """Return the port of a Sentinel, and the master that it watches; there is a replica too."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(RedisServer(tmp_path / "master"))
        replica = stack.enter_context(
            RedisServer(
                tmp_path / "replica", "--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0"
            )
        )
        lines = [
            f"sentinel monitor tokens 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds tokens 500",
            "sentinel failover-timeout tokens 5000",
        ]
        (tmp_path / "sentinel.conf").write_text("\n".join(lines))
        watching = stack.enter_context(RedisServer.sentinel(tmp_path / "sentinel.conf"))
        client: Any = stack.enter_context(watching.client())
        wait_until(lambda: len(client.execute_command("SENTINEL", "REPLICAS", "tokens")) == 1)
        copy = stack.enter_context(replica.client())
        wait_until(lambda: copy.info("replication")["master_link_status"] == "up")
        yield watching.port, master


def test_the_tokens_survive_a_failover(sentinel: tuple[int, RedisServer]) -> None:
    """Sentinel makes the replica the master, and the store's client finds it."""
    port, master = sentinel
    (key,) = keys("one", 1)
    found: Any = Sentinel([("127.0.0.1", port)])  # type: ignore[no-untyped-call]
    with found.sentinels[0], found.master_for("tokens", socket_timeout=1) as client:
        store = RedisStore(client=client, key=KEY)
        store.save(key, token())
        assert client.execute_command("WAIT", 1, 5000) == 1
        master.stop()

        def works() -> bool:
            with contextlib.suppress(redis.RedisError):
                store.save(key, token("after"))
                return True
            return False

        assert not works()
        wait_until(works)
        loaded = store.load(key)
        assert loaded is not None
        assert loaded.access_token == "after"


async def test_the_async_client_of_a_sentinel(sentinel: tuple[int, RedisServer]) -> None:
    """It is used in its own event loop."""
    port, _ = sentinel
    (key,) = keys("one", 1)
    found: Any = redis.asyncio.sentinel.Sentinel([("127.0.0.1", port)])  # type: ignore[no-untyped-call]
    async with found.master_for("tokens") as client:
        store = RedisStore(client=client, key=KEY)
        await asyncio.to_thread(store.save, key, token())

        assert await asyncio.to_thread(store.load, key) is not None
    await found.sentinels[0].aclose()
