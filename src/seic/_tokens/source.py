"""The source of tokens: one fetch for all who ask, in tasks, threads and event loops alike.

What to do is decided in `state`, how a fetch goes in `fetch`; here callers wait, and fetches are started and settled.
"""

from __future__ import annotations

import contextlib
import os
import random
import weakref
from collections.abc import Callable, Iterator

from seic._errors import SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._events import (
    Emit,
    Event,
    TokenAcquired,
    TokenEndpointBack,
    TokenEndpointDown,
    TokenFetchBegun,
    TokenFetchEnded,
    TokenRefused,
    TokenWaitBegun,
    TokenWaitEnded,
)
from seic._model.token import Token
from seic._runtime import start_async, start_thread
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.fetch import Fetch, Fetched, Steps, run_async, run_sync
from seic._tokens.flight import Flight
from seic._tokens.held import Freshness, Held, Windows
from seic._tokens.sending import free_of_secrets
from seic._tokens.state import TokenState
from seic._tokens.stats import Stats
from seic._tokens.store import TokenStore

_sources: weakref.WeakSet[TokenSource] = weakref.WeakSet()


def _ignore(_event: Event) -> None:
    pass


class TokenSource:
    """Gives a token to whoever asks, with one request for all of them.

    Args:
        endpoint: Where tokens come from.
        windows: When to renew ahead.
        idle_lifetime: Seconds after which an unused token is dead; None for no such limit.
        store: Where tokens are kept beyond this source; None keeps them here alone.
        key: Gives the store's key for the thumbprint of the certificate in use.
        identity: Gives the thumbprint of the certificate in use, or None.
        emit: Hears events.
        clock: The two clocks.
        chance: Gives a random number in [0, 1).
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        *,
        windows: Windows | None = None,
        idle_lifetime: float | None = None,
        store: TokenStore | None = None,
        key: Callable[[str | None], str] | None = None,
        identity: Callable[[], str | None] = lambda: None,
        emit: Emit = _ignore,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.clock = clock
        self.endpoint = endpoint
        self.state = TokenState(clock=clock, chance=chance, depart=self._depart)
        self._windows = windows or Windows()
        self._idle_lifetime = idle_lifetime
        self._store = store
        self._key = key or (lambda thumbprint: thumbprint or "")
        self._identity = identity
        self._emit = emit
        self._chance = chance
        _sources.add(self)

    @property
    def stats(self) -> Stats:
        """The counters now."""
        return self.state.stats

    @property
    def current(self) -> Token | None:
        """The token in hand if it lives, else None; looking at it fetches nothing and is no use of it."""
        held = self.state.held
        return None if self._freshness(held) is Freshness.DEAD else held.token

    async def token(self, *, force: bool = False) -> Token:
        """Return a live token, fetched or renewed if need be.

        Args:
            force: Fetch a new one although the old one is fresh.

        Raises:
            TokenError: No token could be had.
            CertificateError: The client certificate cannot work.
        """
        return (await self.obtain(force=force)).token

    def token_sync(self, *, force: bool = False) -> Token:
        """Return a live token, blocking; see `token`."""
        return self.obtain_sync(force=force).token

    async def obtain(self, *, rejected: Held | None = None, force: bool = False) -> Held:
        """Return a token with its deadlines; never the `rejected` one."""
        while True:
            decision = self.state.decide(rejected, force=force)
            if decision.held is not None:
                if decision.lead and decision.flight is not None:
                    self._launch(decision.flight, blocking=False)
                return decision.held
            if decision.flight is not None:
                with self._waiting_for(decision.flight):
                    if decision.lead:
                        self._launch(decision.flight, blocking=False)
                    while not await decision.flight.wait_async():
                        self._look_after(decision.flight)
                if (held := self.state.outcome(decision.flight, force=force)) is not None:
                    return held

    def obtain_sync(self, *, rejected: Held | None = None, force: bool = False) -> Held:
        """Return a token with its deadlines, blocking; see `obtain`."""
        while True:
            decision = self.state.decide(rejected, force=force)
            if decision.held is not None:
                if decision.lead and decision.flight is not None:
                    self._launch(decision.flight, blocking=True)
                return decision.held
            if decision.flight is not None:
                with self._waiting_for(decision.flight):
                    if decision.lead:
                        self._launch(decision.flight, blocking=True)
                    while not decision.flight.wait():
                        self._look_after(decision.flight)
                if (held := self.state.outcome(decision.flight, force=force)) is not None:
                    return held

    def renew(self) -> None:
        """Have the token renewed before the next call: what it was bound to has changed."""
        self.state.age()

    def cancel_background(self) -> None:
        """End a fetch under way; whoever still waits for it starts anew."""
        flight = self.state.flight
        if flight is not None and flight.job is not None:
            flight.job.cancel()

    def _depart(self, *, ahead: bool, force: bool) -> Flight:
        # Two attempts, the pause between them, and slack for a store: beyond that whatever ran it must be gone.
        patience = 3 * self.endpoint.sender.timeout + 5
        return Flight(host=self.endpoint.host, ahead=ahead, force=force, patience=patience)

    def _launch(self, flight: Flight, *, blocking: bool) -> None:
        try:
            if blocking:
                flight.job = start_thread(lambda: self._fly_sync(flight))
            else:
                flight.job = start_async(lambda: self._fly_async(flight))
        except BaseException:
            self.state.abandoned(flight)
            raise

    def _look_after(self, flight: Flight) -> None:
        """Bury a flight whose runner has died, and fail one that has taken longer than it ever may."""
        if flight.is_stranded():
            self.state.abandoned(flight)
        elif (error := flight.overdue()) is not None:
            self._failed(flight, error)

    async def _fly_async(self, flight: Flight) -> None:
        identity = self._identity()
        with self._flying(flight):
            try:
                self._landed(flight, await run_async(self._steps(flight, identity), self.endpoint), identity)
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of anything
                self._failed(flight, error)

    def _fly_sync(self, flight: Flight) -> None:
        identity = self._identity()
        with self._flying(flight):
            try:
                self._landed(flight, run_sync(self._steps(flight, identity), self.endpoint), identity)
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of anything
                self._failed(flight, error)

    @contextlib.contextmanager
    def _flying(self, flight: Flight) -> Iterator[None]:
        host, begun = self.endpoint.host, self.clock.monotonic()
        self._emit(TokenFetchBegun(host=host, fetch=flight.number, ahead=flight.ahead))
        try:
            yield
        finally:
            # Cancelled, or its loop has gone: whoever waits takes over.
            if not flight.ended:
                self.state.abandoned(flight)
            self._emit(
                TokenFetchEnded(
                    host=host,
                    fetch=flight.number,
                    outcome=flight.outcome,
                    took=self.clock.monotonic() - begun,
                    tracking_id=flight.tracking_id,
                )
            )

    @contextlib.contextmanager
    def _waiting_for(self, flight: Flight) -> Iterator[None]:
        host, begun = self.endpoint.host, self.clock.monotonic()
        self._emit(TokenWaitBegun(host=host, fetch=flight.number))
        try:
            yield
        finally:
            self._emit(TokenWaitEnded(host=host, fetch=flight.number, took=self.clock.monotonic() - begun))

    def _steps(self, flight: Flight, identity: str | None) -> Steps:
        def is_usable(stored: Fetched) -> bool:
            known = self.state.held.token.access_token == stored.token.access_token
            held = self._hold(stored)
            return not flight.force and not known and self._freshness(held) is Freshness.FRESH

        fetch = Fetch(
            endpoint=self.endpoint,
            clock=self.clock,
            chance=self._chance,
            count=self.state.count,
            emit=self._emit,
            store=self._store,
            key=self._key(identity),
        )
        return fetch.steps(eager=self.state.eager() and not flight.ahead, is_usable=is_usable)

    def _landed(self, flight: Flight, fetched: Fetched, identity: str | None) -> None:
        flight.stored = fetched.stored
        failures = self.state.landed(flight, self._hold(fetched))
        if identity != self._identity():
            self.renew()
        host = self.endpoint.host
        if failures:
            self._emit(TokenEndpointBack(host=host, failures=failures, tracking_id=fetched.token.tracking_id))
        if not fetched.stored:
            self._emit(
                TokenAcquired(
                    host=host,
                    expires_in=fetched.token.expires_in,
                    took=self.clock.monotonic() - fetched.now,
                    ahead=flight.ahead,
                    tracking_id=fetched.token.tracking_id,
                )
            )

    def _failed(self, flight: Flight, error: Exception) -> None:
        if not isinstance(error, SeicError):
            # A callback or a transport of the user's. Its words may hold anything, so only its kind is named.
            cause = free_of_secrets(error)
            kind = type(cause).__name__
            error = TokenEndpointUnavailable(f"{self.endpoint.host}: the token request failed with {kind}")
            error.__cause__ = cause
        pause, serving = self.state.failed(flight, error)
        host, tracking_id = self.endpoint.host, getattr(error, "tracking_id", None)
        if isinstance(error, TokenRequestRefused):
            self._emit(TokenRefused(host=host, status=error.status, code=error.code, tracking_id=tracking_id))
        else:
            self._emit(
                TokenEndpointDown(
                    host=host, problem=error.message, retry_in=pause, serving=serving, tracking_id=tracking_id
                )
            )

    def _hold(self, fetched: Fetched) -> Held:
        return Held(
            fetched.token,
            now=fetched.now,
            wall=fetched.wall,
            windows=self._windows,
            idle_lifetime=self._idle_lifetime,
            chance=self._chance(),
            after_rejection=self.state.held.rejected,
        )

    def _freshness(self, held: Held) -> Freshness:
        return held.freshness(self.clock.monotonic(), self.clock.wall())


def _after_fork() -> None:
    for source in list(_sources):
        source.state.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
