"""`RedisStore`: encrypted entries in Redis or Valkey, shared by processes of any number of machines.

An entry is a hash with the encrypted token and the number with which it was saved; a claim is a key with a time to
live. Scripts compare and set both, so that no process overwrites a newer token.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import inspect
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from seic._errors import ConfigurationError
from seic._model.secret import Unpicklable, strip_frames_on_init
from seic._model.token import Token
from seic._stores.event_loop_client import EventLoopClient
from seic._stores.store_claims import StoreClaims, claim_all, newest
from seic._stores.token_cipher import MAX_ENTRY, StoreKey, TokenCipher
from seic._tokens.store import InvalidEntryError

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster
    from redis.cluster import RedisCluster

    #: An application's own client.
    RedisClient: TypeAlias = Redis | RedisCluster | AsyncRedis | AsyncRedisCluster

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
if not (saved and saved >= 0 and saved < 2 ^ 53) then saved = 0 end
local time = redis.call('TIME')
local next = math.max(saved + 1, time[1] * 1000000 + time[2])
"""
# Its value ends with a random text of the call, so that a repetition after a lost reply gets the same claim. A key
# without an end, or with one that no claim has, was written by something else.
_CLAIM = (
    _NEXT
    + """
local left = redis.call('PTTL', KEYS[2])
local held = redis.call('TYPE', KEYS[2]).ok == 'string' and redis.call('GET', KEYS[2]) or ''
if left >= 0 and left <= 3600000 and string.match(held, ' (.*)') ~= ARGV[2] then return false end
local number = string.format('%.0f', next)
redis.call('SET', KEYS[2], number .. ' ' .. ARGV[2], 'PX', ARGV[1])
return number
"""
)
_RELEASE = """
local kind = redis.call('TYPE', KEYS[1]).ok
return kind == 'string' and string.match(redis.call('GET', KEYS[1]), '^%d+') == ARGV[1] and redis.call('DEL', KEYS[1])
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


@strip_frames_on_init
class RedisStore(Unpicklable):
    """Tokens in Redis or Valkey, encrypted, shared by any number of processes; needs the extra `redis`.

    Entries are deleted at `Token.ends_at`. The client's pool works after a fork.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password, database and options as in redis-py.
        client: The application's own client in place of a URL: a `Redis`, a Sentinel's master, a `RedisCluster`, or one
            of these from `redis.asyncio`. An async client is called in its own event loop, for callers in other threads
            too: that in which the store was created, or, if none ran, is used first. While that loop does not run,
            the store counts as one that is down.
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
        #: The random texts of claims whose replies were lost, by process and entry.
        self._lost: dict[tuple[int, str], str] = {}
        # Of the URL a digest: it may have a password.
        self._place: object = client if url is None else hashlib.sha256(url.encode(errors="surrogatepass")).digest()
        self._redis: Any = _client_of(url) if url is not None else client
        if client is not None and inspect.iscoroutinefunction(client.execute_command):
            self._redis = EventLoopClient(client)

    @property
    def keeps_keys_secret(self) -> bool:
        """Whether the names of entries are keyed hashes, so that keys may include secrets."""
        return self._cipher.is_encrypted

    def __repr__(self) -> str:
        # Not the URL, nor the client: they show a password.
        return f"RedisStore(prefix={self._prefix!r}, {'encrypted' if self._cipher.is_encrypted else 'UNENCRYPTED'})"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same place and key, and so the same tokens."""
        if not isinstance(other, RedisStore):
            return NotImplemented
        return (self._place, self._prefix, self._cipher) == (other._place, other._prefix, other._cipher)

    def __hash__(self) -> int:
        return hash((self._prefix, self._cipher))

    def load(self, key: str) -> Token | None:
        """Return the token with this key, or None.

        Raises:
            ValueError: The entry cannot be decrypted.
            redis.RedisError: Redis failed.
        """
        found = [(name, self._read(name)) for name in self._cipher.names(key)]
        return newest(self._cipher.decrypt(name, _decode(text)) for name, text in found if text is not None)

    def save(self, key: str, token: Token) -> None:
        """Save the token with this key, unless another process claimed the key later, and saved a newer one.

        Raises:
            redis.RedisError: Redis failed.
        """
        name = self._cipher.names(key)[0]
        number = self._claims.number(name)
        self._claims.saving(name)
        text = base64.b64encode(self._cipher.encrypt(name, token)).decode()
        ends_at = time.time() + _YEAR if token.ends_at is None else token.ends_at.timestamp()
        self._run(_SAVE, [self._entry(name)], ["" if number is None else number, text, max(1, round(ends_at * 1000))])
        self._claims.saved(name)

    def delete(self, key: str) -> None:
        """Delete the token with this key; a request for a token that began before cannot restore it."""
        for name in self._cipher.names(key):
            self._run(_DELETE, [self._entry(name)], [_HOUR])

    def forget(self, *, client_id: str) -> None:
        """Delete all tokens of a client id, as after its secret was disclosed; this scans all keys in Redis."""
        for prefix in self._cipher.prefixes(client_id):
            for found in self._redis.scan_iter(match=f"{_escape(self._prefix)}:{{{prefix}*", count=1000):
                name = found.decode() if isinstance(found, bytes) else found
                if name.endswith("}"):
                    self._run(_DELETE, [name], [_HOUR])

    def claim(self, key: str, seconds: float) -> bool:
        """Claim the refresh of a token for so many seconds; return False if another process has claimed it."""
        return claim_all(self._cipher.names(key), lambda name: self._claim(name, seconds), self._release)

    def release(self, key: str) -> None:
        """Release a claim, if it is still the last one."""
        for name in self._cipher.names(key):
            self._release(name)

    def _claim(self, name: str, seconds: float) -> bool:
        entry, process = self._entry(name), (os.getpid(), name)
        text = self._lost.pop(process, None) or secrets.token_hex(8)
        try:
            number = self._run(_CLAIM, [entry, f"{entry}:claim"], [max(1, round(seconds * 1000)), text])
        except BaseException:
            # Redis may have got it nevertheless; then the next call gets this claim.
            self._lost[process] = text
            raise
        if not number:
            return False
        self._claims.take(name, int(number))
        return True

    def _release(self, name: str) -> None:
        number = self._claims.release(name)
        if number is not None:
            self._run(_RELEASE, [f"{self._entry(name)}:claim"], [number])

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
        # Redis keeps it compiled, and all clients of clusters have this command.
        return self._redis.eval(script, len(keys), *keys, *arguments)


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


def _library() -> Any:
    try:
        import redis
    except ModuleNotFoundError:
        raise ImportError('seic.redis needs redis: run pip install "seic[redis]"') from None
    return redis


def _escape(prefix: str) -> str:
    """Return the pattern that matches a prefix itself."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", prefix)


def _decode(text: str | bytes) -> bytes:
    if len(text) <= 2 * MAX_ENTRY:
        with contextlib.suppress(ValueError):  # binascii.Error is one
            return base64.b64decode(text, validate=True)
    raise InvalidEntryError("it is not an entry of seic")
