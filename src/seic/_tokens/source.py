"""The source of tokens: one fetch for all who ask, in tasks, threads and event loops alike.

What to do is decided in `state`, and carried out in `piloting`; here callers wait.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from seic._errors import TokenError, TokenRequestRefused
from seic._events import Emit, Event
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.introspection import require_token_info
from seic._runtime import survive_fork
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import Doomed, TokenEndpoint
from seic._tokens.errands import description, revocation
from seic._tokens.fetch import Fetch, Fetched, Steps, had_before, run_async, run_sync
from seic._tokens.flight import Flight
from seic._tokens.held import Freshness, Held, Windows
from seic._tokens.keeping import PATIENCE, Keeper
from seic._tokens.lifeline import Lifeline
from seic._tokens.piloting import Pilot
from seic._tokens.spending import spendings_of
from seic._tokens.state import Serve, TokenState
from seic._tokens.stats import Stats
from seic._tokens.store import TokenStore
from seic._tokens.waiting import Waiting

#: How much longer than by its own deadlines a fetch may take before its waiters give it up, in seconds: only one whose
#: runner is stuck comes that far, in a name server's silence or beside code that blocks its event loop.
_GRACE = 1.0
#: The longest that closing waits for background work to end, in seconds.
_CLOSING = 1.0
_UNAUTHORIZED = 401


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
        #: What is yet to be revoked.
        self._doomed: list[Doomed] = []
        self._spendings = spendings_of(endpoint.client_id)
        self._key = key or (lambda thumbprint: thumbprint or "")
        self._identity = identity
        self._emit = emit
        self._chance = chance
        self._pilot = Pilot(
            state=self.state,
            endpoint=endpoint,
            steps=self._steps,
            hold=self._hold,
            identity=identity,
            emit=emit,
            clock=clock,
        )
        if (token := endpoint.grant.existing_token) is not None:
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
        try:
            while True:
                decision = self.state.decide(after=after)
                if isinstance(decision, Serve):
                    if decision.start is not None:
                        self._pilot.launch(decision.start, blocking=False)
                    return decision.held
                flight = decision.flight
                with self._waiting_for(flight):
                    if decision.start:
                        self._pilot.launch(flight, blocking=False)
                    while not (ended := await flight.wait_async(decision.patience)) and decision.patience is None:
                        self._pilot.look_after(flight)
                if ended and (held := self.state.outcome(flight, after=after)) is not None:
                    return held
        except BaseException:
            # Nothing is left behind that was decided on and not started, whatever interrupts the caller.
            self.state.hand_over()
            raise

    def obtain_sync(self, *, force: bool = False) -> Held:
        """Return a token with its deadlines, blocking; see `obtain`.

        Inside the very event loop that fetches it cannot wait, which would be waiting for itself: it goes on with a
        token that still lives, or else makes a request of its own, unless what asks can be sent once only.
        """
        after = self.state.number_to_force() if force else 0
        try:
            while True:
                decision = self.state.decide(after=after)
                if isinstance(decision, Serve):
                    if decision.start is not None:
                        self._pilot.launch(decision.start, blocking=True)
                    return decision.held
                flight = decision.flight
                if flight.is_here() and not flight.ended:
                    if (held := self._give_up(flight, after=after)) is not None:
                        return held
                    continue
                with self._waiting_for(flight):
                    if decision.start:
                        self._pilot.launch(flight, blocking=True)
                    while not (ended := flight.wait(decision.patience)) and decision.patience is None:
                        self._pilot.look_after(flight)
                if ended and (held := self.state.outcome(flight, after=after)) is not None:
                    return held
        except BaseException:
            # Nothing is left behind that was decided on and not started, whatever interrupts the caller.
            self.state.hand_over()
            raise

    async def revoke(self) -> None:
        """End the life of the token in hand, or else of the stored one; there may be none.

        A fetch under way is waited for, and what it brings is ended too. The token is dropped here and in the store
        first, so that no call takes it up while the provider is told. What it gave no answer to is sent again with the
        next revocation.

        Raises:
            TokenError: The provider did not end it.
            ConfigurationError: The provider has no way to.
        """
        before = self.state.held
        while True:
            while (flight := self.state.flight) is not None:
                if not await flight.wait_async():
                    self._pilot.look_after(flight)
            if await run_async(self._revocation(before), self.endpoint.sender):
                return

    def revoke_sync(self) -> None:
        """End the life of the token in hand or in the store, blocking; see `revoke`.

        Raises:
            TokenError: As there; or this blocks the very event loop that fetches, and so cannot wait for it.
        """
        before = self.state.held
        while True:
            while (flight := self.state.flight) is not None:
                if flight.is_here():
                    raise self._cannot_wait()
                if not flight.wait():
                    self._pilot.look_after(flight)
            if run_sync(self._revocation(before), self.endpoint.sender, Lifeline()):
                return

    async def token_info(self) -> TokenInfo:
        """Ask the provider what a live token is good for; the token is had first if need be.

        One that was ended elsewhere is renewed, as after a call of the API that it is rejected in.

        Raises:
            ConfigurationError: The provider has no call that describes a token.
            TokenError: No token could be had, or the provider did not describe it.
        """
        # Before a token is asked for.
        require_token_info(self.endpoint.provider)
        held = await self.obtain()
        try:
            return await run_async(self._description(held), self.endpoint.sender)
        except TokenRequestRefused as error:
            if not self._may_renew(held, error):
                raise
        return await run_async(self._description(await self.obtain()), self.endpoint.sender)

    def token_info_sync(self) -> TokenInfo:
        """Ask the provider what a live token is good for, blocking; see `token_info`."""
        require_token_info(self.endpoint.provider)
        held = self.obtain_sync()
        try:
            return run_sync(self._description(held), self.endpoint.sender, Lifeline())
        except TokenRequestRefused as error:
            if not self._may_renew(held, error):
                raise
        return run_sync(self._description(self.obtain_sync()), self.endpoint.sender, Lifeline())

    def renew(self) -> None:
        """Have the token renewed before the next call: what it was bound to has changed."""
        self.state.age()

    async def aclose(self) -> None:
        """End background work; a fetch that somebody waits for has a moment to end by itself.

        Whoever waits beyond that gets an error, and nothing is asked for anew on their behalf.
        """
        if (flight := self.state.flight) is not None:
            try:
                if flight.is_wanted:
                    await flight.wait_async(_CLOSING)
            finally:
                flight.close()
            if not await flight.wait_async(_CLOSING):
                self.state.abandon(flight)
        if self._keeper is not None:
            for latch in self._keeper.closing():
                await latch.wait_async(_CLOSING)

    def close(self) -> None:
        """End background work, blocking; see `aclose`."""
        if (flight := self.state.flight) is not None:
            try:
                if flight.is_wanted and not flight.is_here():
                    flight.wait(_CLOSING)
            finally:
                flight.close()
            if not flight.is_here() and not flight.wait(_CLOSING):
                self.state.abandon(flight)
        if self._keeper is not None:
            for latch in self._keeper.closing():
                latch.wait(_CLOSING)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.state.after_fork()
        self._spendings.after_fork()
        if self._keeper is not None:
            self._keeper.after_fork()

    def _depart(self, *, ahead: bool, force: bool) -> Flight:
        patience = self.endpoint.timeout + PATIENCE + _GRACE
        return Flight(host=self.endpoint.host, ahead=ahead, force=force, patience=patience)

    def _give_up(self, flight: Flight, *, after: int) -> Held | None:
        """Return a living token for a caller in whose way its own event loop's flight is; None where that is ended."""
        if (held := self.state.living(after=after)) is not None:
            return held
        if flight.is_spending:
            raise self._cannot_wait()
        self.state.abandon(flight)
        return None

    def _cannot_wait(self) -> TokenError:
        return TokenError(
            f"{self.endpoint.host}: this event loop is fetching a token, and a blocking call inside it cannot wait for "
            "that, nor ask a second time; make the call with await, or in a thread"
        )

    def _waiting_for(self, flight: Flight) -> Waiting:
        return Waiting(flight, host=self.endpoint.host, clock=self.clock, emit=self._emit)

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

    def _description(self, held: Held) -> Steps[TokenInfo]:
        return description(self.endpoint, held.token, self.clock, self._emit)

    def _may_renew(self, held: Held, error: TokenRequestRefused) -> bool:
        """Whether a description was refused over the token that it was asked for with, and a new one may mend that."""
        # RFC 7662 authenticates the client there (§2.1), and tells of a dead token in a good answer.
        if error.status != _UNAUTHORIZED or self.endpoint.provider.token_info_url is None:
            return False
        if not self.state.may_replace(held):
            return False
        held.reject()
        return True

    def _revocation(self, before: Held) -> Steps[bool]:
        key = self._key(self._identity())
        return revocation(self.endpoint, self.state, self._keeper, key, self.clock, before=before, doomed=self._doomed)

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
