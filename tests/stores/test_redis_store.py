"""`RedisStore`: what others wrote, lost replies, and servers with TLS, users of their own, and a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError
from redis.retry import Retry

import seic
from seic.redis import RedisStore
from tests._support import pki
from tests._support.redis_server import RedisServer, free_port

KEY = "k" * 32
ENTRY = "a1" * 32
#: The commands that docs/fleet.md names.
_COMMANDS = "eval type del hget hset hdel get set time pttl pexpire pexpireat scan"


def token(name: str = "a") -> seic.Token:
    """Return a token of an hour."""
    return seic.Token(access_token=name, expires_in=3600.0, obtained_at=time.time())


def check(store: RedisStore, client_id: str = "one") -> None:
    """Use each method of a store."""
    key = seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api="https://api.example"),
        client_id=client_id,
        client_secret="s",
        grant=seic.ClientCredentials(),
    ).store_key(None)
    assert store.claim(key, 60)
    assert not store.claim(key, 60)
    store.save(key, token())
    store.release(key)
    assert store.claim(key, 60)
    store.release(key)
    loaded = store.load(key)
    assert loaded is not None
    assert loaded.access_token == "a"
    store.forget(client_id=client_id)
    assert store.load(key) is None
    store.save(key, token())
    store.delete(key)
    assert store.load(key) is None


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Return a client of an empty server."""
    with redis_server.client() as client:
        client.flushall()
        yield client


@pytest.mark.parametrize("number", ["garbage", "inf", "nan", "1e300", "-5"])
def test_a_number_that_is_none_is_replaced(redis_server: RedisServer, client: redis.Redis, number: str) -> None:
    """Else each call would fail until the entry ends."""
    store = RedisStore(redis_server.url, key=KEY)
    store.save(ENTRY, token())
    client.hset(client.keys()[0], "saved", number)

    assert store.claim(ENTRY, 60)
    store.save(ENTRY, token("b"))
    loaded = store.load(ENTRY)
    assert loaded is not None
    assert loaded.access_token == "b"


@pytest.mark.parametrize("kind", ["text", "list", "text for years"])
def test_a_claim_that_does_not_end_counts_for_nothing(
    redis_server: RedisServer, client: redis.Redis, kind: str
) -> None:
    """Else no process could request a token again, and all calls would fail."""
    store = RedisStore(redis_server.url, key=KEY)
    assert store.claim(ENTRY, 60)
    (name,) = client.keys("*:claim")
    client.delete(name)
    if kind == "list":
        client.rpush(name, "garbage")
    else:
        client.set(name, "garbage", ex=None if kind == "text" else 10**8)

    assert RedisStore(redis_server.url, key=KEY).claim(ENTRY, 60)


class _Lossy(redis.Connection):
    """A connection that loses replies.

    Attributes:
        losses: The number of replies to lose.
    """

    losses = 0

    def read_response(self, *args: Any, **settings: Any) -> Any:
        """Read a reply, and report that it did not come in time."""
        reply = super().read_response(*args, **settings)
        if _Lossy.losses:
            _Lossy.losses -= 1
            raise redis.TimeoutError("lost")
        return reply


def _lossy_store(server: RedisServer, *, repetitions: int) -> RedisStore:
    retry = Retry(NoBackoff(), repetitions)
    pool: Any = redis.ConnectionPool(connection_class=_Lossy, host="127.0.0.1", port=server.port, retry=retry)
    store = RedisStore(client=redis.Redis(connection_pool=pool, retry=retry), key=KEY)
    assert store.claim("b2" * 32, 60)  # the scripts are loaded
    return store


def test_a_claim_whose_reply_was_lost_is_repeated(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library repeats it, and must not be refused by its own first attempt until that ends."""
    store = _lossy_store(redis_server, repetitions=1)
    monkeypatch.setattr(_Lossy, "losses", 1)

    assert store.claim(ENTRY, 60)
    assert not store.claim(ENTRY, 60)
    assert not RedisStore(redis_server.url, key=KEY).claim(ENTRY, 60)
    store.release(ENTRY)
    assert RedisStore(redis_server.url, key=KEY).claim(ENTRY, 60)


def test_a_claim_that_failed_does_not_delay_its_process(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was frozen, and got the command although nobody waited for it."""
    store = _lossy_store(redis_server, repetitions=0)
    monkeypatch.setattr(_Lossy, "losses", 1)
    with pytest.raises(redis.TimeoutError):
        store.claim(ENTRY, 60)

    assert not RedisStore(redis_server.url, key=KEY).claim(ENTRY, 60)
    assert store.claim(ENTRY, 60)
    assert not store.claim(ENTRY, 60)


@pytest.mark.parametrize("prefix", ["app[dev]", "a*", "a?b", "a\\b", "a{1}", "a:b", "{"])
def test_a_client_is_forgotten_under_any_prefix(redis_server: RedisServer, client: redis.Redis, prefix: str) -> None:
    """A character of patterns is one of the prefix, which matches no other."""
    others = [RedisStore(redis_server.url, key=KEY, prefix=other) for other in ("appd", "ab", "axb")]
    for other in others:
        other.save(ENTRY, token())
    check(RedisStore(redis_server.url, key=KEY, prefix=prefix))

    assert all(other.load(ENTRY) for other in others)


def test_a_user_needs_a_few_commands(redis_server: RedisServer, client: redis.Redis) -> None:
    """And the store's keys only."""
    allowed = [f"+{command}" for command in _COMMANDS.split()]
    untyped: Any = client
    untyped.execute_command("ACL", "SETUSER", "seic", "reset", "on", ">secret", "~seic:*", *allowed)

    check(RedisStore(f"redis://seic:secret@127.0.0.1:{redis_server.port}", key=KEY))
    with pytest.raises(NoPermissionError):
        RedisStore(f"redis://seic:secret@127.0.0.1:{redis_server.port}", key=KEY, prefix="app").save(ENTRY, token())


def test_a_cluster(tmp_path: Path) -> None:
    """Both keys of an entry are in one slot."""
    with RedisServer(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        node: Any
        with server.client() as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            ends = time.monotonic() + 10
            while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO"):
                assert time.monotonic() < ends
        with RedisCluster(host="127.0.0.1", port=server.port) as cluster:
            check(RedisStore(client=cluster, key=KEY))


def test_mutual_tls(tmp_path: Path) -> None:
    """By URL, and of a client; without the certificate nothing is stored."""
    root = pki.authority()
    (tmp_path / "ca.pem").write_bytes(root.pem)
    chain, key = pki.server(root, "127.0.0.1").write(tmp_path, "server")
    own, own_key = pki.mint("client", issuer=root).write(tmp_path, "client")
    port, ca = free_port(), str(tmp_path / "ca.pem")
    options = ["--tls-port", str(port), "--tls-cert-file", str(chain), "--tls-key-file", str(key)]
    with RedisServer(tmp_path / "redis", *options, "--tls-ca-cert-file", ca):
        tls: dict[str, Any] = {"ssl_ca_certs": ca, "ssl_certfile": str(own), "ssl_keyfile": str(own_key)}
        query = "&".join(f"{name}={value}" for name, value in tls.items())
        check(RedisStore(f"rediss://127.0.0.1:{port}?{query}", key=KEY))
        with redis.Redis(host="127.0.0.1", port=port, ssl=True, **tls) as client:
            check(RedisStore(client=client, key=KEY))
        for settings in (f"ssl_ca_certs={ca}", query.replace("ssl_ca_certs", "unknown_ca")):
            with pytest.raises((redis.RedisError, TypeError)):
                RedisStore(f"rediss://127.0.0.1:{port}?{settings}", key=KEY).save(ENTRY, token())
