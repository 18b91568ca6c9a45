"""`SharedRateLimit`: the pause of an API as processes that share a store tell it to each other.

It is an entry of the store with the seconds of the pause. A process looks for it every five seconds while it sends
requests, in a thread that no request waits for, and takes each entry once.
"""

from __future__ import annotations

import secrets
import weakref
from typing import Any

from seic._concurrency import SharedFuture, SingleFlight, is_own_failure, start_thread
from seic._model.token import Token, is_number
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.store import TokenStore
from seic._tokens.store_guard import PATIENCE, start_call

#: The interval of the looks, and the pause after one that failed, in seconds.
LOOK, _PAUSE = 5.0, 30.0
_NAME = "pause"
#: A pause that another process knows of is not written again for less than this many seconds more.
_WORTHWHILE = 1.0


class SharedRateLimit:
    """Reads and writes the entry of one client id at one origin.

    Args:
        limit: The `RateLimit` of this process.
        store: The store.
        key: The store's key of the entry.
        clock: The clocks; the wall clocks of machines may differ by less than a pause.
    """

    def __init__(self, limit: Any, store: TokenStore, key: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._look_at = clock.monotonic()
        self._limit = weakref.ref(limit)
        self._store = store
        self._key = key
        self._clock = clock
        self.looks: SingleFlight[SharedFuture[Any]] = SingleFlight()
        self.saves: SingleFlight[SharedFuture[Any]] = SingleFlight()
        #: The id of the last entry that was taken or written, and the end of its pause.
        self._id = ""
        self._until = 0.0

    def look(self) -> None:
        """Look for a pause of another process if it is time; nobody waits for it."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK
        self.looks.join(lambda: start_thread(self._load, inherit_context=False))

    def publish(self, seconds: float, status: int) -> None:
        """Tell other processes of a pause, unless they know one that ends about as late; nobody waits for it."""
        now = self._clock.monotonic()
        if now + seconds < self._until + _WORTHWHILE:
            return
        self._until, self._id = now + seconds, secrets.token_hex(8)
        extra = {"id": self._id, "seconds": seconds, "status": status}
        fields = {"access_token": _NAME, "expires_in": seconds, "obtained_at": self._clock.wall(), "extra": extra}
        entry = Token.from_dict(fields)
        self.saves.join(lambda: start_call(self._save, entry))

    async def drain(self) -> None:
        """Wait for an entry that is being written, for a second at most."""
        if (save := self.saves.pending) is not None:
            await save.wait(PATIENCE)

    def drain_sync(self) -> None:
        """Wait for an entry that is being written, blocking; see `drain`."""
        if (save := self.saves.pending) is not None:
            save.wait_sync(PATIENCE)

    def _save(self, entry: Token) -> None:
        try:
            self._store.save(self._key, entry)
        except BaseException as error:
            # As without a store; its failures are reported where tokens are stored.
            if not is_own_failure(error):
                raise

    def _load(self) -> None:
        try:
            entry = self._store.load(self._key)
        except BaseException as error:
            if not is_own_failure(error):
                raise
            self._look_at = self._clock.monotonic() + _PAUSE
            return
        limit = self._limit()
        if limit is not None and isinstance(entry, Token):
            self._take(limit, entry)

    def _take(self, limit: Any, entry: Token) -> None:
        number, status = entry.extra.get("seconds"), entry.extra.get("status")
        name = entry.extra.get("id")
        if name == self._id or not isinstance(name, str) or not isinstance(status, int):
            return
        if not isinstance(number, int | float) or not is_number(number) or not is_number(entry.obtained_at):
            return
        # A clock that is behind makes the pause no longer than it was.
        left = number - max(0.0, self._clock.wall() - entry.obtained_at)
        self._id = name
        if left > 0:
            self._until = self._clock.monotonic() + left
            limit.pause(left, status, is_shared=True)
