"""The steps of one fetch, as a generator without I/O, and the two thin shells that carry them out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import attrs

from seic._errors import SeicError
from seic._events import Emit, StoreDegraded, TokenRequested
from seic._model.token import Token
from seic._runtime import in_thread, sleep
from seic._tokens.backoff import EAGER_ATTEMPTS, repeat_in
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.outcomes import name_failure
from seic._tokens.sending import Reply
from seic._tokens.store import TokenStore


@attrs.frozen
class Send:
    """A step: send a token request; its result is a `Reply`."""


@attrs.frozen
class Sleep:
    """A step: pause for `seconds`."""

    seconds: float


@attrs.frozen
class Ask:
    """A step: call the store; its result is what the call returns."""

    call: Callable[[], Any]
    blocking: bool


Steps = Generator[Send | Sleep | Ask, Any, "Fetched"]


@attrs.frozen
class Fetched:
    """What a fetch brought: the token, both clocks at the moment it was asked for, and whether a store had it."""

    token: Token
    now: float
    wall: float
    stored: bool = False


@attrs.frozen(kw_only=True)
class Fetch:
    """One fetch: the store first, then the endpoint, repeated once where that may help.

    Args:
        endpoint: Where tokens come from.
        clock: The two clocks.
        chance: Returns a random number in [0, 1).
        count: Adds to the counters `requests` and `failures`.
        emit: Hears of each request, and of a failing store.
        store: Where tokens are kept, or None.
        key: What the store keeps this token under.
    """

    endpoint: TokenEndpoint
    clock: Clock
    chance: Callable[[], float]
    count: Callable[..., None]
    emit: Emit
    store: TokenStore | None
    key: str

    def steps(self, *, eager: bool, is_usable: Callable[[Fetched], bool]) -> Steps:
        """Yield the steps and return what was had.

        Args:
            eager: Whether a failed attempt may be repeated at once.
            is_usable: Whether a stored token is worth serving.

        Raises:
            SeicError: No token could be had.
        """
        if self.store is not None:
            stored = yield from self._ask("load", self.store, self.store.load, self.key)
            fetched = self._as_fetched(stored)
            if fetched is not None and is_usable(fetched):
                return fetched
        fetched = yield from self._request(EAGER_ATTEMPTS if eager else 1)
        if self.store is not None:
            yield from self._ask("save", self.store, self.store.save, self.key, fetched.token)
        return fetched

    def _request(self, attempts: int) -> Generator[Send | Sleep, Any, Fetched]:
        while True:
            now, wall = self.clock.monotonic(), self.clock.wall()
            self.count(requests=1)
            status = None
            try:
                reply: Reply = yield Send()
                status = reply.status
                token = self.endpoint.parse(reply, obtained_at=wall, now=self.clock.wall())
            except SeicError as error:
                failure = error
            else:
                self._tell("acquired", status, now, token.tracking_id)
                return Fetched(token, now, wall)
            self._tell(name_failure(failure), status, now, getattr(failure, "tracking_id", None))
            self.count(failures=1)
            attempts -= 1
            pause = repeat_in(failure, self.chance())
            if attempts == 0 or pause is None:
                # A fresh one, since the frames of the first hold the reply's body.
                raise failure.fresh() from failure.__cause__
            yield Sleep(pause)

    def _tell(self, outcome: str, status: int | None, begun: float, tracking_id: str | None) -> None:
        self.emit(
            TokenRequested(
                host=self.endpoint.host,
                outcome=outcome,
                status=status,
                took=self.clock.monotonic() - begun,
                tracking_id=tracking_id,
            )
        )

    def _ask(self, operation: str, store: TokenStore, call: Callable[..., Any], *args: Any) -> Generator[Ask, Any, Any]:
        try:
            return (yield Ask(lambda: call(*args), store.blocking))
        except Exception as error:  # noqa: BLE001  # whatever a store throws costs a token call, never a request
            self.emit(StoreDegraded(operation=operation, problem=type(error).__name__))
            return None

    def _as_fetched(self, stored: object) -> Fetched | None:
        if stored is None:
            return None
        if not isinstance(stored, Token) or not stored.access_token:
            self.emit(StoreDegraded(operation="load", problem="what it holds is no token"))
            return None
        # A clock set back since would make the token younger than new, so its age is at least nothing.
        age = max(0.0, self.clock.wall() - stored.obtained_at)
        return Fetched(stored, self.clock.monotonic() - age, self.clock.wall() - age, stored=True)


async def run_async(steps: Steps, endpoint: TokenEndpoint) -> Fetched:
    """Carry the steps out in an event loop."""
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.send(result) if error is None else steps.throw(error)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
        result = error = None
        try:
            if isinstance(step, Send):
                result = await endpoint.send(endpoint.build())
            elif isinstance(step, Sleep):
                await sleep(step.seconds)
            else:
                result = await in_thread(step.call) if step.blocking else step.call()
        except Exception as failure:  # noqa: BLE001  # the steps decide what a failure means
            error = failure


def run_sync(steps: Steps, endpoint: TokenEndpoint) -> Fetched:
    """Carry the steps out in a thread."""
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.send(result) if error is None else steps.throw(error)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
        result = error = None
        try:
            if isinstance(step, Send):
                result = endpoint.send_sync(endpoint.build())
            elif isinstance(step, Sleep):
                time.sleep(step.seconds)
            else:
                result = step.call()
        except Exception as failure:  # noqa: BLE001  # the steps decide what a failure means
            error = failure
