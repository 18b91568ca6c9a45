"""`RedisStore`: encrypted entries in Redis or Valkey, shared by processes of any number of machines.

An entry is a hash with the encrypted token and the number with which it was saved; a claim is a key with a time to
live. Scripts compare and set both, so that no process overwrites a newer token.
"""

from __future__ import annotations

import base64
import contextlib
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from seic._errors import ConfigurationError
from seic._model.secret import Unpicklable
from seic._model.token import Token
from seic._stores.store_claims import StoreClaims
from seic._stores.token_cipher import MAX_ENTRY, StoreKey, TokenCipher
from seic._tokens.store import InvalidEntryError

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.cluster import RedisCluster

    #: An application's own client.
    RedisClient: TypeAlias = Redis | RedisCluster | AsyncRedis

#: The longest that a client which this store creates waits for Redis, in seconds.
_TIMEOUT = 0.5
#: The time that an entry without a token keeps its number, in milliseconds.
_HOUR = 3_600_000
#: The time that a token without an end is kept, in seconds.
_YEAR = 365 * 86400.0

# A claim's number grows with Redis's clock, so that it grows although expired entries are gone. Lua's numbers are exact
# to 2^53, which microseconds reach in the year 2255.
_NEXT = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local saved = tonumber(redis.call('HGET', KEYS[1], 'saved') or 0)
local time = redis.call('TIME')
local next = math.max(saved + 1, time[1] * 1000000 + time[2])
"""
_CLAIM = (
    _NEXT
    + """
local number = string.format('%.0f', next)
return redis.call('SET', KEYS[2], number, 'NX', 'PX', ARGV[1]) and number
"""
)
_RELEASE = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])
"""
_SAVE = (
    _NEXT
    + """
if ARGV[1] ~= '' then
  next = tonumber(ARGV[1])
  if next < saved then return 0 end
end
redis.call('HSET', KEYS[1], 'saved', string.format('%.0f', next), 'token', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return 1
"""
)
# The number of a deleted entry is kept, so that a request that began before cannot restore the token.
_DELETE = (
    _NEXT
    + """
if redis.call('HDEL', KEYS[1], 'token') == 1 then
  redis.call('HSET', KEYS[1], 'saved', string.format('%.0f', next))
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
"""
)


class RedisStore(Unpicklable):
    """Tokens in Redis or Valkey, encrypted, shared by any number of processes; needs the extra `redis`.

    Entries are deleted at `Token.ends_at`. The client's pool works after a fork.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password, database and options as in redis-py.
        client: The application's own client in place of a URL: a `Redis`, a Sentinel's master, or a `RedisCluster`. Of
            a `redis.asyncio.Redis` the connection's settings are used, with connections of the store's own.
        key: The key that encrypts tokens; see `FileStore`.
        prefix: The first part of all keys in Redis.

    Raises:
        ConfigurationError: The key is missing or too short; the URL is invalid; there is no URL and no client, or both.
        ImportError: redis-py is not installed.
    """

    blocking = True

    def __init__(
        self, url: str | None = None, *, key: StoreKey, client: RedisClient | None = None, prefix: str = "seic"
    ) -> None:
        if (url is None) == (client is None):
            raise ConfigurationError("store: set either a Redis URL or client=", field="store")
        self._cipher = TokenCipher(key)
        self._prefix = prefix
        self._claims = StoreClaims()
        self._redis: Any = _client_of(url) if url is not None else _blocking(client)
        scripts = {"claim": _CLAIM, "release": _RELEASE, "save": _SAVE, "delete": _DELETE}
        self._scripts: dict[str, Any] = {name: self._redis.register_script(text) for name, text in scripts.items()}

    @property
    def keeps_keys_secret(self) -> bool:
        """Whether the names of entries are keyed hashes, so that keys may include secrets."""
        return self._cipher.is_encrypted

    def __repr__(self) -> str:
        # Not the URL, nor the client: they show a password.
        return f"RedisStore(prefix={self._prefix!r}, {'encrypted' if self._cipher.is_encrypted else 'UNENCRYPTED'})"

    def load(self, key: str) -> Token | None:
        """Return the token with this key, or None.

        Raises:
            ValueError: The entry cannot be decrypted.
            redis.RedisError: Redis failed.
        """
        for name in self._cipher.names(key):
            text = self._read(name)
            if text is not None:
                return self._cipher.decrypt(name, _decode(text))
        return None

    def save(self, key: str, token: Token) -> None:
        """Save the token with this key, unless another process claimed the key later, and saved a newer one.

        Raises:
            redis.RedisError: Redis failed.
        """
        name, number = self._cipher.names(key)[0], self._claims.number(key)
        self._claims.saving(key)
        text = base64.b64encode(self._cipher.encrypt(name, token)).decode()
        ends_at = time.time() + _YEAR if token.ends_at is None else token.ends_at.timestamp()
        self._run("save", [self._entry(name)], ["" if number is None else number, text, max(1, round(ends_at * 1000))])
        self._claims.saved(key)

    def delete(self, key: str) -> None:
        """Delete the token with this key; a request for a token that began before cannot restore it."""
        for name in self._cipher.names(key):
            self._run("delete", [self._entry(name)], [_HOUR])

    def forget(self, *, client_id: str) -> None:
        """Delete all tokens of a client id, as after its secret was disclosed; this scans all keys in Redis."""
        for prefix in self._cipher.prefixes(client_id):
            for found in self._redis.scan_iter(match=f"{self._prefix}:{{{prefix}*", count=1000):
                name = found.decode() if isinstance(found, bytes) else found
                if name.endswith("}"):
                    self._run("delete", [name], [_HOUR])

    def claim(self, key: str, seconds: float) -> bool:
        """Claim the refresh of a token for so many seconds; return False if another process has claimed it."""
        entry = self._entry(self._cipher.names(key)[0])
        number = self._run("claim", [entry, f"{entry}:claim"], [max(1, round(seconds * 1000))])
        if not number:
            return False
        self._claims.take(key, int(number))
        return True

    def release(self, key: str) -> None:
        """Release a claim, if it is still the last one."""
        number = self._claims.release(key)
        if number is not None:
            self._run("release", [f"{self._entry(self._cipher.names(key)[0])}:claim"], [number])

    def _read(self, name: str) -> str | bytes | None:
        try:
            text: str | bytes | None = self._redis.hget(self._entry(name), "token")
        except Exception as error:
            # The library's class would have to be imported; the next save replaces the key.
            if "WRONGTYPE" in str(error):
                raise InvalidEntryError("it is not an entry of seic") from None
            raise
        return text

    def _entry(self, name: str) -> str:
        # In braces: both keys of an entry are in one slot of a cluster.
        return f"{self._prefix}:{{{name}}}"

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        return self._scripts[script](keys=keys, args=arguments)


def _client_of(url: str) -> Any:
    redis = _library()
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # One repetition: the connection in the pool may be from before a restart of Redis.
    retry = Retry(NoBackoff(), 1)
    try:
        return redis.Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=retry)
    except ValueError:
        # Its message quotes the URL, which may have a password.
        raise ConfigurationError(
            "store: the URL is not one of Redis; it must begin with redis://, rediss:// or unix://", field="store"
        ) from None


def _blocking(client: Any) -> Any:
    """Return a client whose methods block: stores are called in threads, where an async client has no event loop."""
    redis = _library()
    if not isinstance(client, redis.asyncio.Redis):
        return client
    pool = client.connection_pool
    kind = {
        redis.asyncio.Connection: redis.Connection,
        redis.asyncio.SSLConnection: redis.SSLConnection,
        redis.asyncio.UnixDomainSocketConnection: redis.UnixDomainSocketConnection,
    }.get(pool.connection_class)
    if kind is None or type(pool) not in {redis.asyncio.ConnectionPool, redis.asyncio.BlockingConnectionPool}:
        raise ConfigurationError(
            "store: of the async clients only a redis.asyncio.Redis of one server is supported; pass the blocking "
            "client of the same cluster or Sentinel",
            field="store",
        )
    settings = {name: value for name, value in pool.connection_kwargs.items() if name not in _ASYNC_ONLY}
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **settings))


#: Settings whose values are objects of the async library.
_ASYNC_ONLY = {"retry", "parser_class", "redis_connect_func", "event_dispatcher", "maint_notifications_config"}


def _library() -> Any:
    try:
        import redis.asyncio
    except ModuleNotFoundError:
        raise ImportError('seic.redis needs redis: run pip install "seic[redis]"') from None
    return redis


def _decode(text: str | bytes) -> bytes:
    if len(text) <= 2 * MAX_ENTRY:
        with contextlib.suppress(ValueError):  # binascii.Error is one
            return base64.b64decode(text, validate=True)
    raise InvalidEntryError("it is not an entry of seic")
