"""The steps of a fetch, as a generator without I/O, and the two thin shells that carry steps out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

import attrs
import httpx

from seic._errors import SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._events import Emit, TokenNotBound, TokenRequested
from seic._model.grant_parameters import GrantParameters
from seic._model.grants import AuthorizationCode, RefreshToken
from seic._model.token import Token
from seic._oauth.confirmation import check_confirmation
from seic._oauth.jwt import claims_of
from seic._oauth.next_grant import login_required, next_grant
from seic._oauth.redact import find_tracking_id
from seic._oauth.reply import Reply
from seic._runtime import sleep
from seic._tokens.backoff import EAGER_ATTEMPTS, repeat_in
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.keeping import PATIENCE, Keeper, Pause
from seic._tokens.lifeline import Lifeline
from seic._tokens.outcomes import fate_after, name_class, name_failure
from seic._tokens.sending import Sender, head_of
from seic._tokens.spending import Fate, Spending, Spendings

_T = TypeVar("_T")

#: A repetition needs this share of the fetch's time, or it would ask only to hang up on the answer.
_WORTHWHILE = 0.25
#: How often to look whether another process is through with a renewal, in seconds: up to so long, by chance.
_LOOK = 0.2


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


@attrs.frozen
class _Ask:
    """With what the next token is asked for.

    Args:
        grant: What asks.
        is_own: Whether that is the configured grant.
        fate: How the last spending of what it carries ended.
        login_id: The id of its login.
    """

    grant: GrantParameters
    is_own: bool
    fate: Fate
    login_id: str | None


@attrs.frozen(kw_only=True)
class Fetch:
    """One fetch: the store first, then the endpoint, repeated once where that may help.

    A refresh token, where there is one, asks before the grant does. It is spent once: whoever else is about to waits
    for how that ends; and where its reply was lost, the grant itself asks, or, if it cannot, the token in hand serves
    to its end before the refresh token is sent again. By then a provider that takes it for stolen has nothing to end.

    A stored token of an earlier login gives way to a code or refresh token in the grant that was never sent. Where the
    provider refuses that one, the stored token serves after all: the grant may be the older of the two.

    Args:
        endpoint: Where tokens come from.
        clock: The two clocks.
        chance: Returns a random number in [0, 1).
        count: Adds to the counters `requests` and `failures`.
        emit: Hears of each request.
        keeper: Where tokens are kept, or None.
        key: What the store keeps this token under.
        last: The token in hand, dead or alive, for its refresh token; None before the first.
        lives: Whether it still serves.
        spendings: Who spends which refresh token or code.
        spends: Hears of a spending that begins, to end it with the fetch.
    """

    endpoint: TokenEndpoint
    clock: Clock
    chance: Callable[[], float]
    count: Callable[..., None]
    emit: Emit
    keeper: Keeper | None
    key: str
    last: Token | None
    lives: bool
    spendings: Spendings
    spends: Callable[[Spending], None]

    def steps(self, *, eager: bool, is_usable: Callable[[Fetched], bool]) -> Steps[Fetched]:
        """Yield the steps and return what was had.

        Args:
            eager: Whether a failed attempt may be repeated at once.
            is_usable: Whether a stored token will do.

        Raises:
            SeicError: No token could be had.
        """
        with contextlib.ExitStack() as at_last:
            return (yield from self._steps(at_last, eager=eager, is_usable=is_usable))

    def _steps(
        self, at_last: contextlib.ExitStack, *, eager: bool, is_usable: Callable[[Fetched], bool]
    ) -> Steps[Fetched]:
        ends = self.clock.monotonic() + self.endpoint.timeout
        attempts = EAGER_ATTEMPTS if eager else 1
        last, refusal, refused, looks = self.last, None, False, True
        has_claim = self.keeper is None or not self.keeper.claims
        while True:
            if looks and (stored := (yield from self._look())) is not None:
                if is_usable(fetched := had_before(stored, self.clock)):
                    return fetched
                last = _newer(last, stored)
            looks = False
            ask = self._choose(last, refusal, refused=refused)
            if not has_claim and isinstance(ask.grant, RefreshToken):
                # Only a look after it tells what others did before it.
                has_claim, looks = (yield from self._claim(at_last, ends)), True
                continue
            request = self.endpoint.build(ask.grant, now=self.clock.wall())
            spending = None
            if (secret := ask.grant.single_use_secret) is not None:
                spending = yield from self._begin_spending(secret, ask.fate, ends)
                if spending is None:
                    looks = True
                    continue
                at_last.callback(spending.end)
            try:
                return (yield from self._ask(request, ask, last, spending, ends))
            except SeicError as error:
                # A fresh one, since the frames of the first hold the reply's body.
                failure, cause = error.fresh(), error.__cause__
            if spending is not None and isinstance(failure, TokenRequestRefused) and fate_after(failure) is Fate.SPENT:
                # Another process may have been faster; else the grant itself asks, unless it was just refused.
                refusal, refused, looks = failure, refused or ask.is_own, True
                continue
            attempts -= 1
            pause = repeat_in(failure, self.chance())
            left = ends - self.clock.monotonic()
            if attempts == 0 or pause is None or left - pause < _WORTHWHILE * self.endpoint.timeout:
                raise failure from cause
            yield Sleep(pause)

    def _claim(self, at_last: contextlib.ExitStack, ends: float) -> Steps[bool]:
        """Return whether this process is to spend the refresh token, for now; False after a moment."""
        assert self.keeper is not None  # noqa: S101  # who has none claims nothing; for the type checker
        # A moment more than a fetch may take, with a look into the store before it and a save after it.
        if (yield from self.keeper.claim(self.key, self.endpoint.timeout + 3 * PATIENCE)):
            at_last.callback(self.keeper.release, self.key)
            return True
        if self.clock.monotonic() >= ends:
            raise TokenEndpointUnavailable(
                f"{self.endpoint.host}: another process renews the token, and was not through with it in time"
            )
        yield Sleep(_LOOK * self.chance())
        return False

    def _begin_spending(self, secret: str, chosen_on: Fate, ends: float) -> Steps[Spending | None]:
        """Return the spending of a secret, or None once somebody else's has ended."""
        spending, is_ours = self.spendings.begin(secret)
        if is_ours and (fate := self.spendings.fate(secret)) is not chosen_on:
            # In another thread, since the choice.
            spending.end(fate)
            return None
        if is_ours:
            self.spends(spending)
            return spending
        yield Pause(spending.ended, max(0.0, ends - self.clock.monotonic()))
        if not spending.ended.is_set():
            raise TokenEndpointUnavailable(
                f"{self.endpoint.host}: another call that spends the same refresh token or code got no answer in time"
            )
        return None

    def _look(self) -> Steps[Token | None]:
        """Return what the store has, unless it came of another login than one that is yet to be carried out."""
        if self.keeper is None:
            return None
        stored = yield from self.keeper.load(self.key)
        configured = self.endpoint.grant
        if stored is None or (self._is_unspent(configured) and stored.login_id not in (None, configured.login_id)):
            return None
        return stored

    def _is_unspent(self, grant: GrantParameters) -> bool:
        secret = grant.single_use_secret
        return secret is not None and self.spendings.fate(secret) is Fate.UNSPENT

    def _choose(self, last: Token | None, refusal: TokenRequestRefused | None, *, refused: bool) -> _Ask:
        """Return with what to ask; `refused` says that the configured grant was refused in this fetch."""
        configured = self.endpoint.grant
        refresh_token = None if last is None else last.refresh_token
        fate = Fate.UNSPENT if refresh_token is None else self.spendings.fate(refresh_token)
        chosen = next_grant(
            configured,
            last,
            provider=self.endpoint.provider,
            now=self.clock.wall(),
            refresh_refused=fate is Fate.SPENT or (fate is Fate.IN_DOUBT and configured.is_repeatable),
            is_unused=self._is_unspent(configured) and (last is None or last.login_id != configured.login_id),
            refusal=refusal,
        )
        is_own = chosen is configured
        if is_own and refused and refusal is not None:
            if isinstance(configured, AuthorizationCode):
                raise refusal
            raise login_required("the provider refused the refresh token", refusal)
        grant, fate = chosen.resolve(), Fate.UNSPENT
        if (secret := grant.single_use_secret) is not None:
            fate = self.spendings.fate(secret)
            if fate is Fate.SPENT:
                what = (
                    "the refresh token or code that the callable returned"
                    if configured.is_repeatable
                    else "this refresh token or code"
                )
                raise login_required(f"{what} has already been used", refusal)
            if fate is Fate.IN_DOUBT and self.lives:
                raise TokenEndpointUnavailable(
                    f"{self.endpoint.host}: the answer to the last refresh was lost, and a second could end the token "
                    "in hand; it serves to its end, and then the refresh token is sent again"
                )
        return _Ask(grant, is_own, fate, grant.login_id if is_own or last is None else last.login_id)

    def _ask(
        self, request: httpx.Request, ask: _Ask, last: Token | None, spending: Spending | None, ends: float
    ) -> Steps[Fetched]:
        now, wall = self.clock.monotonic(), self.clock.wall()
        certificate = self.endpoint.certificate()
        self.count(requests=1)
        begun = now
        try:
            reply: Reply = yield Send(request, ends - now)
            if self.endpoint.should_resend(request, reply):
                header = self.endpoint.provider.tracking_header
                tracking_id = find_tracking_id(reply.headers, header, secrets=reply.secrets)
                self._tell("challenged", request, begun, tracking_id=tracking_id)
                self.count(requests=1)
                begun = self.clock.monotonic()
                request = self.endpoint.build(ask.grant, now=self.clock.wall())
                reply = yield Send(request, ends - begun)
            token = self.endpoint.parse(reply, obtained_at=wall, now=self.clock.wall())
            is_bound = check_confirmation(
                claims_of(token.access_token),
                provider=self.endpoint.provider,
                certificate=certificate,
                host=self.endpoint.host,
            )
        except SeicError as error:
            self.count(failures=1)
            self._tell(
                name_failure(error), request, begun, error=error, tracking_id=getattr(error, "tracking_id", None)
            )
            if spending is not None:
                spending.end(fate_after(error))
            raise
        self._tell("acquired", request, begun, tracking_id=token.tracking_id)
        if not is_bound:
            self.emit(TokenNotBound(host=self.endpoint.host, tracking_id=token.tracking_id))
        if token.refresh_token is not None:
            self.spendings.issued(token.refresh_token)
        kept = attrs.evolve(ask.grant.keep_refresh_token(token, previous=last), login_id=ask.login_id)
        if self.keeper is not None:
            saved = self.keeper.save(self.key, kept)
            if kept.refresh_token is not None and saved is not None:
                # The one before is forgotten only when this one is safe.
                yield Pause(saved, PATIENCE)
        if spending is not None:
            is_kept = isinstance(ask.grant, RefreshToken) and kept.refresh_token == ask.grant.refresh_token
            spending.end(Fate.UNSPENT if is_kept else Fate.SPENT)
        return Fetched(kept, now, wall)

    def _tell(
        self,
        outcome: str,
        request: httpx.Request,
        begun: float,
        *,
        error: SeicError | None = None,
        tracking_id: str | None = None,
    ) -> None:
        head = head_of(request)
        self.emit(
            TokenRequested(
                host=self.endpoint.host,
                outcome=outcome,
                status=None if head is None else head.status,
                took=self.clock.monotonic() - begun,
                error=None if error is None else name_class(error),
                http_version=None if head is None else head.version,
                tracking_id=tracking_id,
            )
        )


def had_before(token: Token, clock: Clock) -> Fetched:
    """Return a token that was asked for some time ago, by its own account."""
    # A clock set back since would make the token younger than new, so its age is at least nothing.
    age = max(0.0, clock.wall() - token.obtained_at)
    return Fetched(token, clock.monotonic() - age, clock.wall() - age, stored=True)


def _newer(one: Token | None, other: Token | None) -> Token | None:
    if one is None or other is None:
        return one or other
    return other if other.obtained_at > one.obtained_at else one


async def run_async(steps: Steps[_T], sender: Sender) -> _T:
    """Carry the steps out in an event loop."""
    result: Any = None
    error: SeicError | None = None
    # Closed at once, whatever ends it: what was sent and is unanswered is lost from here on.
    with contextlib.closing(steps):
        while True:
            try:
                step = steps.send(result) if error is None else steps.throw(error)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
            except SeicError as failure:
                error = failure
                break
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
    # A fresh one, since the frames of the first hold what was sent and what came back.
    raise error.fresh() from error.__cause__


def run_sync(steps: Steps[_T], sender: Sender, line: Lifeline) -> _T:
    """Carry the steps out in a thread that `line` can end.

    Raises:
        CallEnded: The line was cut.
    """
    result: Any = None
    error: SeicError | None = None
    with contextlib.closing(steps):
        while True:
            try:
                step = steps.send(result) if error is None else steps.throw(error)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
            except SeicError as failure:
                error = failure
                break
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
    # A fresh one, since the frames of the first hold what was sent and what came back.
    raise error.fresh() from error.__cause__
