"""The token store in Redis or Valkey, for processes on several machines; needs the extra `redis`."""

from __future__ import annotations

from seic._public import publish as _publish
from seic._stores.redis_store import RedisStore

__all__ = ["RedisStore"]

_publish(__name__, __all__, globals())
