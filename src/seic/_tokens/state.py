"""What a source knows, and what follows from it: serve, renew ahead, fetch, wait, or fail. No I/O, no waiting.

All state that changes stands here beside the one lock that guards it; the lock is held for a few comparisons, never
while anything is awaited.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import get_ident
from typing import Protocol

import attrs

from seic._errors import SeicError
from seic._runtime import Lock
from seic._tokens.backoff import AT_ONCE, cut_off_pause, fruitless_pause, is_refusal, pauses
from seic._tokens.clock import Clock
from seic._tokens.flight import Flight, take_number
from seic._tokens.held import Freshness, Held, nothing_held
from seic._tokens.stats import Stats


@attrs.frozen
class Serve:
    """Go on with this token; and start this fetch in the background, where there is one."""

    held: Held
    start: Flight | None = None


@attrs.frozen
class Wait:
    """Wait for this fetch, having started it if that falls to the caller; after `patience` seconds decide anew."""

    flight: Flight
    start: bool = False
    #: None is no limit: there is no token to go on with.
    patience: float | None = None


#: How long callers wait for a fetch while the token in hand still lives, in seconds: several times what an endpoint
#: takes that is well.
_PATIENCE = 1.0


class Depart(Protocol):
    """Makes the flight for a fetch that begins."""

    def __call__(self, *, ahead: bool, force: bool) -> Flight:
        """Return a flight that renews ahead or not, and passes over the store or not."""
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
        self._lock = Lock()
        self._flight: Flight | None = None
        self._error: SeicError | None = None
        self._failures = self._refusals = 0
        self._retry_living_at = -math.inf
        self._retry_dead_at = -math.inf
        self._cut_off = 0
        self._fruitless = 0
        self._fruitless_until = -math.inf
        self._landed_at = -math.inf
        self._stats = Stats()

    def number_to_force(self) -> int:
        """Return the number that a flight must have, or exceed, to bring a token to a caller who wants a new one."""
        flight = self._flight
        # All who force at one moment share a flight.
        return flight.number if flight is not None and flight.force else take_number()

    def decide(self, *, after: int = 0) -> Serve | Wait:
        """Decide for one caller.

        Args:
            after: The caller wants a token that no flight before this number asked for; 0 takes any.

        Raises:
            SeicError: No token lives, and the last attempt failed so recently that the next has to wait.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        with self._lock:
            held = self.held
            freshness = held.freshness(now, wall) if held.asked >= after else Freshness.DEAD
            flight = self._flight_in_the_air()
            if freshness is Freshness.FRESH:
                return Serve(held)
            if freshness is Freshness.ADVISORY or (freshness is Freshness.MANDATORY and self._bridges(self._error)):
                if flight is not None or now < self._retry_living_at:
                    return Serve(held)
                return Serve(held, self._begin(now, ahead=True, force=False))
            if start := flight is None:
                if self._error is not None and now < self._retry_dead_at:
                    error = self._error.fresh()
                    raise error from error.__cause__
                flight = self._begin(now, ahead=False, force=after > 0)
            if freshness is Freshness.DEAD:
                return Wait(flight, start)
            if now < flight.tries_patience_at:
                return Wait(flight, start, flight.tries_patience_at - now)
            return Serve(held, flight if start else None)

    def outcome(self, flight: Flight, *, after: int = 0) -> Held | None:
        """Return how a flight ended for one who waited: a token, or None where it is to be decided anew.

        Args:
            flight: What was waited for.
            after: As of `decide`.

        Raises:
            SeicError: The flight failed; each caller gets an error of its own.
        """
        if flight.error is None:
            return flight.held if flight.held is not None and flight.held.asked >= after else None
        if self._bridges(flight.error):
            if (held := self.living(after=after)) is not None:
                return held
            if flight.ahead and not flight.closed:
                return None
        error = flight.error.fresh()
        raise error from error.__cause__

    def eager(self) -> bool:
        """Whether the endpoint is not known to be failing, so that one failed attempt may be repeated at once."""
        return self._failures == 0

    def landed(self, flight: Flight, held: Held) -> int | None:
        """Put a new token in hand.

        Returns:
            How many attempts had failed before it; None where the flight had been given up, and the token with it.
        """
        now = self._clock.monotonic()
        with self._lock:
            if not self._clear(flight):
                return None
            failures, self._failures, self._error = self._failures, 0, None
            self._refusals = self._cut_off = 0
            self._retry_living_at = self._retry_dead_at = -math.inf
            replaces_rejected = self.held.rejected and bool(self.held.token.access_token)
            is_row = replaces_rejected and now - self._landed_at < AT_ONCE
            self._fruitless = self._fruitless + 1 if is_row else 0
            self._fruitless_until = now + fruitless_pause(self._fruitless)
            self._landed_at = now
            self.held = held
            if flight.ahead:
                self._stats = attrs.evolve(self._stats, renewals_ahead=self._stats.renewals_ahead + 1)
        return failures

    def failed(self, flight: Flight, error: SeicError) -> tuple[float, bool] | None:
        """Remember a failure.

        Returns:
            The pause in seconds and whether a live token bridges it; None where the flight had been given up.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        with self._lock:
            if not self._clear(flight):
                return None
            self._failures += 1
            self._refusals += is_refusal(error)
            self._error = error
            # An outage before it says nothing of how often credentials were sent that are no good.
            row = self._refusals if is_refusal(error) else self._failures
            pause = pauses(error, failures=row, ahead=flight.ahead, chance=self._chance())
            self._retry_living_at, self._retry_dead_at = now + pause.living, now + pause.dead
            serving = self.held.freshness(now, wall) is not Freshness.DEAD
        return (pause.living if serving else pause.dead), serving

    def abandon(self, flight: Flight) -> None:
        """Give a flight up without counting it as a failure: whoever waits for it starts anew."""
        with self._lock:
            self._give_up(flight)
        flight.abandon()

    def hand_over(self) -> None:
        """Give up the flight that the caller's thread has decided on and not started: it was interrupted."""
        with self._lock:
            flight = self._flight
            is_ours = flight is not None and flight.job is None and flight.begun_by == get_ident()
        if flight is not None and is_ours:
            self.abandon(flight)

    def living(self, *, after: int = 0) -> Held | None:
        """Return the token in hand if it lives, for one who cannot wait for a newer; see `decide` for `after`."""
        held = self.held
        lives = held.freshness(self._clock.monotonic(), self._clock.wall()) is not Freshness.DEAD
        return held if lives and held.asked >= after else None

    def may_replace(self, rejected: Held) -> bool:
        """Whether a renewal can help after the API rejected this token.

        Where the API rejects a token at once that took the place of one rejected at once, tokens are not the trouble,
        whatever other calls it takes them for: renewals then pause, or each call of that kind would cost a token.
        """
        return rejected is not self.held or self._clock.monotonic() >= self._fruitless_until

    def age(self) -> None:
        """Let the token in hand be renewed before the next call: what it was bound to has changed."""
        with self._lock:
            self.held.age()
            if self._error is not None and is_refusal(self._error):
                # It may have been the old identity that was refused.
                self._error = None
                self._retry_living_at = self._retry_dead_at = -math.inf

    def forget(self, held: Held) -> bool:
        """Drop a token; return False, and drop nothing, where another has taken its place or is on its way."""
        with self._lock:
            if self.held is not held or self._flight_in_the_air() is not None:
                return False
            self.held = nothing_held()
            return True

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
        """Begin anew in a forked child: the flight's runner stayed in the parent."""
        self._flight = None

    def _begin(self, now: float, *, ahead: bool, force: bool) -> Flight:
        flight = self._flight = self._depart(ahead=ahead, force=force)
        # Half of what is left, at most: a call needs the rest for its own way.
        flight.tries_patience_at = min(now + _PATIENCE, (now + self.held.ends_at) / 2)
        return flight

    def _flight_in_the_air(self) -> Flight | None:
        flight = self._flight
        if flight is not None and flight.is_stranded():
            self._give_up(flight)
            flight.abandon()
        return self._flight

    def _give_up(self, flight: Flight) -> None:
        if self._clear(flight) and flight.ahead and flight.job is not None:
            # Where each call has an event loop of its own, each one would begin a renewal that ends with it.
            self._cut_off += 1
            self._retry_living_at = self._clock.monotonic() + cut_off_pause(self._cut_off, self._chance())

    def _clear(self, flight: Flight) -> bool:
        """Take a flight down; return whether it was in the air."""
        if self._flight is not flight:
            return False
        self._flight = None
        return True

    def _bridges(self, error: SeicError | None) -> bool:
        """Whether a living token goes on serving over this error: a refusal will not pass by itself.

        Where it is the wall clock alone that wants a renewal, it may just have been set.
        """
        if error is not None and is_refusal(error):
            return self._clock.monotonic() < self.held.must_renew_at
        return error is not None
