"""A store that cannot hurt: bounded in time, silent but for an event, and believed only as far as it makes sense."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import attrs

from seic._events import Emit, StoreDegraded, StoreRecovered
from seic._model.token import Token
from seic._oauth.messages import MAX_LIFETIME
from seic._runtime import Latch, Lock, start_thread
from seic._tokens.clock import Clock
from seic._tokens.store import TokenStore

#: The longest that callers wait for a store, in seconds: far above a round trip, far below what a token call may take.
PATIENCE = 1.0
#: The first pause before what was not saved is saved again, in seconds; each is twice the one before.
_AGAIN_FIRST = 1.0
#: The longest such pause: a process that ends without warning takes along no more than this after the store is back.
_AGAIN_MAX = 30.0
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

    call: Callable[[], Any]
    failed: Callable[[str], None]
    begun: float
    result: Any = attrs.field(default=None, repr=False)
    done: Latch = attrs.field(factory=Latch)

    def run(self) -> None:
        try:
            self.result = self.call()
        except Exception as error:  # noqa: BLE001  # whatever a store throws costs a token call, never a request
            # Its words may hold anything, so only its kind is named.
            self.failed(type(error).__name__)
        finally:
            self.done.set()

    def hangs(self, now: float) -> bool:
        return not self.done.is_set() and now - self.begun > PATIENCE


@attrs.define(eq=False)
class _Repetition:
    """A thread that saves again what was not saved."""

    #: Set to have it try at once, for the last time.
    hurry: Latch = attrs.field(factory=Latch)
    #: Set when it has ended.
    done: Latch = attrs.field(factory=Latch)


class Keeper:
    """Keeps tokens in a store.

    A blocking store is called in a daemon thread of its own: a pool of the event loop's would hold the loop's end up
    for as long as a store hangs. One that hangs is not asked again until it answers.

    A token without a refresh token that was not saved costs another token call. One with a refresh token cannot be had
    again once the process is gone, so it is saved again, with pauses between, until that succeeds, another takes its
    place, or the source is closed.

    Args:
        store: The store.
        emit: Hears of its failures.
        clock: The two clocks.
    """

    def __init__(self, store: TokenStore, *, emit: Emit, clock: Clock) -> None:
        self._store = store
        self._emit = emit
        self._clock = clock
        self._last: _Call | None = None
        #: The tokens with refresh tokens that are not saved yet, the latest of each key.
        self._unsaved: dict[str, Token] = {}
        self._is_down = False
        self._repetition: _Repetition | None = None
        #: Guards what changes here.
        self._lock = Lock()
        #: Held while the store writes: what is saved again must not come after what took its place.
        self._writing = Lock()

    def load(self, key: str) -> Generator[Pause, Any, Token | None]:
        """Yield what to wait for, and return the token kept under the key, if there is one that makes sense."""
        call = self._begin("load", lambda: self._store.load(key))
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
        with self._lock:
            self._unsaved.pop(key, None)
            if token.refresh_token is not None:
                self._unsaved[key] = token
        call = self._begin("save", lambda: self._save(key, token), lambda problem: self._missed(key, problem))
        return None if call is None else call.done

    def delete(self, key: str) -> None:
        """Forget the token under the key; nobody waits for it."""
        with self._lock:
            self._unsaved.pop(key, None)
        self._begin("delete", lambda: self._write(self._store.delete, key))

    @property
    def claims(self) -> bool:
        """Whether the store can tell who renews what; see `ClaimingStore`."""
        return hasattr(self._store, "claim")

    def claim(self, key: str, seconds: float) -> Generator[Pause, Any, bool]:
        """Yield what to wait for, and return whether the renewal is ours; it is where the store does not say."""
        store: Any = self._store
        call = self._begin("claim", lambda: store.claim(key, seconds))
        if call is None:
            return True
        yield Pause(call.done, PATIENCE)
        if not call.done.is_set():
            self._emit(StoreDegraded(operation="claim", problem=f"no answer within {PATIENCE:g} s"))
        return call.result is not False

    def release(self, key: str) -> None:
        """Give a claim back; nobody waits for it."""
        store: Any = self._store
        self._begin("release", lambda: store.release(key))

    @property
    def pending(self) -> Latch | None:
        """What is set when the store has done all that it was asked; None where it has."""
        last = self._last
        return None if last is None or last.done.is_set() else last.done

    def closing(self) -> Iterator[Latch]:
        """Yield what to wait for at the end, each for a moment: what it was asked, and what was not saved before."""
        if (pending := self.pending) is not None:
            yield pending
        if self._is_down and (repetition := self._repeat()) is not None:
            repetition.hurry.set()
            yield repetition.done

    def after_fork(self) -> None:
        """Begin anew in a forked child: the threads stayed in the parent, and what they have yet to save."""
        self._last = self._repetition = None
        self._unsaved.clear()
        self._is_down = False

    def _begin(
        self, operation: str, call_store: Callable[[], Any], failed: Callable[[str], None] | None = None
    ) -> _Call | None:
        """Start a call of the store; return None where it still hangs in an earlier one."""
        failed = failed or partial(self._degraded, operation)
        now = self._clock.monotonic()
        call = _Call(call_store, failed, now)
        if not self._store.blocking:
            call.run()
            return call
        with self._lock:
            before = self._last
            hangs = before is not None and before.hangs(now)
            if not hangs:
                self._last = call
        if hangs:
            failed("it still hangs in an earlier call")
            return None

        def run() -> None:
            if before is not None:  # one at a time, and in order
                before.done.wait(None)
            call.run()

        start_thread(run)
        return call

    def _degraded(self, operation: str, problem: str) -> None:
        self._emit(StoreDegraded(operation=operation, problem=problem))

    def _write(self, method: Callable[..., None], *args: Any) -> None:
        with self._writing:
            method(*args)

    def _save(self, key: str, token: Token) -> None:
        self._write(self._store.save, key, token)
        self._saved(key, token)

    def _saved(self, key: str, token: Token) -> None:
        with self._lock:
            if self._unsaved.get(key) is token:
                del self._unsaved[key]
            is_back = self._is_down and not self._unsaved
            self._is_down = self._is_down and not is_back
        if is_back:
            self._emit(StoreRecovered(operation="save"))

    def _missed(self, key: str, problem: str) -> None:
        """Tell that a token was not saved, and have it saved again if it is still worth that."""
        with self._lock:
            is_wanted = key in self._unsaved
            was_down, self._is_down = self._is_down, self._is_down or is_wanted
        if not was_down:
            self._emit(StoreDegraded(operation="save", problem=problem))
        if is_wanted:
            self._repeat()

    def _repeat(self) -> _Repetition | None:
        """Return the thread that saves again, started if need be; None while the interpreter shuts down."""
        with self._lock:
            if self._repetition is None:
                repetition = _Repetition()
                thread = threading.Thread(target=self._save_again, args=(repetition,), name="seic-store", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return None
                self._repetition = repetition
            return self._repetition

    def _save_again(self, repetition: _Repetition) -> None:
        pause, is_last = _AGAIN_FIRST, False
        while not is_last:
            is_last = repetition.hurry.wait(pause)
            pause = min(2 * pause, _AGAIN_MAX)
            for key, token in list(self._unsaved.items()):
                # No word of its failure: it was told when it began, and is told when it ends.
                call = self._begin("save", partial(self._resave, key, token), lambda _: None)
                if call is not None:
                    call.done.wait(None)
            with self._lock:
                is_last = is_last or not self._unsaved
                if is_last and self._repetition is repetition:
                    self._repetition = None
        repetition.done.set()

    def _resave(self, key: str, token: Token) -> None:
        with self._writing:
            if self._unsaved.get(key) is not token:
                return
            self._store.save(key, token)
        self._saved(key, token)


def _is_sound(stored: object, wall: float) -> bool:
    """Whether what a store gave is a token that may be served; anyone may have written it."""
    if not isinstance(stored, Token) or not isinstance(stored.access_token, str):
        return False
    if not isinstance(stored.refresh_token, str | None) or not isinstance(stored.token_type, str):
        return False
    if not isinstance(stored.login_id, str | None):
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
