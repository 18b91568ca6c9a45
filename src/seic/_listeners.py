"""`Listeners`: write events to the log and call the listeners of users and integrations.

Exceptions in listeners are logged and never affect the request.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from seic._concurrency import ForkSafeLock, current_loop, is_own_failure, run_in_thread
from seic._event_types import LOGGER, Event, log_event
from seic._portal import BackgroundTask, is_in_portal, start

#: A function or a coroutine function of one event.
Listener: TypeAlias = Callable[[Event], object]

#: The maximum time that closing waits for listeners, in seconds.
_DRAIN_TIMEOUT = 5.0

_logger = logging.getLogger("seic.events")


class Listeners:
    """The listeners of one source of events.

    Args:
        first: The first listener, or None.
    """

    def __init__(self, first: Listener | None = None) -> None:
        self._lock = ForkSafeLock()
        # Replaced as a whole, so that emitting needs no lock.
        self._subscriptions: tuple[_RegisteredListener, ...] = ()
        #: The coroutine listeners in progress, by the object that each has in `_current`.
        self._running: dict[object, BackgroundTask[None]] = {}
        if first is not None:
            self.add(first)

    def add(self, listener: Listener, *, kind: type[Event] = Event) -> Callable[[], None]:
        """Call the listener with each event of a kind from now on; call the result to remove it, once or more."""
        subscription = _RegisteredListener(listener, kind, self._running)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)

        def remove() -> None:
            with self._lock:
                self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)

        return remove

    def emit(self, event: Event) -> None:
        """Write the event to the log and call every listener; never raises."""
        if LOGGER.isEnabledFor(event.level):
            log_event(event)
        self.notify(event)

    def notify(self, event: Event) -> None:
        """Call every listener with an event that is already in the log; never raises."""
        for subscription in self._subscriptions:
            if isinstance(event, subscription.kind):
                subscription.notify(event)

    async def drain(self, seconds: float = _DRAIN_TIMEOUT) -> None:
        """Wait until the coroutine listeners in progress have ended, for at most `seconds` in all."""
        ends = time.monotonic() + seconds
        for task in self._others():
            await task.future.wait(max(0.0, ends - time.monotonic()))

    def drain_sync(self, seconds: float = _DRAIN_TIMEOUT) -> None:
        """Wait for those that run in another event loop than the caller's, blocking; see `drain`."""
        ends = time.monotonic() + seconds
        for task in self._others():
            if not task.is_here():
                task.future.wait_sync(max(0.0, ends - time.monotonic()))

    def _others(self) -> list[BackgroundTask[None]]:
        """Return the tasks that can end, except that of the listener that calls this."""
        current = _current.get()
        return [task for key, task in list(self._running.items()) if key is not current and task.is_alive()]


#: The key of the coroutine listener that the caller is part of.
_current: contextvars.ContextVar[object] = contextvars.ContextVar("seic_listener", default=None)


class _RegisteredListener:
    def __init__(self, listener: Listener, kind: type[Event], running: dict[object, BackgroundTask[None]]) -> None:
        self.kind = kind
        self._listener = listener
        self._running = running
        self._failed = False

    def notify(self, event: Event) -> None:
        try:
            result = self._listener(event)
        except BaseException as error:
            if not is_own_failure(error):
                raise
            self._log(error)  # a listener never fails a request
            return
        if result is not None and inspect.isawaitable(result):
            self._run(result)

    def _run(self, awaitable: Awaitable[object]) -> None:
        if current_loop() is not None:
            key = object()

            async def settle() -> None:
                _current.set(key)
                if is_in_portal():
                    # No user's code runs in the portal's loop, which blocking callers share.
                    await run_in_thread(self._run_sync, awaitable)
                else:
                    await self._settle(awaitable)

            task = start(settle)
            self._running[key] = task
            task.future.add_done_callback(lambda _future: self._running.pop(key, None))
        else:
            self._run_sync(awaitable)

    def _run_sync(self, awaitable: Awaitable[object]) -> None:
        import asyncio

        try:
            asyncio.run(self._settle(awaitable))
        except BaseException as error:
            # Its own too if it is a cancellation: no other code knows this loop.
            if not is_own_failure(error):
                raise
            self._log(error)

    async def _settle(self, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except Exception as error:  # noqa: BLE001  # a listener never fails a request
            self._log(error)

    def _log(self, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            _logger.error(
                "a listener failed; requests are not affected, and its further failures are not logged: %r",
                self._listener,
                exc_info=error,
            )
