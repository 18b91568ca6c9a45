"""The source of tokens: one fetch for all who ask, in tasks, threads and event loops alike.

What to do is decided in `state`, how a fetch goes in `fetch`; here callers wait, and fetches are started and settled.
"""

from __future__ import annotations

import contextlib
import random
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
from seic._model.token_info import TokenInfo
from seic._oauth.renewal import given_token
from seic._runtime import start_async, start_thread, survive_fork, was_cancelled
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.errands import description, revocation
from seic._tokens.fetch import Fetch, Fetched, Steps, had_before, run_async, run_sync
from seic._tokens.flight import Flight
from seic._tokens.held import Freshness, Held, Windows
from seic._tokens.keeping import PATIENCE, Keeper
from seic._tokens.lifeline import CallEnded, Lifeline
from seic._tokens.spending import spendings_of
from seic._tokens.state import Serve, TokenState
from seic._tokens.stats import Stats
from seic._tokens.store import TokenStore

#: How much longer than by its own deadlines a fetch may take before its waiters give it up, in seconds: only one whose
#: runner is stuck comes that far, in a name server's silence or beside code that blocks its event loop.
_GRACE = 1.0
#: The longest that closing waits for background work to end, in seconds.
_CLOSING = 1.0


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
        self._keeper = None if store is None else Keeper(store, emit=emit, clock=clock)
        self._spendings = spendings_of(endpoint.grant if store is None else store)
        self._key = key or (lambda thumbprint: thumbprint or "")
        self._identity = identity
        self._emit = emit
        self._chance = chance
        if (token := given_token(endpoint.grant)) is not None:
            self.state.held = self._hold(had_before(token, clock))
        survive_fork(self)

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
            force: Fetch a new one although the old one is fresh. Credentials that were just refused are not sent again
                for that.

        Raises:
            TokenError: No token could be had.
            CertificateError: The client certificate cannot work.
        """
        return (await self.obtain(force=force)).token

    def token_sync(self, *, force: bool = False) -> Token:
        """Return a live token, blocking; see `token`."""
        return self.obtain_sync(force=force).token

    async def obtain(self, *, force: bool = False) -> Held:
        """Return a token with its deadlines; see `token`."""
        after = self.state.number_to_force() if force else 0
        while True:
            decision = self.state.decide(after=after)
            if isinstance(decision, Serve):
                if decision.start is not None:
                    self._launch(decision.start, blocking=False)
                return decision.held
            flight = decision.flight
            with self._waiting_for(flight):
                if decision.start:
                    self._launch(flight, blocking=False)
                while not await flight.wait_async():
                    self._look_after(flight)
            if (held := self.state.outcome(flight, after=after)) is not None:
                return held

    def obtain_sync(self, *, force: bool = False) -> Held:
        """Return a token with its deadlines, blocking; see `obtain`."""
        after = self.state.number_to_force() if force else 0
        while True:
            decision = self.state.decide(after=after)
            if isinstance(decision, Serve):
                if decision.start is not None:
                    self._launch(decision.start, blocking=True)
                return decision.held
            flight = decision.flight
            with self._waiting_for(flight):
                if decision.start:
                    self._launch(flight, blocking=True)
                elif flight.is_here():
                    # A blocking call inside the event loop that fetches: waiting for it would be waiting for oneself.
                    self.state.abandon(flight)
                while not flight.wait():
                    self._look_after(flight)
            if (held := self.state.outcome(flight, after=after)) is not None:
                return held

    async def revoke(self) -> None:
        """End the life of the token in hand, or else of the stored one; there may be none.

        It is dropped here and in the store first, so that no call takes it up while the provider is told.

        Raises:
            TokenError: The provider did not end it.
            ConfigurationError: The provider has no way to.
        """
        await run_async(self._revocation(), self.endpoint.sender)

    def revoke_sync(self) -> None:
        """End the life of the token in hand or in the store, blocking; see `revoke`."""
        run_sync(self._revocation(), self.endpoint.sender, Lifeline())

    async def token_info(self) -> TokenInfo:
        """Ask the provider what a live token is good for; the token is had first if need be.

        Raises:
            ConfigurationError: The provider has no call that describes a token.
            TokenError: No token could be had, or the provider did not describe it.
        """
        return await run_async(
            description(self.endpoint, await self.token(), self.clock, self._emit), self.endpoint.sender
        )

    def token_info_sync(self) -> TokenInfo:
        """Ask the provider what a live token is good for, blocking; see `token_info`."""
        return run_sync(
            description(self.endpoint, self.token_sync(), self.clock, self._emit), self.endpoint.sender, Lifeline()
        )

    def renew(self) -> None:
        """Have the token renewed before the next call: what it was bound to has changed."""
        self.state.age()

    async def aclose(self) -> None:
        """End background work; whoever still waits for a fetch starts it anew."""
        if (flight := self.state.flight) is not None:
            if flight.is_spending:
                await flight.wait_async(_CLOSING)
            flight.cancel()
            await flight.wait_async(_CLOSING)
        if self._keeper is not None and (pending := self._keeper.pending) is not None:
            await pending.wait_async(_CLOSING)

    def close(self) -> None:
        """End background work, blocking; see `aclose`."""
        if (flight := self.state.flight) is not None:
            if flight.is_spending and not flight.is_here():
                flight.wait(_CLOSING)
            flight.cancel()
            if not flight.is_here():
                flight.wait(_CLOSING)
        if self._keeper is not None and (pending := self._keeper.pending) is not None:
            pending.wait(_CLOSING)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.state.after_fork()
        self._spendings.after_fork()
        if self._keeper is not None:
            self._keeper.after_fork()

    def _depart(self, *, ahead: bool, force: bool) -> Flight:
        patience = self.endpoint.timeout + PATIENCE + _GRACE
        return Flight(host=self.endpoint.host, ahead=ahead, force=force, patience=patience)

    def _launch(self, flight: Flight, *, blocking: bool) -> None:
        def ended() -> None:
            # Cancelled, or its loop is going: whoever waits takes over.
            if not flight.ended:
                self.state.abandon(flight)

        try:
            if blocking:
                line = Lifeline()
                flight.job = start_thread(lambda: self._fly_sync(flight, line), ended=ended, cancel=line.cut)
            else:
                flight.job = start_async(lambda: self._fly_async(flight), ended=ended)
        except BaseException:
            ended()
            raise

    def _look_after(self, flight: Flight) -> None:
        """Bury a flight whose runner has died, and fail one that has taken longer than it ever may."""
        if flight.is_stranded():
            self.state.abandon(flight)
        elif (error := flight.overdue()) is not None:
            self._failed(flight, error)
            flight.cancel()

    async def _fly_async(self, flight: Flight) -> None:
        with self._flying(flight):
            try:
                identity = self._identity()
                self._landed(flight, await run_async(self._steps(flight, identity), self.endpoint.sender), identity)
            except BaseException as error:
                # Whoever waits must hear of anything, or would start anew for ever.
                if isinstance(error, KeyboardInterrupt) or was_cancelled(error):
                    raise
                self._failed(flight, error)

    def _fly_sync(self, flight: Flight, line: Lifeline) -> None:
        with self._flying(flight):
            try:
                identity = self._identity()
                self._landed(flight, run_sync(self._steps(flight, identity), self.endpoint.sender, line), identity)
            except CallEnded:
                pass
            except BaseException as error:  # noqa: BLE001  # as above; a thread of ours has nobody to interrupt it
                self._failed(flight, error)

    @contextlib.contextmanager
    def _flying(self, flight: Flight) -> Iterator[None]:
        host, begun = self.endpoint.host, self.clock.monotonic()
        self._emit(TokenFetchBegun(host=host, fetch=flight.number, ahead=flight.ahead))
        try:
            yield
        finally:
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

    def _steps(self, flight: Flight, identity: str | None) -> Steps[Fetched]:
        def is_usable(stored: Fetched) -> bool:
            if flight.force or stored.token.access_token == self.state.held.token.access_token:
                return False
            return self._freshness(self._hold(stored)) is Freshness.FRESH

        fetch = Fetch(
            endpoint=self.endpoint,
            clock=self.clock,
            chance=self._chance,
            count=self.state.count,
            emit=self._emit,
            keeper=self._keeper,
            key=self._key(identity),
            last=self.state.held.token if self.state.held.token.access_token else None,
            lives=self._freshness(self.state.held) is not Freshness.DEAD,
            spendings=self._spendings,
            spends=flight.spends,
        )
        return fetch.steps(eager=self.state.eager() and not flight.ahead, is_usable=is_usable)

    def _revocation(self) -> Steps[None]:
        return revocation(self.endpoint, self.state, self._keeper, self._key(self._identity()), self.clock)

    # Events come before the callers go on, so that whoever listens knows first.

    def _landed(self, flight: Flight, fetched: Fetched, identity: str | None) -> None:
        held = self._hold(fetched)
        held.asked = 0 if fetched.stored else flight.number
        if (failures := self.state.landed(flight, held)) is None:
            return
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
        flight.land(held, stored=fetched.stored)

    def _failed(self, flight: Flight, error: BaseException) -> None:
        host = self.endpoint.host
        if not isinstance(error, SeicError):
            # A callback of the user's. Its words may hold anything, so only its kind is named.
            error = TokenEndpointUnavailable(f"{host}: the token request failed with {type(error).__name__}")
        # A fresh one, since the frames of the first hold what was under way.
        error = error.fresh()
        if (verdict := self.state.failed(flight, error)) is None:
            return
        pause, serving = verdict
        tracking_id = getattr(error, "tracking_id", None)
        if isinstance(error, TokenRequestRefused):
            self._emit(TokenRefused(host=host, status=error.status, code=error.code, tracking_id=tracking_id))
        else:
            self._emit(
                TokenEndpointDown(
                    host=host, problem=error.message, retry_in=pause, serving=serving, tracking_id=tracking_id
                )
            )
        flight.fail(error)

    def _hold(self, fetched: Fetched) -> Held:
        return Held(
            fetched.token,
            now=fetched.now,
            wall=fetched.wall,
            windows=self._windows,
            idle_lifetime=self._idle_lifetime,
            chance=self._chance(),
        )

    def _freshness(self, held: Held) -> Freshness:
        return held.freshness(self.clock.monotonic(), self.clock.wall())
