"""Who hears the events: the standard log, and the callbacks of the user's and of the doors. Not what happens, nor when.

A listener is a guest: whatever it does, the call that the event tells of goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from seic._concurrency import ForkSafeLock, OneShotEvent, is_in_event_loop, start_thread
from seic._events import Event, log_event
from seic._portal import BackgroundTask, is_in_portal, start

#: A function or a coroutine function of one event.
Listener: TypeAlias = Callable[[Event], object]

#: The longest that closing waits for listeners, in seconds.
_DRAINING = 5.0

_logger = logging.getLogger("seic.events")


class Listeners:
    """Tells the log and every listener of each event.

    Args:
        first: A listener to begin with, or None.
    """

    def __init__(self, first: Listener | None = None) -> None:
        self._lock = ForkSafeLock()
        # Replaced whole, so that telling needs no lock.
        self._subscriptions: tuple[_Subscription, ...] = ()
        #: The runs of coroutine functions that have not ended.
        self._running: set[_Run] = set()
        if first is not None:
            self.add(first)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell the listener of each event from now on; calling the result ends that, more than once does no harm."""
        subscription = _Subscription(listener, self._running)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)

        def remove() -> None:
            with self._lock:
                self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)

        return remove

    def emit(self, event: Event) -> None:
        """Tell the log and every listener; never raises."""
        log_event(event)
        self.tell(event)

    def tell(self, event: Event) -> None:
        """Tell every listener, of an event that is in the log already; never raises."""
        for subscription in self._subscriptions:
            subscription.tell(event)

    async def drain(self, seconds: float = _DRAINING) -> None:
        """Wait until the coroutine functions that were begun have ended, for at most `seconds` in all."""
        ends = time.monotonic() + seconds
        for run in self._others():
            await run.ended.wait(max(0.0, ends - time.monotonic()))

    def drain_blocking(self, seconds: float = _DRAINING) -> None:
        """Wait for those that run in another event loop than the caller's, blocking; see `drain`."""
        ends = time.monotonic() + seconds
        for run in self._others():
            if not run.is_here():
                run.ended.wait_sync(max(0.0, ends - time.monotonic()))

    def _others(self) -> list[_Run]:
        """Return what runs and can end, without the listener that asks."""
        here = _here.get()
        return [run for run in list(self._running) if run is not here and not run.is_stranded()]


class _Run:
    """A coroutine function under way."""

    def __init__(self) -> None:
        self.ended = OneShotEvent()
        #: What runs it in the event loop of its event; None before it starts, and for one in a thread.
        self.task: BackgroundTask[None] | None = None

    def is_stranded(self) -> bool:
        return self.task is not None and not self.task.is_alive()

    def is_here(self) -> bool:
        return self.task is not None and self.task.is_here()


#: The run that the caller is part of.
_here: contextvars.ContextVar[_Run | None] = contextvars.ContextVar("seic_listener", default=None)


class _Subscription:
    def __init__(self, listener: Listener, running: set[_Run]) -> None:
        self._listener = listener
        self._running = running
        self._failed = False

    def tell(self, event: Event) -> None:
        try:
            result = self._listener(event)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # a guest never breaks a call
            self._note(error)
            return
        if result is not None and inspect.isawaitable(result):
            self._run(result)

    def _run(self, awaitable: Awaitable[object]) -> None:
        if not is_in_event_loop():
            self._run_blocking(awaitable)
            return
        run = _Run()
        self._running.add(run)

        def ended(_future: object) -> None:
            self._running.discard(run)
            run.ended.set()

        async def settle() -> None:
            _here.set(run)
            await self._settle(awaitable)

        if is_in_portal():
            # No user's code runs in the portal's loop, which blocking callers share.
            def work() -> None:
                _here.set(run)
                self._run_blocking(awaitable)

            start_thread(work).add_done_callback(ended)
        else:
            run.task = start(settle)
            run.task.future.add_done_callback(ended)

    def _run_blocking(self, awaitable: Awaitable[object]) -> None:
        try:
            asyncio.run(self._settle(awaitable))
        except asyncio.CancelledError as error:  # the listener's own: nobody else knows of this loop
            self._note(error)

    async def _settle(self, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except Exception as error:  # noqa: BLE001  # a guest never breaks a call
            self._note(error)

    def _note(self, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            _logger.error(
                "a listener failed, and may go on failing unseen; calls are not affected: %r",
                self._listener,
                exc_info=error,
            )
