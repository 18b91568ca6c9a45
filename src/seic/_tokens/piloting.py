"""How a fetch is carried out: started beside its caller, settled in the state, and told of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import attrs

from seic._errors import SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._events import (
    Emit,
    TokenAcquired,
    TokenEndpointDown,
    TokenEndpointRecovered,
    TokenRefreshEnded,
    TokenRefreshStarted,
    TokenRefused,
)
from seic._runtime import start_async, start_thread, was_cancelled
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.fetch import Fetched, Steps, run_async, run_sync
from seic._tokens.flight import Flight
from seic._tokens.held import Held
from seic._tokens.lifeline import CallEnded, Lifeline
from seic._tokens.state import TokenState


@attrs.frozen(kw_only=True, eq=False)
class Pilot:
    """Flies the flights of one source.

    Args:
        state: Where each is settled.
        endpoint: Where tokens come from.
        steps: Gives the steps of a flight for the thumbprint of the certificate in use.
        hold: Gives what was fetched its deadlines.
        identity: Gives the thumbprint of the certificate in use, or None.
        emit: Hears of each flight.
        clock: The two clocks.
    """

    _state: TokenState = attrs.field(alias="state")
    _endpoint: TokenEndpoint = attrs.field(alias="endpoint")
    _steps: Callable[[Flight, str | None], Steps[Fetched]] = attrs.field(alias="steps")
    _hold: Callable[[Fetched], Held] = attrs.field(alias="hold")
    _identity: Callable[[], str | None] = attrs.field(alias="identity")
    _emit: Emit = attrs.field(alias="emit")
    _clock: Clock = attrs.field(alias="clock")

    def launch(self, flight: Flight, *, blocking: bool) -> None:
        """Start a flight: in a thread of its own for a blocking caller, else in the caller's event loop."""

        def ended() -> None:
            # Cancelled, or its loop is going: whoever waits takes over.
            if not flight.ended:
                self._state.abandon(flight)

        try:
            if blocking:
                line = Lifeline()
                flight.job = start_thread(lambda: self._fly_sync(flight, line), ended=ended, cancel=line.cut)
            else:
                flight.job = start_async(lambda: self._fly_async(flight), ended=ended)
        except BaseException:
            ended()
            raise

    def look_after(self, flight: Flight) -> None:
        """Bury a flight whose runner has died, and fail one that has taken longer than it ever may."""
        if flight.is_stranded():
            self._state.abandon(flight)
        elif (error := flight.overdue()) is not None:
            self._failed(flight, error)
            flight.cancel()

    async def _fly_async(self, flight: Flight) -> None:
        with self._flying(flight):
            try:
                identity = self._identity()
                self._landed(flight, await run_async(self._steps(flight, identity), self._endpoint.sender), identity)
            except BaseException as error:
                # Whoever waits must hear of anything, or would start anew for ever.
                if isinstance(error, KeyboardInterrupt) or was_cancelled(error):
                    raise
                self._failed(flight, error)

    def _fly_sync(self, flight: Flight, line: Lifeline) -> None:
        with self._flying(flight):
            try:
                identity = self._identity()
                self._landed(flight, run_sync(self._steps(flight, identity), self._endpoint.sender, line), identity)
            except CallEnded:
                pass
            except BaseException as error:  # noqa: BLE001  # as above; a thread of ours has nobody to interrupt it
                self._failed(flight, error)

    @contextlib.contextmanager
    def _flying(self, flight: Flight) -> Iterator[None]:
        begun = self._clock.monotonic()
        self._emit(TokenRefreshStarted(host=self._endpoint.host, refresh_id=flight.number, ahead=flight.ahead))
        try:
            yield
        finally:
            self._emit(
                TokenRefreshEnded(
                    host=self._endpoint.host,
                    refresh_id=flight.number,
                    outcome=flight.outcome,
                    took=self._clock.monotonic() - begun,
                    tracking_id=flight.tracking_id,
                )
            )

    # Events come before the callers go on, so that whoever listens knows first.

    def _landed(self, flight: Flight, fetched: Fetched, identity: str | None) -> None:
        held = self._hold(fetched)
        held.asked = 0 if fetched.stored else flight.number
        if (failures := self._state.landed(flight, held)) is None:
            return
        if identity != self._identity():
            self._state.age()
        if failures:
            self._emit(
                TokenEndpointRecovered(
                    host=self._endpoint.host, failures=failures, tracking_id=fetched.token.tracking_id
                )
            )
        if not fetched.stored:
            self._emit(
                TokenAcquired(
                    host=self._endpoint.host,
                    expires_in=fetched.token.expires_in,
                    took=self._clock.monotonic() - fetched.now,
                    ahead=flight.ahead,
                    tracking_id=fetched.token.tracking_id,
                )
            )
        flight.land(held, stored=fetched.stored)

    def _failed(self, flight: Flight, error: BaseException) -> None:
        if not isinstance(error, SeicError):
            # A callback of the user's. Its words may hold anything, so only its kind is named.
            error = TokenEndpointUnavailable(
                f"{self._endpoint.host}: the token request failed with {type(error).__name__}"
            )
        # A fresh one, since the frames of the first hold what was under way.
        error = error.fresh()
        if (verdict := self._state.failed(flight, error)) is None:
            return
        pause, serving = verdict
        tracking_id = getattr(error, "tracking_id", None)
        if isinstance(error, TokenRequestRefused):
            self._emit(
                TokenRefused(host=self._endpoint.host, status=error.status, code=error.code, tracking_id=tracking_id)
            )
        else:
            self._emit(
                TokenEndpointDown(
                    host=self._endpoint.host,
                    problem=error.message,
                    retry_in=pause,
                    serving=serving,
                    tracking_id=tracking_id,
                )
            )
        flight.fail(error)
