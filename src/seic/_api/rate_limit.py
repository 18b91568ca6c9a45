"""`RateLimit`: the pause that an API asked for with 429 or `Retry-After`, for all requests of a process.

During the pause requests wait. After it one is sent, and each that succeeds lets two more follow in the order of their
arrival (slow start, RFC 5681 §3.1), so that those that waited do not exceed the limit at once. Nothing is sent here.
"""

from __future__ import annotations

import itertools
import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from random import random
from typing import TYPE_CHECKING, Any, NamedTuple

from seic._concurrency import ForkSafeLock, OneShotEvent
from seic._errors import TooManyRequests
from seic._event_types import LOGGER, Event, RateLimitEnded, RateLimitStarted, log_event
from seic._listeners import Listeners
from seic._oauth.challenges import parse_retry_after
from seic._tokens.backoff import RETRY_AFTER_MAX
from seic._tokens.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from seic._api.shared_rate_limit import SharedRateLimit

_TOO_MANY_REQUESTS, _UNAVAILABLE = 429, 503
#: The first pause after a 429 without `Retry-After`, in seconds; each one in a row is twice the one before.
_FIRST_PAUSE = 1.0
#: The share by which a pause of another process is longer here, by chance: a fleet does not continue in step.
_SPREAD = 0.1


class _Waiter:
    """The turn of a request that came in the pause with a number; it waits until it is woken, and looks again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_granted = False
        self.woken = OneShotEvent()

    def wake(self) -> None:
        woken, self.woken = self.woken, OneShotEvent()
        woken.set()


class _Waiting(NamedTuple):
    woken: OneShotEvent
    seconds: float


class RateLimit:
    """Requests of one client id to one origin that wait while the API asks for a pause.

    Args:
        host: The API's host, for messages and events.
        clock: The clocks.

    Attributes:
        is_on: Whether requests have to wait for their turn.
        shared: The pauses of other processes; None without a store that processes share.
    """

    def __init__(self, host: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.is_on = False
        self.shared: SharedRateLimit | None = None
        self._host = host
        self._clock = clock
        self._lock = ForkSafeLock()
        self._listeners: weakref.WeakSet[Listeners] = weakref.WeakSet()
        self._numbers = itertools.count(1)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._queue: deque[_Waiter] = deque()
        #: The requests that may be in progress at once, and that are.
        self._window, self._sent = 1, 0
        self._until = 0.0
        #: The pauses without a success between them.
        self._in_a_row = 0
        #: Tells requests of this pause from those of an earlier one.
        self._number = 0
        self._begun, self._waited, self._refused = 0.0, 0, 0

    @property
    def remaining(self) -> float:
        """The seconds until a request is sent again; 0 if there is no pause."""
        return max(0.0, self._until - self._clock.monotonic()) if self.is_on else 0.0

    def add_listener(self, listeners: Listeners) -> None:
        """Send the events to listeners for as long as they live."""
        self._listeners.add(listeners)

    async def enter(self, seconds: float) -> int:
        """Wait for the turn of a request, for `seconds` at most; return the number for `leave`.

        Raises:
            TooManyRequests: It would have to wait longer.
        """
        if (turn := self._join(seconds)) is None:
            return 0
        ends = self._clock.monotonic() + seconds
        try:
            while (waiting := self._look(turn, ends)) is not None:
                await waiting.woken.wait(waiting.seconds)
        except BaseException:
            self._give_up(turn)
            raise
        return turn.number

    def enter_sync(self, seconds: float) -> int:
        """Wait for the turn of a request, blocking; see `enter`."""
        if (turn := self._join(seconds)) is None:
            return 0
        ends = self._clock.monotonic() + seconds
        try:
            while (waiting := self._look(turn, ends)) is not None:
                waiting.woken.wait_sync(waiting.seconds)
        except BaseException:
            self._give_up(turn)
            raise
        return turn.number

    def leave(self, number: int, response: Any | None) -> None:
        """Note the response to a request, or None if there was none; `number` is that of `enter`, 0 without."""
        is_accepted = response is not None
        if response is not None and response.status_code in (_TOO_MANY_REQUESTS, _UNAVAILABLE):
            asked = parse_retry_after(response.headers.get("Retry-After"), now=time.time())
            if response.status_code == _TOO_MANY_REQUESTS or asked is not None:
                self.pause(asked, response.status_code)
                is_accepted = False
        if number:
            self._end(number, is_accepted=is_accepted)

    def pause(self, asked: float | None, status: int, *, is_shared: bool = False) -> None:
        """Let requests wait.

        Args:
            asked: The seconds; None if the API named none. A minute is the most.
            status: The status that asked for it.
            is_shared: Whether another process met it.
        """
        with self._lock:
            self._reset_after_fork()
            now = self._clock.monotonic()
            if asked is None and now < self._until:
                # It answers a request from before the pause.
                return
            seconds = _FIRST_PAUSE * 2.0 ** min(self._in_a_row, 16) if asked is None else asked
            seconds = min(seconds, RETRY_AFTER_MAX)
            if is_shared:
                seconds *= 1 + _SPREAD * random()  # noqa: S311  # no secret
            if is_first := not self.is_on:
                self._number, self._begun, self._sent = next(self._numbers), now, 0
                self._waited = self._refused = 0
            is_new = now >= self._until
            self._in_a_row += is_new
            self._until, self._window = max(self._until, now + seconds), 1
            self.is_on = True
            for turn in self._queue if is_new else ():
                turn.wake()
        if self.shared is not None and not is_shared:
            self.shared.publish(seconds, status)
        if is_first:
            self._emit(RateLimitStarted(host=self._host, status=status, retry_after=seconds))

    def _join(self, seconds: float) -> _Waiter | None:
        with self._lock:
            self._reset_after_fork()
            if not self.is_on:
                return None
            if self.remaining > seconds:
                # To wait would be without result.
                raise self._refusal()
            turn = _Waiter(self._number)
            self._queue.append(turn)
            self._grant()
            self._waited += not turn.is_granted
            return turn

    def _look(self, turn: _Waiter, ends: float) -> _Waiting | None:
        """Return the event to wait for, and how long; None if it is the turn of the request."""
        now = self._clock.monotonic()
        with self._lock:
            self._grant()
            if turn.is_granted:
                return None
            if now >= ends or self._until > ends:
                raise self._refusal()
            return _Waiting(turn.woken, (self._until if now < self._until else ends) - now)

    def _grant(self) -> None:
        """Give those who wait longest their turn, as many as may be in progress."""
        if self._clock.monotonic() < self._until:
            return
        while self._queue and self._sent < self._window:
            self._sent += 1
            turn = self._queue.popleft()
            turn.is_granted = True
            turn.wake()

    def _give_up(self, turn: _Waiter) -> None:
        with self._lock:
            if turn.is_granted:
                self._end(turn.number, is_accepted=False)
            elif turn in self._queue:
                self._queue.remove(turn)

    def _end(self, number: int, *, is_accepted: bool) -> None:
        ended = None
        with self._lock:
            if number != self._number or not self.is_on:
                return
            self._sent -= 1
            now = self._clock.monotonic()
            # One that was sent before the pause tells nothing about the limit after it.
            is_accepted = is_accepted and now >= self._until
            if is_accepted:
                self._window += 1
                self._in_a_row = 0
            self._grant()
            if is_accepted and not self._queue:
                self.is_on = False
                ended = RateLimitEnded(
                    host=self._host, took=now - self._begun, waited=self._waited, refused=self._refused
                )
        if ended is not None:
            self._emit(ended)

    def _refusal(self) -> TooManyRequests:
        self._refused += 1
        left = self.remaining
        reason = f"the API asked for a pause of {left:.1f} s more" if left else "too many requests wait after a pause"
        return TooManyRequests(
            f"{self._host}: {reason}, so this request was not sent; rate_limit_timeout is the longest wait",
            status=_TOO_MANY_REQUESTS,
            retry_after=left,
            transient=True,
        )

    def _emit(self, event: Event) -> None:
        if LOGGER.isEnabledFor(event.level):
            log_event(event)
        for listeners in list(self._listeners):
            listeners.notify(event)

    def _reset_after_fork(self) -> None:
        # Those who wait are the parent's.
        if self._pid != os.getpid():
            until = self._until
            self._reset()
            self._until, self._begun, self._number = until, self._clock.monotonic(), next(self._numbers)


_limits: weakref.WeakValueDictionary[object, RateLimit] = weakref.WeakValueDictionary()


def shared_limit(key: object, new: Callable[[], RateLimit]) -> RateLimit:
    """Return the limit of a key, which all of its users in this process share."""
    found = _limits.get(key)
    return found if found is not None else _limits.setdefault(key, new())
