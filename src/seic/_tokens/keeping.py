"""A store that cannot hurt: bounded in time, silent but for an event, and believed only as far as it makes sense."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator
from typing import Any

import attrs

from seic._events import Emit, StoreDegraded
from seic._model.token import Token
from seic._oauth.messages import MAX_LIFETIME
from seic._runtime import Latch, Lock, start_thread
from seic._tokens.clock import Clock
from seic._tokens.store import TokenStore

#: The longest that callers wait for a store, in seconds: far above a round trip, far below what a token call may take.
PATIENCE = 1.0
#: By how much a stored token may come from the future, in seconds: the clocks of two machines differ a little.
_SKEW = 60.0
#: What an Authorization header carries without a way to break out of it.
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@attrs.frozen
class Pause:
    """A step: wait until the latch is set, for at most `seconds`."""

    latch: Latch
    seconds: float


@attrs.define(eq=False)
class _Call:
    """One call of the store, and how it went."""

    operation: str
    call: Callable[[], Any]
    emit: Emit
    begun: float
    result: Any = attrs.field(default=None, repr=False)
    done: Latch = attrs.field(factory=Latch)

    def run(self) -> None:
        try:
            self.result = self.call()
        except Exception as error:  # noqa: BLE001  # whatever a store throws costs a token call, never a request
            # Its words may hold anything, so only its kind is named.
            self.emit(StoreDegraded(operation=self.operation, problem=type(error).__name__))
        finally:
            self.done.set()

    def hangs(self, now: float) -> bool:
        return not self.done.is_set() and now - self.begun > PATIENCE


class Keeper:
    """Keeps tokens in a store.

    A blocking store is called in a daemon thread of its own: a pool of the event loop's would hold the loop's end up
    for as long as a store hangs. One that hangs is not asked again until it answers.

    Args:
        store: The store.
        emit: Hears of its failures.
        clock: The two clocks.
    """

    def __init__(self, store: TokenStore, *, emit: Emit, clock: Clock) -> None:
        self._store = store
        self._emit = emit
        self._clock = clock
        self._lock = Lock()
        self._last: _Call | None = None

    def load(self, key: str) -> Generator[Pause, Any, Token | None]:
        """Yield what to wait for, and return the token kept under the key, if there is one that makes sense."""
        call = self._begin("load", self._store.load, key)
        if call is None:
            return None
        yield Pause(call.done, PATIENCE)
        if not call.done.is_set():
            self._emit(StoreDegraded(operation="load", problem=f"no answer within {PATIENCE:g} s"))
            return None
        token: Token | None = call.result
        if token is not None and not _is_sound(token, self._clock.wall()):
            self._emit(StoreDegraded(operation="load", problem="what it holds is no token"))
            return None
        return token

    def save(self, key: str, token: Token) -> Latch | None:
        """Keep the token under the key; return what is set when that is done, None where the store hangs."""
        call = self._begin("save", self._store.save, key, token)
        return None if call is None else call.done

    def delete(self, key: str) -> None:
        """Forget the token under the key; nobody waits for it."""
        self._begin("delete", self._store.delete, key)

    @property
    def pending(self) -> Latch | None:
        """What is set when the store has done all that it was asked; None where it has."""
        last = self._last
        return None if last is None or last.done.is_set() else last.done

    def after_fork(self) -> None:
        """Begin anew in a forked child: the threads stayed in the parent."""
        self._last = None

    def _begin(self, operation: str, method: Callable[..., Any], *args: Any) -> _Call | None:
        """Start a call of the store; return None where it still hangs in an earlier one."""
        now = self._clock.monotonic()
        call = _Call(operation, lambda: method(*args), self._emit, now)
        if not self._store.blocking:
            call.run()
            return call
        with self._lock:
            before = self._last
            hangs = before is not None and before.hangs(now)
            if not hangs:
                self._last = call
        if hangs:
            self._emit(StoreDegraded(operation=operation, problem="it still hangs in an earlier call"))
            return None

        def run() -> None:
            if before is not None:  # one at a time, and in order
                before.done.wait(None)
            call.run()

        start_thread(run)
        return call


def _is_sound(stored: object, wall: float) -> bool:
    """Whether what a store gave is a token that may be served; anyone may have written it."""
    if not isinstance(stored, Token) or not isinstance(stored.access_token, str):
        return False
    if not isinstance(stored.refresh_token, str | None) or not isinstance(stored.token_type, str):
        return False
    if stored.refresh_expires_in is not None and not _is_number(stored.refresh_expires_in):
        return False
    lifetime = 1.0 if stored.expires_in is None else stored.expires_in
    return (
        _VISIBLE.fullmatch(stored.access_token) is not None
        and _is_number(lifetime)
        and 0 < lifetime <= MAX_LIFETIME
        and _is_number(stored.obtained_at)
        and stored.obtained_at <= wall + _SKEW
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
