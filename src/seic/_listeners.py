"""Who hears the events: the standard log, and the callbacks of the user's and of the doors. Not what happens, nor when.

A listener is a guest: whatever it does, the call that the event tells of goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from seic._events import Event, log_event
from seic._runtime import Lock, is_in_event_loop, start_async

#: A function or a coroutine function of one event.
Listener: TypeAlias = Callable[[Event], object]

_logger = logging.getLogger("seic.events")


class Listeners:
    """Tells the log and every listener of each event.

    Args:
        first: A listener to begin with, or None.
    """

    def __init__(self, first: Listener | None = None) -> None:
        self._lock = Lock()
        # Replaced whole, so that telling needs no lock.
        self._subscriptions: tuple[_Subscription, ...] = ()
        if first is not None:
            self.add(first)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell the listener of each event from now on; calling the result ends that, more than once does no harm."""
        subscription = _Subscription(listener)
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


class _Subscription:
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._failed = False

    def tell(self, event: Event) -> None:
        try:
            result = self._listener(event)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # a guest never breaks a call
            self._note(error)
            return
        if inspect.isawaitable(result):
            self._run(result)

    def _run(self, awaitable: Awaitable[object]) -> None:
        if is_in_event_loop():
            start_async(lambda: self._settle(awaitable))
        else:
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
