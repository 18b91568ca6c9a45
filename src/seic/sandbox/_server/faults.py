"""What goes wrong on purpose at the token endpoint: planned failures, slow answers, answers held back.

The control is in a test's thread, the effect in the server's.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping

import attrs


@attrs.frozen(kw_only=True)
class PlannedFailure:
    """An answer in place of a token.

    Args:
        status: The HTTP status.
        headers: Further headers, such as `Retry-After`.
        body: The body as it is; None for the gateway's error form.
    """

    status: int
    headers: Mapping[str, str]
    body: str | None


class Hold:
    """Token calls that wait for their answer until they are released."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all that follows
        self._released = False
        self._arrived = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def wait_for(self, calls: int, timeout: float = 10.0) -> None:
        """Block until so many token calls are, or were, held; in a coroutine run it through `asyncio.to_thread`.

        Args:
            calls: How many, counted from the start of the hold.
            timeout: Seconds.

        Raises:
            TimeoutError: Fewer came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= calls, timeout):
                raise TimeoutError(f"{self._arrived} of {calls} token calls came within {timeout} seconds")

    def release(self) -> None:
        """Let the held calls go, and all that come later; doing it again changes nothing."""
        with self._changed:
            self._released = True
            for waiter in self._waiters:
                waiter.get_loop().call_soon_threadsafe(_finish, waiter)
            self._waiters.clear()

    async def pass_through(self) -> None:
        """Wait until the release."""
        waiter = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._released:
                return
            self._waiters.add(waiter)
            self._arrived += 1
            self._changed.notify_all()
        try:
            await waiter
        finally:
            with self._changed:
                self._waiters.discard(waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class FaultInjector:
    """The faults in force; every method may be called from any thread."""

    def __init__(self) -> None:
        #: Seconds by which every token answer is late.
        self.token_latency = 0.0
        self._lock = threading.Lock()  # guards _failures and _hold
        self._failures: collections.deque[PlannedFailure] = collections.deque()
        self._hold: Hold | None = None

    def plan(self, failure: PlannedFailure, times: int) -> None:
        """Give this failure to so many of the next token calls, after those already planned."""
        with self._lock:
            self._failures.extend(itertools.repeat(failure, times))

    @contextlib.contextmanager
    def hold(self) -> Iterator[Hold]:
        """Hold token answers back until the block ends.

        Raises:
            RuntimeError: They are held already.
        """
        hold = Hold()
        with self._lock:
            if self._hold is not None:
                raise RuntimeError("token answers are held already")
            self._hold = hold
        try:
            yield hold
        finally:
            with self._lock:
                self._hold = None
            hold.release()

    async def next_failure(self) -> PlannedFailure | None:
        """Wait as long as the faults demand, then return the failure that this token call has to meet."""
        hold = self._hold
        if hold is not None:
            await hold.pass_through()
        if self.token_latency:
            await asyncio.sleep(self.token_latency)
        with self._lock:
            return self._failures.popleft() if self._failures else None
