"""What a source knows, and what follows from it: serve, renew ahead, fetch, wait, or fail. No I/O, no waiting.

All state that changes stands here beside the one lock that guards it; the lock is held for a few comparisons, never
while anything is awaited.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Protocol

import attrs

from seic._errors import SeicError, TokenRequestRefused
from seic._tokens.backoff import fruitless_pause, pauses
from seic._tokens.clock import Clock
from seic._tokens.flight import Flight
from seic._tokens.held import Freshness, Held, nothing_held
from seic._tokens.stats import Stats


@attrs.frozen
class Decision:
    """What a caller does next.

    Args:
        held: The token to go on with, or None where the caller waits for `flight`.
        flight: The fetch to wait for, or to start.
        lead: Whether this caller starts it.
    """

    held: Held | None
    flight: Flight | None = None
    lead: bool = False


class Depart(Protocol):
    """Makes the flight for a fetch that begins."""

    def __call__(self, *, ahead: bool, force: bool) -> Flight:
        """Return a flight that renews ahead or not, and asks the store or not."""
        ...


class TokenState:
    """The token in hand, the fetch under way, and what is remembered of failures.

    Args:
        clock: The two clocks.
        chance: Returns a random number in [0, 1).
        depart: Makes the flight for a fetch.
    """

    def __init__(self, *, clock: Clock, chance: Callable[[], float], depart: Depart) -> None:
        #: Read without the lock: a store of one reference is atomic.
        self.held = nothing_held()
        self._clock = clock
        self._chance = chance
        self._depart = depart
        self._lock = threading.Lock()
        self._flight: Flight | None = None
        self._error: SeicError | None = None
        self._failures = 0
        self._retry_living_at = -math.inf
        self._retry_dead_at = -math.inf
        self._fruitless = 0
        self._fruitless_until = -math.inf
        self._stats = Stats()

    def decide(self, rejected: Held | None = None, *, force: bool = False) -> Decision:
        """Decide for one caller.

        Args:
            rejected: The token that the API refused, which is then not served again.
            force: Whether the caller wants a new one although the old one is fresh.

        Raises:
            SeicError: No token lives, and the last attempt failed so recently that the next has to wait.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        with self._lock:
            held = self.held
            if rejected is held:
                held.rejected = True
                held.renew_at = -math.inf
            freshness = held.freshness(now, wall)
            flight = self._flight_in_the_air()
            if not force and freshness is not Freshness.DEAD:
                if freshness is Freshness.FRESH:
                    return Decision(held)
                if freshness is Freshness.ADVISORY or self._bridges(self._error):
                    if flight is not None or now < self._retry_living_at:
                        return Decision(held)
                    self._flight = self._depart(ahead=True, force=False)
                    return Decision(held, self._flight, lead=True)
            if flight is not None:
                return Decision(None, flight)
            pause_ends = self._retry_dead_at if force or freshness is Freshness.DEAD else self._retry_living_at
            if self._error is not None and now < pause_ends:
                error = self._error.fresh()
            else:
                self._flight = self._depart(ahead=False, force=force)
                return Decision(None, self._flight, lead=True)
        raise error from error.__cause__

    def outcome(self, flight: Flight, *, force: bool = False) -> Held | None:
        """Return how a flight ended for one who waited: its token, or None where it was abandoned.

        A failure to reach the endpoint takes nobody down whose token still lives.

        Raises:
            SeicError: The flight failed; each caller gets an error of its own.
        """
        if flight.error is None:
            return flight.held
        held = self.held
        alive = held.freshness(self._clock.monotonic(), self._clock.wall()) is not Freshness.DEAD
        if alive and not force and self._bridges(flight.error):
            return held
        error = flight.error.fresh()
        raise error from error.__cause__

    def eager(self) -> bool:
        """Whether the endpoint is not known to be failing, so that one failed attempt may be repeated at once."""
        return self._failures == 0

    def landed(self, flight: Flight, held: Held) -> int:
        """Put a new token in hand and end the flight; return how many attempts had failed before it."""
        with self._lock:
            self._clear(flight)
            failures, self._failures, self._error = self._failures, 0, None
            self._retry_living_at = self._retry_dead_at = -math.inf
            self.held = held
            if flight.ahead:
                self._stats = attrs.evolve(self._stats, renewals_ahead=self._stats.renewals_ahead + 1)
        flight.land(held)
        return failures

    def failed(self, flight: Flight, error: SeicError) -> tuple[float, bool]:
        """Remember a failure and end the flight; return the pause in seconds, and whether a live token bridges it."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        with self._lock:
            self._clear(flight)
            self._failures += 1
            self._error = error
            living, dead = pauses(error, self._failures, self._chance())
            self._retry_living_at, self._retry_dead_at = now + living, now + dead
            serving = self.held.freshness(now, wall) is not Freshness.DEAD
        flight.fail(error)
        return (living if serving else dead), serving

    def abandoned(self, flight: Flight) -> None:
        """End a flight whose runner died, without counting it as a failure."""
        with self._lock:
            self._clear(flight)
        flight.abandon()

    def may_replace(self, rejected: Held) -> bool:
        """Whether a renewal can help after the API rejected this token.

        A token that was minted because its forerunner was rejected, and that the API never took either, shows that the
        token is not the trouble: renewals then pause, so that each call does not cost a token.
        """
        with self._lock:
            if rejected is not self.held or rejected.accepted or not rejected.after_rejection:
                self._fruitless = 0 if rejected.accepted else self._fruitless
                return True
            now = self._clock.monotonic()
            if now < self._fruitless_until:
                return False
            self._fruitless += 1
            self._fruitless_until = now + fruitless_pause(self._fruitless)
            return self._fruitless > 1

    def age(self) -> None:
        """Let the token in hand be renewed before the next call: what it was bound to has changed."""
        with self._lock:
            self.held.renew_at = self.held.must_renew_at = -math.inf

    def forget(self) -> None:
        """Drop the token in hand."""
        with self._lock:
            self.held = nothing_held()

    def count(self, *, requests: int = 0, failures: int = 0, replays: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            stats = self._stats
            self._stats = attrs.evolve(
                stats,
                token_requests=stats.token_requests + requests,
                token_failures=stats.token_failures + failures,
                replays=stats.replays + replays,
            )

    @property
    def stats(self) -> Stats:
        """The counters now."""
        return self._stats

    @property
    def flight(self) -> Flight | None:
        """The fetch under way, if any."""
        return self._flight

    def after_fork(self) -> None:
        """Begin anew in a forked child: the lock may have been held and the flight's runner stayed in the parent."""
        self._lock = threading.Lock()
        self._flight = None

    def _flight_in_the_air(self) -> Flight | None:
        flight = self._flight
        if flight is not None and flight.is_stranded():
            self._flight = None
            flight.abandon()
        return self._flight

    def _clear(self, flight: Flight) -> None:
        if self._flight is flight:
            self._flight = None

    @staticmethod
    def _bridges(error: SeicError | None) -> bool:
        """Whether a living token goes on serving over this error: all but a refusal, which will not pass by itself."""
        return error is not None and not isinstance(error, TokenRequestRefused)
