"""The source of tokens: callers of any kind get the cached token, or wait for one refresh that they share.

`cache` decides what a caller does, `refresh` runs the request; here callers wait, and the blocking methods submit the
async ones to the portal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from seic._errors import TokenError, TokenRequestRefused
from seic._event_types import TokenWaitEnded, TokenWaitStarted
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._portal import run, start
from seic._tokens.cache import PendingRefresh, TokenCache
from seic._tokens.endpoint import PendingRevocation, TokenEndpoint
from seic._tokens.exchange import without_frames
from seic._tokens.refresh import RefreshRunner
from seic._tokens.refresh_policy import CachedToken, Freshness, RefreshPolicy
from seic._tokens.refused_credentials import RefusedCredentials
from seic._tokens.shared_state import SharedState
from seic._tokens.single_use import SingleUseMemory
from seic._tokens.store import TokenStore
from seic._tokens.store_guard import PATIENCE, StoreGuard
from seic._tokens.token_result import obtained_before

_T = TypeVar("_T")

#: The time by which a refresh may exceed its own deadlines before its waiters give it up, in seconds: only one whose
#: event loop is blocked takes so long.
_GRACE = 1.0
#: The interval at which a waiter in another event loop checks that the refresh's task is alive, in seconds: up to twice
#: as long, by chance, so that a thousand waiters do not check at one moment.
_CHECK = 0.25
#: The longest that closing waits for background work to end, in seconds.
_CLOSING = 1.0
_UNAUTHORIZED = 401
#: The name of a description of the token among the requests that the API rejects.
_TOKEN_INFO = "token_info"


class CachingTokenSource:
    """Gives a token to any caller, with one request for all of them.

    Args:
        endpoint: The token endpoint.
        policy: When to refresh.
        idle_lifetime: Seconds after which an unused token expires; None for no such limit.
        store: Keeps tokens beyond this source; None for memory only.
        store_key: Returns the store's key for the thumbprint of the certificate in use.
        identity: Returns the thumbprint of the certificate in use, or None; it may block once, in a blocking caller.
        memory: The single-use secrets that were sent, shared with others of the same login; None is its own.
        chance: Returns a random number in [0, 1).
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        *,
        policy: RefreshPolicy | None = None,
        idle_lifetime: float | None = None,
        store: TokenStore | None = None,
        store_key: Callable[[str | None], str] = lambda thumbprint: thumbprint or "",
        identity: Callable[[], str | None] = lambda: None,
        memory: SingleUseMemory | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint
        self.clock = clock = endpoint.clock
        self._limit = limit = endpoint.timeout + PATIENCE + _GRACE
        self.cache = TokenCache(
            host=endpoint.host, clock=clock, chance=chance, limit=limit, follows_secrets=endpoint.follows_secrets
        )
        self._guard = None if store is None else StoreGuard(store, emit=endpoint.emit, clock=clock)
        self._memory = memory or SingleUseMemory()
        self._memory.add_user(self)
        self._pending_revocations: list[PendingRevocation] = []
        self._runner = RefreshRunner(
            endpoint=endpoint,
            cache=self.cache,
            guard=self._guard,
            refused=RefusedCredentials(guard=self._guard, clock=clock, host=endpoint.host),
            shared=SharedState(guard=self._guard, clock=clock, idle_lifetime=idle_lifetime, dpop=endpoint.dpop),
            memory=self._memory,
            policy=policy or RefreshPolicy(),
            idle_lifetime=idle_lifetime,
            store_key=store_key,
            identity=identity,
            limit=limit,
            chance=chance,
        )
        if (token := endpoint.grant.existing_token) is not None:
            self.cache.start_with(self._runner.to_cache(obtained_before(token, clock)))

    @property
    def current(self) -> Token | None:
        """The token if it is valid, else None; reading it sends nothing and does not count as a use."""
        token = self.cache.valid_token()
        return None if token is None else token.token

    async def token(self, *, force: bool = False) -> Token:
        """Return a valid token, and request one if necessary; see `OAuth2Auth.token`."""
        return (await self.get(force=force)).token

    def token_sync(self, *, force: bool = False) -> Token:
        """Return a valid token; the blocking twin of `token`."""
        return self.get_sync(force=force).token

    async def get(self, *, force: bool = False) -> CachedToken:
        """Return a token with its deadlines; see `token`."""
        cache = self.cache
        after = cache.next_refresh_id() if force else 0
        try:
            while True:
                token, pending, starts, seconds = cache.acquire(after=after)
                if pending is None:
                    return token or cache.token
                if token is not None:
                    self._start(pending)
                    return token
                begun, waiter = self.clock.monotonic(), object()
                host, refresh_id = self.endpoint.host, pending.refresh_id
                self.endpoint.emit(TokenWaitStarted(host=host, refresh_id=refresh_id))
                pending.waiting.add(waiter)
                try:
                    if starts:
                        self._start(pending)
                    if seconds is None and pending.is_here:
                        done = await pending.future.wait()
                    else:
                        done = await self._wait(pending, seconds)
                finally:
                    pending.waiting.discard(waiter)
                    took = self.clock.monotonic() - begun
                    self.endpoint.emit(TokenWaitEnded(host=host, refresh_id=refresh_id, took=took))
                if done and (token := cache.result(pending, after=after)) is not None:
                    return token
        except BaseException:
            # Nothing is left behind that was begun and not started, whatever interrupts the caller.
            cache.abandon_unstarted()
            raise

    def get_sync(self, *, force: bool = False) -> CachedToken:
        """Return a token with its deadlines, blocking; see `get`.

        Inside the event loop that runs the refresh it cannot wait, which would be waiting for itself: it returns the
        token if that is valid, or else makes a request of its own, unless something that works once is on its way.
        """
        ready = None if force else self.cache.acquire(may_start=False).token
        if ready is not None:
            return ready
        pending = self._pending_here()
        if pending is not None or self._memory.is_sending_here():
            if not force and (token := self.cache.valid_token()) is not None:
                return token
            if pending is None or pending.task is None or pending.is_sending:
                raise self._cannot_wait()
            self.cache.abandon(pending)
        return self._run(lambda: self.get(force=force), 2 * self._limit)

    def _start(self, pending: PendingRefresh) -> None:
        start(partial(self._runner.refresh, pending), bind=partial(setattr, pending, "task"))

    def _pending_here(self) -> PendingRefresh | None:
        """Return the refresh that runs in the caller's event loop, and cannot end while that is blocked."""
        pending = self.cache.pending
        return pending if pending is not None and pending.is_here and not pending.future.done() else None

    async def _wait(self, pending: PendingRefresh, seconds: float | None) -> bool:
        """Wait for a refresh; in another event loop than its own, check now and then that it is alive."""
        if seconds is not None or pending.is_here:
            return await pending.future.wait(seconds)
        while not await pending.future.wait(_CHECK * (1 + random.random())):  # noqa: S311  # chance, no secret
            if (error := self.cache.check(pending)) is not None:
                if (failure := self._runner.failed(pending, error)) is not None:
                    self.cache.finish(pending, failure)
                pending.cancel()
        return True

    async def revoke(self) -> None:
        """Revoke the token, or else the stored one; there may be none.

        A refresh under way is waited for, and its token is revoked too. The token is dropped here and in the store
        first, so that no request uses it meanwhile. The next revocation repeats requests without a reply.
        """
        await self._revoke(self.cache.token)

    async def _revoke(self, before: CachedToken) -> None:
        cache, clock, endpoint = self.cache, self.clock, self.endpoint
        key = self._runner.store_key(self._runner.identity())
        while True:
            while (pending := cache.pending) is not None:
                await self._wait(pending, None)
            await endpoint.read_metadata()
            current = cache.token
            token = current.token if current.token.access_token else None
            if token is None and self._guard is not None:
                token = await self._guard.load(key)
            new = [] if token is None else await endpoint.revocations(token)
            if before is not current and before.freshness(clock.monotonic(), clock.wall()) is not Freshness.EXPIRED:
                # The current token came of its refresh token; the refresh may have revoked it.
                new += await endpoint.revocations(_without_refresh_token(before.token), may_be_revoked=True)
            if not cache.clear(current):
                # Another token came, or is being requested.
                continue
            if token is not None and self._guard is not None:
                self._guard.delete(key)
            self._pending_revocations += new
            await without_frames(endpoint.revoke(self._pending_revocations))
            return

    def revoke_sync(self) -> None:
        """Revoke the token; the blocking twin of `revoke`, which cannot wait for a refresh in its own event loop."""
        if self._pending_here() is not None:
            raise self._cannot_wait()
        before = self.cache.token
        self._run(lambda: self._revoke(before), 10 * self._limit)

    async def token_info(self) -> TokenInfo:
        """Ask the provider to describe a valid token; one that was revoked elsewhere is refreshed, as after a 401."""
        from seic._oauth.introspection import require_token_info

        # Before a token is requested.
        await self.endpoint.read_metadata()
        require_token_info(self.endpoint.provider)
        used = await self.get()
        try:
            return await without_frames(self.endpoint.introspect(used.token))
        except TokenRequestRefused as error:
            # RFC 7662 authenticates the client there (§2.1), and reports a revoked token in a successful reply.
            is_about_token = error.status == _UNAUTHORIZED and self.endpoint.provider.token_info_url is not None
            if not is_about_token or not self.cache.may_refresh_after_401(used, _TOKEN_INFO):
                raise
            used.invalidate()
        used = await self.get()
        try:
            info = await without_frames(self.endpoint.introspect(used.token))
        except TokenRequestRefused:
            self.cache.retry_rejected(used, _TOKEN_INFO)
            raise
        self.cache.retry_accepted(_TOKEN_INFO)
        return info

    def token_info_sync(self) -> TokenInfo:
        """Ask the provider to describe a valid token; the blocking twin of `token_info`."""
        return self._run(self.token_info, 10 * self._limit)

    async def aclose(self) -> None:
        """End background work; a refresh that somebody waits for has a moment to end by itself.

        Those who wait beyond that get an error, and nothing is requested again on their behalf.
        """
        if (pending := self.cache.pending) is not None:
            try:
                if pending.is_wanted:
                    await pending.future.wait(_CLOSING)
            finally:
                pending.close()
            if not await pending.future.wait(_CLOSING):
                self.cache.abandon(pending)
        if self._guard is not None:
            self._runner.shared.write(self.cache.token, closing=True)
            await self._guard.aclose(_CLOSING)
        self._memory.remove_user(self)

    def close(self) -> None:
        """End background work; the blocking twin of `aclose`."""
        self._runner.shared.write(self.cache.token, closing=True)
        if (pending := self._pending_here()) is not None:
            pending.close()
        elif self.cache.pending is not None or (self._guard is not None and self._guard.is_busy):
            run(self.aclose, seconds=10 * _CLOSING)
        self._memory.remove_user(self)

    def _run(self, call: Callable[[], Coroutine[Any, Any, _T]], seconds: float) -> _T:
        # The first look at a certificate from a callable calls it: here, and not in the portal, which it would block.
        self._runner.identity()
        return run(call, seconds=seconds)

    def _cannot_wait(self) -> TokenError:
        return TokenError(
            f"{self.endpoint.host}: this event loop is requesting a token, and a blocking call inside it cannot wait "
            "for that, nor request it a second time; make the call with await, or in a thread"
        )


def _without_refresh_token(token: Token) -> Token:
    return Token(access_token=token.access_token, token_type=token.token_type)
