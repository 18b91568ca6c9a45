"""`SharedState`: the last use of a token and the DPoP nonces, for other processes that share its store.

It is an entry of the store, next to that of the token. It is read when no token is usable, and written in the
background: together with the comparison of the token in use with the stored one, and when its client is closed. So a
fresh token costs no call of the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from seic._model.token import Token, is_number
from seic._oauth.dpop import DPoP, add_nonces, known_nonces
from seic._tokens.clock import Clock
from seic._tokens.refresh_policy import CachedToken
from seic._tokens.store_guard import StoreGuard

_NAME = "state"
#: The shortest interval at which a process writes, in seconds; a tenth of a short idle lifetime.
INTERVAL, _SHARE = 60.0, 0.1
#: The time for which an entry is kept if tokens have no idle lifetime, in seconds.
_KEPT = 3600.0


class SharedState:
    """Compares the token in use with the stored one, and keeps the entry of what else processes share about it.

    Without an idle lifetime and DPoP there is no such entry. The arguments are those of `CachingTokenSource`.
    """

    def __init__(
        self, *, guard: StoreGuard | None, clock: Clock, idle_lifetime: float | None, dpop: DPoP | None
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._idle_lifetime = idle_lifetime
        self._dpop = dpop
        self._is_needed = guard is not None and guard.has_claims and (idle_lifetime is not None or dpop is not None)
        self._interval = min(INTERVAL, INTERVAL if idle_lifetime is None else _SHARE * idle_lifetime)
        self._write_at = clock.monotonic() + self._interval
        #: The store's key of the entry.
        self._key: str | None = None
        self._read: Mapping[str, object] = {}
        self._nonces: dict[str, str] = {}

    async def confirms(self, key: str, token: CachedToken) -> bool:
        """Whether nothing but the comparison of a token with the stored one is due, and they are the same."""
        now, wall = self._clock.monotonic, self._clock.wall
        if token.is_only_idle(now(), wall()):
            # Another process may have used it.
            await self.read(key)
            self.apply(token)
        if self._guard is None or not token.is_check_due(now(), wall()):
            return False
        if not await self._guard.confirms(key, token.token):
            return False
        token.mark_checked(now())
        self.write(token)
        return True

    async def read(self, key: str) -> None:
        """Read the entry, and take the nonces of servers that this process has not heard of; a failure is ignored."""
        derive: Callable[[str], str] | None = getattr(key, "entry", None)
        if derive is None or self._guard is None or not self._is_needed:
            return
        self._key = derive(_NAME)
        if (entry := await self._guard.recall(self._key)) is not None:
            self._read = entry.extra
            if self._dpop is not None:
                add_nonces(self._dpop, entry.extra.get("nonces"))
                self._nonces = known_nonces(self._dpop)

    def apply(self, cached: CachedToken) -> None:
        """Note the last use of a token in another process, as it was read."""
        used_at = self._read.get("used_at")
        if isinstance(used_at, int | float) and is_number(used_at) and self._read.get("token") == _digest(cached):
            # The clock of the other machine may be ahead.
            age = max(0.0, self._clock.wall() - used_at)
            cached.mark_used(self._clock.monotonic() - age, self._clock.wall() - age)
            cached.shared_use = cached.last_used

    def write(self, cached: CachedToken, *, closing: bool = False) -> None:
        """Write the last use and the nonces if they have changed, once in an interval; nobody waits for it."""
        now, used_at = self._clock.monotonic(), cached.last_used
        if self._key is None or self._guard is None or (now < self._write_at and not closing):
            return
        nonces = {} if self._dpop is None else known_nonces(self._dpop)
        if used_at - cached.shared_use < self._interval and nonces == self._nonces:
            return
        cached.shared_use, self._nonces, self._write_at = used_at, nonces, now + self._interval
        wall = self._clock.wall()
        state = {"token": _digest(cached), "used_at": wall - (now - used_at), "nonces": nonces}
        fields = {"access_token": _NAME, "expires_in": self._idle_lifetime or _KEPT, "obtained_at": wall}
        self._guard.note_soon(self._key, Token.from_dict({**fields, "extra": state}))


def _digest(cached: CachedToken) -> str:
    return hashlib.sha256(cached.token.access_token.encode()).hexdigest()
