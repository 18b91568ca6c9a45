"""The steps of a fetch, as a generator without I/O, and the two thin shells that carry steps out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

import attrs
import httpx

from seic._errors import SeicError
from seic._events import Emit, TokenRequested
from seic._model.token import Token
from seic._runtime import sleep
from seic._tokens.backoff import EAGER_ATTEMPTS, repeat_in
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.keeping import Keeper, Pause
from seic._tokens.lifeline import Lifeline
from seic._tokens.outcomes import name_failure
from seic._tokens.sending import Reply, Sender

_T = TypeVar("_T")

#: A repetition needs this share of the fetch's time, or it would ask only to hang up on the answer.
_WORTHWHILE = 0.25


@attrs.frozen
class Send:
    """A step: send a request, within `seconds`; its result is a `Reply`."""

    request: httpx.Request
    seconds: float


@attrs.frozen
class Sleep:
    """A step: pause for `seconds`."""

    seconds: float


Step: TypeAlias = "Send | Sleep | Pause"
Steps: TypeAlias = Generator[Step, Any, _T]


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
        emit: Hears of each request.
        keeper: Where tokens are kept, or None.
        key: What the store keeps this token under.
    """

    endpoint: TokenEndpoint
    clock: Clock
    chance: Callable[[], float]
    count: Callable[..., None]
    emit: Emit
    keeper: Keeper | None
    key: str

    def steps(self, *, eager: bool, is_usable: Callable[[Fetched], bool]) -> Steps[Fetched]:
        """Yield the steps and return what was had.

        Args:
            eager: Whether a failed attempt may be repeated at once.
            is_usable: Whether a stored token will do.

        Raises:
            SeicError: No token could be had.
        """
        ends = self.clock.monotonic() + self.endpoint.timeout
        if self.keeper is not None:
            stored = yield from self.keeper.load(self.key)
            if stored is not None and is_usable(fetched := self._since(stored)):
                return fetched
        fetched = yield from self._request(EAGER_ATTEMPTS if eager else 1, ends)
        if self.keeper is not None:
            self.keeper.save(self.key, fetched.token)
        return fetched

    def _request(self, attempts: int, ends: float) -> Steps[Fetched]:
        while True:
            request = self.endpoint.build()
            now, wall = self.clock.monotonic(), self.clock.wall()
            self.count(requests=1)
            status = None
            try:
                reply: Reply = yield Send(request, ends - now)
                status = reply.status
                token = self.endpoint.parse(reply, obtained_at=wall, now=self.clock.wall())
            except SeicError as error:
                failure = error
            else:
                self._tell("acquired", status, now, token.tracking_id)
                return Fetched(token, now, wall)
            self.count(failures=1)
            self._tell(name_failure(failure), status, now, getattr(failure, "tracking_id", None))
            attempts -= 1
            pause = repeat_in(failure, self.chance())
            left = ends - self.clock.monotonic()
            if attempts == 0 or pause is None or left - pause < _WORTHWHILE * self.endpoint.timeout:
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

    def _since(self, stored: Token) -> Fetched:
        # A clock set back since would make the token younger than new, so its age is at least nothing.
        age = max(0.0, self.clock.wall() - stored.obtained_at)
        return Fetched(stored, self.clock.monotonic() - age, self.clock.wall() - age, stored=True)


async def run_async(steps: Steps[_T], sender: Sender) -> _T:
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
                result = await sender.send(step.request, step.seconds)
            elif isinstance(step, Sleep):
                await sleep(step.seconds)
            else:
                await step.latch.wait_async(step.seconds)
        except SeicError as failure:
            error = failure


def run_sync(steps: Steps[_T], sender: Sender, line: Lifeline) -> _T:
    """Carry the steps out in a thread that `line` can end.

    Raises:
        CallEnded: The line was cut.
    """
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
                result = sender.send_sync(step.request, step.seconds, line)
            elif isinstance(step, Sleep):
                line.sleep(step.seconds)
            else:
                step.latch.wait(step.seconds)
        except SeicError as failure:
            error = failure
