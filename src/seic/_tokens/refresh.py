"""One refresh: the store first, then the token endpoint, repeated once if that may help; and what becomes of it.

`RefreshRunner.refresh` is one coroutine for asyncio and trio. It runs in a task of its own, its callers
wait for the `PendingRefresh`, and the `TokenCache` takes the result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
import attrs

from seic._concurrency import UserCodeExitError, was_cancelled
from seic._errors import SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._event_types import (
    TokenAcquired,
    TokenEndpointDown,
    TokenEndpointRecovered,
    TokenRefreshEnded,
    TokenRefreshStarted,
    TokenRefused,
)
from seic._model.grant_parameters import GrantParameters
from seic._model.grants import RefreshToken
from seic._model.token import Token
from seic._oauth.next_grant import login_required, next_grant
from seic._tokens.backoff import FIRST_SHARE, WORTHWHILE_SHARE, retry_delay, use_state_after
from seic._tokens.cache import PendingRefresh, TokenCache
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.refresh_policy import CachedToken, Freshness, RefreshPolicy
from seic._tokens.refused_credentials import RefusedCredentials
from seic._tokens.shared_state import SharedState
from seic._tokens.single_use import SingleUse, SingleUseMemory, UseState
from seic._tokens.store_guard import PATIENCE, StoreGuard
from seic._tokens.token_result import Choice, TokenResult, newer, obtained_before

#: The first and the longest pause before the next look whether another process has finished its refresh, in seconds.
_LOOK_FIRST, _LOOK_MAX = 0.01, 0.2


@attrs.frozen(kw_only=True, eq=False)
class RefreshRunner:
    """Runs the refreshes of one configuration.

    A refresh token, if there is one, is used before the grant. It is sent once: another caller that is about to send it
    waits for the result. If its reply was lost, the grant itself is used; if that works only once as well, the current
    token is used to its end before the refresh token is sent again. By then a provider that takes it for stolen has
    nothing to revoke.

    A stored token of an earlier login gives way to a code or refresh token in the grant that was never sent. If the
    provider refuses that one, the stored token is used after all: the grant may be the older of the two.

    Most arguments are those of `CachingTokenSource`; `limit` is the seconds for a refresh, the store included.
    """

    endpoint: TokenEndpoint
    cache: TokenCache
    guard: StoreGuard | None
    refused: RefusedCredentials
    shared: SharedState
    memory: SingleUseMemory
    policy: RefreshPolicy
    idle_lifetime: float | None
    store_key: Callable[[str | None], str]
    identity: Callable[[], str | None]
    limit: float
    chance: Callable[[], float]

    # Events come before the waiters continue, so that listeners hear of it first.

    async def refresh(self, pending: PendingRefresh) -> None:
        """Run a refresh to its end; raises nothing but a cancellation."""
        host, emit, clock = self.endpoint.host, self.endpoint.emit, self.endpoint.clock
        begun = clock.monotonic()
        if await self._ends_early(pending):
            return
        result: CachedToken | SeicError | None = None
        emit(TokenRefreshStarted(host=host, refresh_id=pending.refresh_id, ahead=pending.ahead))
        try:
            if pending.force:
                # All who force at one moment share it, even if it needs no turn of the loop.
                await anyio.lowlevel.checkpoint()
            identity = self.identity()
            key = "" if self.guard is None else self.store_key(identity)
            with contextlib.ExitStack() as at_last:
                # The time until another process has finished is not this request's.
                obtained = await self._claimed(pending, key, at_last)
                if obtained is None:
                    obtained = await self._requested(pending, key, at_last)
            result = self._succeeded(pending, obtained, identity)
        except BaseException as error:
            # Anything else must reach the waiters, or they would start refreshes for ever.
            if isinstance(error, KeyboardInterrupt) or was_cancelled(error):
                raise
            result = self.failed(pending, error)
        finally:
            if result is not None:
                self.cache.finish(pending, result)
            else:
                self.cache.abandon(pending)
            emit(
                TokenRefreshEnded(
                    host=host,
                    refresh_id=pending.refresh_id,
                    outcome=pending.outcome,
                    took=clock.monotonic() - begun,
                    tracking_id=pending.ended_by,
                )
            )

    def to_cache(self, obtained: TokenResult, refresh_id: int = 0) -> CachedToken:
        """Return a token with its deadlines."""
        cached = CachedToken(
            obtained.token,
            now=obtained.now,
            wall=obtained.wall,
            policy=self.policy,
            idle_lifetime=self.idle_lifetime,
            chance=self.chance(),
            refresh_id=0 if obtained.stored else refresh_id,
            scheme=self.endpoint.provider.authorization_scheme,
        )
        if obtained.stored:
            self.shared.apply(cached)
        return cached

    def failed(self, pending: PendingRefresh, error: BaseException) -> SeicError | None:
        """Remember a failure and report it; return the error for the waiters, None if the refresh was given up."""
        host = self.endpoint.host
        if isinstance(error, TimeoutError):
            failure: SeicError = TokenEndpointUnavailable(
                f"{host}: the token endpoint gave no answer within {self.limit:g} s"
            )
        elif isinstance(error, SeicError):
            # A fresh one, because the frames of the first hold what was sent and what came back.
            failure = error.fresh()
        else:
            # A user's callable. Its message may hold anything, so only its class is named.
            kind = str(error) if isinstance(error, UserCodeExitError) else type(error).__name__
            failure = TokenEndpointUnavailable(f"{host}: the token request failed with {kind}")
        if (verdict := self.cache.fail(pending, failure)) is None:
            return None
        pause, is_valid = verdict
        if isinstance(failure, TokenRequestRefused):
            refused = TokenRefused(host=host, status=failure.status, code=failure.code, tracking_id=pending.ended_by)
            self.endpoint.emit(refused)
        else:
            self.endpoint.emit(
                TokenEndpointDown(
                    host=host,
                    problem=failure.message,
                    retry_in=pause,
                    serving=is_valid,
                    reason=getattr(failure, "reason", None),
                    tracking_id=pending.ended_by,
                )
            )
        return failure

    def _succeeded(self, pending: PendingRefresh, obtained: TokenResult, identity: str | None) -> CachedToken | None:
        cached = self.to_cache(obtained, pending.refresh_id)
        if self.guard is not None and self.guard.has_claims:
            cached.mark_checked(self.endpoint.clock.monotonic())
        if (failures := self.cache.settle(pending, cached, stored=obtained.stored)) is None:
            return None
        if identity != self.identity():
            self.cache.expire_soon()
        host, tracking_id = self.endpoint.host, obtained.token.tracking_id
        if failures:
            self.endpoint.emit(TokenEndpointRecovered(host=host, failures=failures, tracking_id=tracking_id))
        if not obtained.stored:
            self.endpoint.emit(
                TokenAcquired(
                    host=host,
                    expires_in=obtained.token.expires_in,
                    took=self.endpoint.clock.monotonic() - obtained.now,
                    ahead=pending.ahead,
                    tracking_id=tracking_id,
                )
            )
        return cached

    async def _requested(self, pending: PendingRefresh, key: str, at_last: contextlib.ExitStack) -> TokenResult:
        try:
            with anyio.fail_after(self.limit):
                return await self._obtain(pending, key, at_last)
        except (TimeoutError, SeicError):
            # If this process was frozen for longer than its claim, another has requested a token.
            if (obtained := await self._shared(pending, key)) is None:
                raise
            return obtained

    async def _shared(self, pending: PendingRefresh, key: str) -> TokenResult | None:
        """Return the token of another process, if there is a usable one."""
        if self.guard is None or not self.guard.has_claims or (stored := await self._look(key)) is None:
            return None
        obtained = obtained_before(stored, self.endpoint.clock)
        return obtained if self._is_usable(pending, obtained) else None

    async def _obtain(self, pending: PendingRefresh, key: str, at_last: contextlib.ExitStack) -> TokenResult:
        endpoint, clock = self.endpoint, self.endpoint.clock
        ends = clock.monotonic() + endpoint.timeout
        attempts = pending.attempts
        last = self.cache.token.token if self.cache.token.token.access_token else None
        refusal: TokenRequestRefused | None = None
        is_own_refused, looks = False, True
        while True:
            if looks and (stored := await self._look(key)) is not None:
                if self._is_usable(pending, obtained := obtained_before(stored, clock)):
                    return obtained
                last = newer(last, stored)
            looks = False
            choice = await endpoint.off_loop(self._choose, last, refusal, is_own_refused)
            check = partial(self.refused.check, key)
            request = await endpoint.prepare(choice.grant, is_own=choice.is_own, check=check)
            use = None
            if choice.secret is not None:
                if (use := await self._begin_use(choice.secret, choice.state, ends)) is None:
                    looks = True
                    continue
                pending.sends(use)
                at_last.callback(use.end)
            now, wall = clock.monotonic(), clock.wall()
            first = ends if attempts == 1 else min(ends, now + FIRST_SHARE * endpoint.timeout)
            request.extensions["timeout"] = {"connect": first - now}
            # A code or refresh token is not sent twice: if nothing can replace it, its answer has all the time.
            latest = first if use is None or endpoint.grant.is_repeatable else ends
            try:
                token = await endpoint.request(request, choice.grant, ends=latest, count=self.cache.count)
                return TokenResult(await self._save(token, choice, last, use, key), now, wall)
            except SeicError as error:
                # A fresh one, because the frames of the first hold the reply's body.
                failure, state = error.fresh(), use_state_after(error)
            # A refusal that is not clearly about the refresh token moves on to a grant that can be repeated.
            ends_use = state is UseState.USED or (
                state is UseState.UNKNOWN and endpoint.grant.is_repeatable and not choice.is_own
            )
            if use is not None:
                use.end(state)
            if use is not None and isinstance(failure, TokenRequestRefused) and ends_use:
                # Another process may have been faster; else the grant itself is used, unless it was just refused.
                refusal, is_own_refused, looks = failure, is_own_refused or choice.is_own, True
                continue
            attempts -= 1
            pause = retry_delay(failure, self.chance())
            left = ends - clock.monotonic()
            if attempts == 0 or pause is None or left - pause < WORTHWHILE_SHARE * endpoint.timeout:
                is_own = choice.is_own and choice.secret is None
                await self.refused.note(key, failure, endpoint.secrets_digest, is_own=is_own)
                raise failure from failure.__cause__
            await anyio.sleep(pause)

    async def _save(self, token: Token, choice: Choice, last: Token | None, use: SingleUse | None, key: str) -> Token:
        """Save a new token with the refresh token that stays valid, and return it."""
        if token.refresh_token is not None:
            self.memory.issued(token.refresh_token)
        kept = token
        if isinstance(choice.grant, RefreshToken) or choice.login_id is not None:
            kept = attrs.evolve(choice.grant.keep_refresh_token(token, previous=last), login_id=choice.login_id)
        if self.guard is not None:
            await self.guard.save(key, kept)
        if use is not None:
            is_kept = isinstance(choice.grant, RefreshToken) and kept.refresh_token == choice.grant.refresh_token
            use.end(UseState.UNUSED if is_kept else UseState.USED)
        return kept

    def _is_usable(self, pending: PendingRefresh, stored: TokenResult) -> bool:
        if pending.force or stored.token.access_token == self.cache.token.token.access_token:
            return False
        clock = self.endpoint.clock
        return self.to_cache(stored).freshness(clock.monotonic(), clock.wall()) is Freshness.FRESH

    async def _ends_early(self, pending: PendingRefresh) -> bool:
        """Whether nothing is requested: the token in use is in the store, or the refused secrets are the same."""
        token = self.cache.token
        try:
            if pending.refusal is not None:
                with anyio.fail_after(self.limit):
                    if await self.endpoint.has_new_secret():
                        self.cache.forget_refusal()
                        return False
            else:
                if self.guard is None or pending.force or not token.token.access_token:
                    return False
                if not await self.shared.confirms(self.store_key(self.identity()), token):
                    return False
        except BaseException as error:
            if not isinstance(error, Exception) or was_cancelled(error):
                self.cache.abandon(pending)
                raise
            if pending.refusal is None:
                return False
        self.cache.keep(pending)
        return True

    async def _claimed(self, pending: PendingRefresh, key: str, at_last: contextlib.ExitStack) -> TokenResult | None:
        """Wait for the claim to request a token; return the token of another process if that was faster."""
        if self.guard is None or not self.guard.has_claims:
            return None
        clock, pause = self.endpoint.clock, _LOOK_FIRST
        # More than a refresh may take, with a look into the store before it and a save after it.
        seconds = self.endpoint.timeout + 3 * PATIENCE
        ends = clock.monotonic() + seconds + 2 * PATIENCE
        await self.shared.read(key)
        while True:
            if (obtained := await self._shared(pending, key)) is not None:
                return obtained
            if is_ours := await self.guard.claim(key, seconds):
                at_last.callback(self.guard.release, key)
            if self.endpoint.grant.is_repeatable and self.cache.token.token.refresh_token is None:
                await self.refused.check(key)
            if is_ours:
                return None
            if clock.monotonic() >= ends:
                raise TokenEndpointUnavailable(
                    f"{self.endpoint.host}: another process is refreshing the token, and did not finish in time"
                )
            pending.extend(pause + 2 * PATIENCE)
            await anyio.sleep(pause * (1 + self.chance()) / 2)
            pause = min(2 * pause, _LOOK_MAX)

    async def _begin_use(self, secret: str, chosen_on: UseState, ends: float) -> SingleUse | None:
        """Return the use of a secret, or None once another caller's has ended."""
        use, is_ours = self.memory.begin(secret)
        if is_ours:
            if (state := self.memory.state(secret)) is chosen_on:
                return use
            # Another thread has used it since the choice.
            use.end(state)
        elif not await use.ended.wait(max(0.0, ends - self.endpoint.clock.monotonic())):
            raise TokenEndpointUnavailable(
                f"{self.endpoint.host}: another caller is sending the same refresh token or code, and got no answer "
                "in time"
            )
        return None

    async def _look(self, key: str) -> Token | None:
        """Return the stored token, unless it came of another login than one that is yet to be used."""
        if self.guard is None:
            return None
        stored = await self.guard.load(key)
        grant = self.endpoint.grant
        is_other = stored is None or (self._is_unused(grant) and stored.login_id not in (None, grant.login_id))
        return None if is_other else stored

    def _is_unused(self, grant: GrantParameters) -> bool:
        secret = grant.single_use_secret
        return secret is not None and self.memory.state(secret) is UseState.UNUSED

    def _choose(self, last: Token | None, refusal: TokenRequestRefused | None, is_own_refused: bool) -> Choice:  # noqa: FBT001  # called through a thread
        """Return the grant of the next request; `is_own_refused` tells that the configured one was refused."""
        configured, wall = self.endpoint.grant, self.endpoint.clock.wall()
        refresh_token = None if last is None else last.refresh_token
        if refresh_token is None and refusal is None and self.endpoint.has_plain_grant:
            if (reason := configured.login_required_reason(wall)) is not None:
                raise login_required(reason)
            return Choice(configured, is_own=True)
        state = UseState.UNUSED if refresh_token is None else self.memory.state(refresh_token)
        chosen = next_grant(
            configured,
            last,
            provider=self.endpoint.provider,
            now=wall,
            refresh_refused=state is UseState.USED or (state is UseState.UNKNOWN and configured.is_repeatable),
            is_unused=self._is_unused(configured) and (last is None or last.login_id != configured.login_id),
            refusal=refusal,
        )
        is_own = chosen is configured
        if is_own and is_own_refused and refusal is not None:
            from seic._model.login_grants import AuthorizationCode

            if isinstance(configured, AuthorizationCode):
                raise refusal
            raise login_required("the provider refused the refresh token", refusal)
        grant, state = chosen.resolve(), UseState.UNUSED
        if (secret := grant.single_use_secret) is not None:
            state = self.memory.state(secret)
            if state is UseState.USED:
                what = "the refresh token or code that the callable returned"
                if not configured.is_repeatable:
                    what = "this refresh token or code"
                raise login_required(f"{what} has already been used", refusal)
            if state is UseState.UNKNOWN and self.cache.valid_token() is not None:
                raise TokenEndpointUnavailable(
                    f"{self.endpoint.host}: the answer to the last refresh was lost, and a second could end the token "
                    "in hand; it is used to its end, and then the refresh token is sent again"
                )
        return Choice(grant, is_own, secret, state, grant.login_id if is_own or last is None else last.login_id)
