"""One caller's wait for a flight: counted among those who wait, and told of as it begins and ends.

Classes, not generators: a thousand callers may wait at once, and they all do before the request for them is sent.
"""

from __future__ import annotations

from types import TracebackType

from seic._events import Emit, TokenWaitEnded, TokenWaitStarted
from seic._tokens.clock import Clock
from seic._tokens.flight import Flight


class Waiting:
    """Counts and tells of a wait, as a context manager.

    Args:
        flight: What is waited for.
        host: Where its token comes from.
        clock: The two clocks.
        emit: Hears events.
    """

    __slots__ = ("_begun", "_clock", "_emit", "_flight", "_host")

    def __init__(self, flight: Flight, *, host: str, clock: Clock, emit: Emit) -> None:
        self._flight = flight
        self._host = host
        self._clock = clock
        self._emit = emit
        self._begun = clock.monotonic()

    def __enter__(self) -> None:
        self._emit(TokenWaitStarted(host=self._host, refresh_id=self._flight.number))
        self._flight.waiting.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._flight.waiting.discard(self)
        took = self._clock.monotonic() - self._begun
        self._emit(TokenWaitEnded(host=self._host, refresh_id=self._flight.number, took=took))
