"""`open_store`: the store that a setting names by a word or a URL."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import url2pathname

from seic._errors import ConfigurationError
from seic._stores.file_store import FileStore
from seic._stores.redis_store import RedisStore
from seic._stores.token_cipher import StoreKey
from seic._tokens.store import MemoryStore, TokenStore

_MEMORY = "memory"
#: One for the process: so configurations of the same variables share tokens.
_in_memory = MemoryStore()
_REDIS = ("redis", "rediss", "unix")
_KNOWN = "memory, file:///path, redis://host:6379/0 or rediss://host:6379/0"


def open_store(place: str, key: StoreKey | None) -> TokenStore:
    """Return a store.

    Args:
        place: `memory`, `file:///path`, or the URL of a Redis.
        key: The key of a shared store.

    Raises:
        ConfigurationError: The place is unknown, or the key is missing or invalid, as its `field` tells.
    """
    if place == _MEMORY:
        return _in_memory
    # The value is not quoted: its URL may have a password.
    unknown = ConfigurationError(f"store: unknown value; set {_KNOWN}", field="store")
    try:
        url = urlsplit(place)
    except ValueError:
        raise unknown from None
    given: StoreKey = [] if key is None else key
    if url.scheme in _REDIS:
        return RedisStore(place, key=given)
    if url.scheme != "file" or url.netloc not in {"", "localhost"} or not url.path:
        raise unknown
    return FileStore(url2pathname(url.path), key=given)
