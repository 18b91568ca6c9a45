"""A guard around a token store: its calls are limited in time, its failures become events, its tokens are validated."""

from __future__ import annotations

import atexit
import contextvars
import os
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

from seic._concurrency import ForkSafeLock, OneShotEvent, SharedFuture, is_own_failure, start_thread
from seic._errors import ConfigurationError, TokenError
from seic._event_types import Emit, StoreDegraded, StoreRecovered
from seic._model.token import Token, is_number, is_text
from seic._oauth.messages import MAX_LIFETIME
from seic._portal import BackgroundTask, is_in_portal, submit
from seic._tokens.clock import Clock
from seic._tokens.store import InvalidEntryError, MemoryStore, TokenStore, is_blocking

_T = TypeVar("_T")

#: The longest that callers wait for a store, in seconds: far above a round trip, far below a token request's deadline.
PATIENCE = 1.0
#: The first and the longest pause before a store that failed is called again, in seconds; each is twice the one before.
_PAUSE_FIRST, _PAUSE_MAX = 1.0, 30.0
#: The first pause before a token that was not saved is saved again, in seconds; each is twice the one before.
_AGAIN_FIRST = 1.0
#: The longest such pause: a process that ends without warning loses no more than this after the store is back.
_AGAIN_MAX = 30.0
#: The share of the patience from which on a failure counts as slow; a wait for the lock of a file is shorter.
_SLOW = 0.75
#: By how much a stored token may come from the future, in seconds: the clocks of two machines differ a little.
_SKEW = 60.0
#: The result of a call that failed.
_FAILED = object()
#: The calls under way in threads, of all stores.
_calls: set[SharedFuture[Any]] = set()
#: All operations, in place of one that failed.
_ANY = "any"
#: The characters that an Authorization header can carry safely.
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class StoreGuard:
    """Keeps tokens in a store.

    A blocking store is called in daemon threads, one call at a time; a store that hangs is not called again until it
    answers. So is every store but `MemoryStore` if the caller blocks, since all blocking callers share a loop.

    After a failure the operation pauses, and if the store gave no answer, so do all others, except for saves of refresh
    tokens. The first failure is reported, and that the same operation works again; failures between are not.

    A token without a refresh token that was not saved costs another token request. A refresh token is lost with the
    process, so it is saved again, with pauses between, until that succeeds, another replaces it, or its owner is
    closed.
    """

    def __init__(self, store: TokenStore, *, emit: Emit, clock: Clock) -> None:
        self._store = store
        self._emit = emit
        self._clock = clock
        self._lock = ForkSafeLock()
        #: Held while the store writes: a token that is saved again must not overwrite its successor.
        self._writing = ForkSafeLock()
        #: The access token that the store is known to have had last.
        self._stored: str | None = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._last: SharedFuture[Any] | None = None
        self._begun = 0.0
        #: The tokens with refresh tokens that are not saved yet, the latest of each key.
        self._unsaved: dict[str, Token] = {}
        #: The operations that fail: the end of the pause, by the monotonic clock, and its length.
        self._failing: dict[str, tuple[float, float]] = {}
        self._reported: str | None = None
        #: The background task that saves again, and what has it try at once, for the last time.
        self._task: BackgroundTask[None] | None = None
        self._hurry = OneShotEvent()

    @property
    def has_claims(self) -> bool:
        """Whether the store can say which process refreshes; see `ClaimingStore`."""
        return hasattr(self._store, "claim")

    @property
    def keeps_keys_secret(self) -> bool:
        """Whether a key may include secrets: the store's names of entries are keyed hashes."""
        return bool(getattr(self._store, "keeps_keys_secret", False))

    @property
    def is_busy(self) -> bool:
        """Whether there is something for `aclose` to wait for."""
        self._reset_after_fork()
        return self._is_saving_again or (self._last is not None and not self._last.done())

    @property
    def _is_saving_again(self) -> bool:
        return "save" in self._failing and bool(self._unsaved)

    async def load(self, key: str) -> Token | None:
        """Return the token under the key, if there is a valid one."""
        return await self._load(key) or None

    async def confirms(self, key: str, token: Token) -> bool:
        """Whether a token is still to be used: the store has it, or never had it, or does not answer."""
        if self._stored != token.access_token:
            # The store was down when it came.
            await self.save(key, token)
            return True
        stored = await self._load(key)
        return stored is False or (stored is not None and stored.access_token == token.access_token)

    async def _load(self, key: str) -> Token | Literal[False] | None:
        """Return the token; None if there is none, False if the store does not answer."""
        answer = await self._answer("load", lambda: self._store.load(key))
        if answer is _FAILED:
            return False
        if isinstance(answer, InvalidEntryError):
            problem = str(answer)
        elif answer is not None and not _is_sound(answer, self._clock.wall()):
            problem = "it holds no valid token"
        else:
            token: Token | None = answer
            if token is not None:
                self._stored = token.access_token
            self._works("load")
            return token
        self._failed("load", problem, pauses=None)
        return None

    async def recall(self, key: str) -> Token | None:
        """Return an entry other than the token, as it is; None if there is none, or the store does not answer."""
        answer = await self._answer("load", lambda: self._store.load(key))
        return answer if isinstance(answer, Token) else None

    async def note(self, key: str, entry: Token) -> None:
        """Save an entry other than the token."""
        await self._answer("save", lambda: self._store.save(key, entry))

    def note_soon(self, key: str, entry: Token) -> None:
        """Save an entry other than the token; nobody waits for it."""
        if not self._is_paused("save"):
            # Without an event: it only saves others a request.
            self._begin("save", lambda: self._store.save(key, entry), lambda _: None)

    async def save(self, key: str, token: Token) -> None:
        """Save the token under the key; wait for that only if it has a refresh token."""
        self._reset_after_fork()
        with self._lock:
            self._unsaved.pop(key, None)
            if token.refresh_token is not None:
                self._unsaved[key] = token
        if token.refresh_token is None and self._is_paused("save"):
            return
        call = self._begin("save", partial(self._save, key, token, again=False), partial(self._missed, key))
        if call is not None and token.refresh_token is not None:
            # The refresh token before it is forgotten only when this one is safe.
            await call.wait(PATIENCE)

    def delete(self, key: str) -> None:
        """Delete the token under the key; nobody waits for it."""
        self._reset_after_fork()
        with self._lock:
            self._unsaved.pop(key, None)
        self._begin("delete", partial(self._delete, key), self._undeleted)

    async def claim(self, key: str, seconds: float) -> bool:
        """Return whether this process refreshes the token; True if the store does not say."""
        store: Any = self._store
        answer = await self._answer("claim", lambda: store.claim(key, seconds))
        if answer is not _FAILED:
            self._works("claim")
        return answer is not False

    def release(self, key: str) -> None:
        """Release a claim; nobody waits for it."""
        store: Any = self._store
        if not self._is_paused("claim"):
            # Without an event: the claim ends by itself.
            self._begin("release", lambda: store.release(key), lambda _: None)

    async def aclose(self, seconds: float) -> None:
        """Wait for the calls under way, and save once more what was not saved; each for at most `seconds`."""
        self._reset_after_fork()
        if self._last is not None:
            await self._last.wait(seconds)
        if self._is_saving_again and (task := self._save_again()) is not None:
            self._hurry.set()
            await task.future.wait(seconds)

    async def _answer(self, operation: str, call_store: Callable[[], Any]) -> Any:
        """Return the result of a call of the store; `_FAILED` if it fails, takes too long, or failed a moment ago."""
        self._reset_after_fork()
        if self._is_paused(operation):
            return _FAILED
        begun = self._clock.monotonic()
        call = self._begin(operation, call_store, partial(self._failed, operation))
        if call is None:
            return _FAILED
        if await call.wait(PATIENCE):
            if call.result() is _FAILED and self._clock.monotonic() - begun >= _SLOW * PATIENCE:
                # Its own time limit was shorter; the next operation would take as long.
                self._failed(operation, "", pauses=_ANY)
            return call.result()
        self._failed(operation, f"no answer within {PATIENCE:g} s", pauses=_ANY)
        return _FAILED

    def _is_paused(self, operation: str) -> bool:
        now = self._clock.monotonic()
        return any(now < self._failing.get(name, (now, 0.0))[0] for name in (_ANY, operation))

    def _begin(
        self, operation: str, call_store: Callable[[], Any], failed: Callable[[str], None]
    ) -> SharedFuture[Any] | None:
        """Start a call of the store, with the result `_FAILED` if it fails; return None if an earlier one hangs."""
        self._reset_after_fork()
        if not is_blocking(self._store) and (type(self._store) is MemoryStore or not is_in_portal()):
            call: SharedFuture[Any] = SharedFuture()
            call.set_result(self._call(call_store, failed))
            return call
        now = self._clock.monotonic()
        with self._lock:
            before = self._last
            if before is None or before.done() or now - self._begun <= PATIENCE:
                self._begun = now
                self._last = call = start_call(self._call, call_store, failed, before)
                return call
        failed("it still hangs in an earlier call")
        return None

    @staticmethod
    def _call(
        call_store: Callable[[], Any], failed: Callable[[str], None], before: SharedFuture[Any] | None = None
    ) -> Any:
        if before is not None:  # one at a time, and in order
            before.wait_sync()
        try:
            return call_store()
        except InvalidEntryError as error:
            return error.with_traceback(None)
        except BaseException as error:
            # A store's failure costs a token request, never an API request.
            if not is_own_failure(error):
                raise
            # The message of another library may hold anything, so only the class is named.
            failed(error.message if isinstance(error, ConfigurationError) else type(error).__name__)
            return _FAILED

    def _failed(self, operation: str, problem: str, *, pauses: str | None = "") -> None:
        """Report the first of several failures, and let an operation pause: this one, `_ANY`, or None."""
        now, pauses = self._clock.monotonic(), operation if pauses == "" else pauses
        with self._lock:
            if pauses is not None:
                pause = min(2 * self._failing.get(pauses, (now, _PAUSE_FIRST / 2))[1], _PAUSE_MAX)
                self._failing[pauses] = (now + pause, pause)
            self._failing.setdefault(operation, (now, _PAUSE_FIRST / 2))
            is_first = self._reported is None
            self._reported = self._reported or operation
        if is_first:
            self._emit(StoreDegraded(operation=operation, problem=problem))

    def _works(self, operation: str) -> None:
        if self._failing.pop(operation, None) is None:
            return
        with self._lock:
            self._failing.pop(_ANY, None)
            is_back = self._reported == operation
            self._reported = None if is_back else self._reported
        if is_back:
            self._emit(StoreRecovered(operation=operation))

    def _undeleted(self, problem: str) -> None:
        # No later success would end a pause.
        self._emit(StoreDegraded(operation="delete", problem=problem))

    def _delete(self, key: str) -> None:
        with self._writing:
            self._store.delete(key)

    def _save(self, key: str, token: Token, *, again: bool) -> None:
        with self._writing:
            if again and self._unsaved.get(key) is not token:
                return
            self._store.save(key, token)
        with self._lock:
            if self._unsaved.get(key) is token:
                del self._unsaved[key]
            self._stored = token.access_token
        if not self._unsaved:
            self._works("save")

    def _missed(self, key: str, problem: str) -> None:
        """Report a token that was not saved, and have it saved again if it is still worth that."""
        self._failed("save", problem)
        if key in self._unsaved:
            self._save_again()

    def _save_again(self) -> BackgroundTask[None] | None:
        """Return the task that saves again, started if need be; None while the interpreter shuts down."""
        with self._lock:
            if self._task is None:
                self._hurry = OneShotEvent()
                try:
                    # In an empty context: it outlives the request that began it.
                    self._task = contextvars.Context().run(submit, partial(self._repeat, self._hurry))
                except TokenError:
                    return None
            return self._task

    async def _repeat(self, hurry: OneShotEvent) -> None:
        pause, is_last = _AGAIN_FIRST, False
        while not is_last:
            is_last = await hurry.wait(pause)
            pause = min(2 * pause, _AGAIN_MAX)
            for key, token in list(self._unsaved.items()):
                # Without an event: its failure was reported when it began.
                call = self._begin("save", partial(self._save, key, token, again=True), lambda _: None)
                if call is not None:
                    await call.wait()
            with self._lock:
                is_last = is_last or not self._unsaved
                if is_last and self._hurry is hurry:
                    self._task = None

    def _reset_after_fork(self) -> None:
        # The threads are in the parent, and so is what they have yet to save.
        if self._pid != os.getpid():
            self._reset()


def start_call(call: Callable[..., _T], *args: Any) -> SharedFuture[_T]:
    """Start a call of a store in a thread; a program that ends waits a moment for it."""
    future = start_thread(call, *args)
    _calls.add(future)
    future.add_done_callback(_calls.discard)
    return future


@atexit.register
def _end_calls() -> None:
    """Wait a moment for what is being saved and released: a program may end without closing its client."""
    ends = time.monotonic() + PATIENCE
    for call in tuple(_calls):
        if call.is_alive():
            call.wait_sync(max(0.0, ends - time.monotonic()))


def _is_sound(stored: object, wall: float) -> bool:
    """Whether a stored value is a token that may be used; anyone may have written it."""
    if not isinstance(stored, Token) or not isinstance(stored.access_token, str):
        return False
    lifetime = 1.0 if stored.expires_in is None else stored.expires_in
    return (
        _VISIBLE.fullmatch(stored.access_token) is not None
        and isinstance(stored.token_type, str)
        and all(value is None or is_text(value) for value in (stored.refresh_token, stored.login_id))
        and (stored.refresh_expires_in is None or is_number(stored.refresh_expires_in))
        and is_number(lifetime)
        and 0 < lifetime <= MAX_LIFETIME
        and is_number(stored.obtained_at)
        and stored.obtained_at <= wall + _SKEW
    )
