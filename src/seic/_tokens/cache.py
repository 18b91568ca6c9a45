"""The cached token, the pending refresh and the memory of failures, under one lock; and what follows for a caller.

Nothing is sent or awaited here. The lock is held for a few comparisons. Nobody else writes this state.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from os import getpid
from threading import get_ident
from typing import NamedTuple

from seic._concurrency import ForkSafeLock, SharedFuture
from seic._errors import SeicError, TokenEndpointUnavailable, TokenError
from seic._portal import BackgroundTask
from seic._public import publish
from seic._tokens.backoff import EAGER_ATTEMPTS, FailureMemory, RejectedRetries, failure_name
from seic._tokens.clock import Clock
from seic._tokens.refresh_policy import CachedToken, Freshness, no_token
from seic._tokens.single_use import SingleUse

_numbers = itertools.count(1)
#: The longest wait for a refresh while the old token is valid, in seconds: several times what a working endpoint takes.
_PATIENCE = 1.0
#: The shortest interval at which secrets are read to see whether a refusal is still about them, in seconds.
_SECRETS_CHECK = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """A snapshot of counters since the start.

    Args:
        token_requests: Requests sent to the token endpoint, repetitions included.
        token_failures: The number of them that ended in an error.
        replays: API requests sent again after a 401 that was about the token.
        renewals_ahead: Tokens obtained while the old one was still in use.
    """

    token_requests: int = 0
    token_failures: int = 0
    replays: int = 0
    renewals_ahead: int = 0


class RefreshAbandoned(Exception):
    """The refresh ended without a result; its waiters start another."""


class PendingRefresh:
    """One refresh, which all who need its token wait for, and which belongs to none of them.

    Requests use the old token while it runs `ahead`; with `force` it skips the store. With `refusal` it ends in that
    error, unless a secret has changed since.
    """

    def __init__(self, *, ahead: bool, force: bool, limit: float, refusal: SeicError | None = None) -> None:
        #: Greater than that of each earlier refresh in this process.
        self.refresh_id = next(_numbers)
        self.ahead = ahead
        self.force = force
        self.refusal = refusal
        #: The token, or the error for all who wait.
        self.future: SharedFuture[CachedToken] = SharedFuture()
        #: The future's, without its lock: thousands of waiters ask.
        self.token: CachedToken | None = None
        #: The result and the tracking id of the request that ended it, as in `TokenRefreshEnded`.
        self.outcome = "abandoned"
        self.ended_by: str | None = None
        #: None for the moment before it starts.
        self.task: BackgroundTask[None] | None = None
        #: The refresh token or code that it sent last.
        self.sending: SingleUse | None = None
        #: From then on, by the monotonic clock, callers with a valid token use that.
        self.skip_at = math.inf
        self.attempts = 1
        #: The callers; a set, because adding and discarding are atomic.
        self.waiting: set[object] = set()
        #: Whether its owner was closed, so that its waiters start no other.
        self.closed = False
        self._starter = get_ident()
        self._pid = getpid()
        self._limit = limit
        self._overdue_at = time.monotonic() + limit

    @property
    def is_dead(self) -> bool:
        """Whether it can make no progress any more: its task has died, or is in the parent process."""
        has_died = self.is_elsewhere or (self.task is not None and not self.task.is_alive())
        return has_died and not self.future.done()

    @property
    def is_elsewhere(self) -> bool:
        """Whether it belongs to another process, of which this one is a fork."""
        return self._pid != getpid()

    @property
    def is_overdue(self) -> bool:
        """Whether it takes longer than its own deadlines allow: its event loop is blocked."""
        return time.monotonic() >= self._overdue_at

    @property
    def is_here(self) -> bool:
        """Whether it runs in the caller's event loop, or the caller's thread is about to start it."""
        return self._starter == get_ident() if self.task is None else self.task.is_here()

    @property
    def is_sending(self) -> bool:
        """Whether ending it now would lose the answer to a refresh token or code, which works once."""
        return self.sending is not None and not self.sending.ended.done()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody would miss its token."""
        return self.is_sending or bool(self.waiting)

    def extend(self, seconds: float) -> None:
        """Note that it waits for another process, for so long at most: its own time begins after that."""
        self._overdue_at = time.monotonic() + seconds + self._limit

    def sends(self, use: SingleUse) -> None:
        """Note a refresh token or code that it is about to send."""
        self.sending = use

    def close(self) -> None:
        """Cancel it because its owner is closed; its waiters start no other."""
        self.closed = bool(self.waiting)
        self.cancel()

    def cancel(self) -> None:
        """Cancel its task."""
        if self.task is not None:
            self.task.cancel()


class Acquired(NamedTuple):
    """The next step of a caller: use `token`, or wait for `pending`; and start `pending` first if `starts`."""

    token: CachedToken | None
    pending: PendingRefresh | None = None
    starts: bool = False
    #: The longest to wait; None is to the end, because there is no valid token.
    seconds: float | None = None


class TokenCache:
    """The token of one configuration; a refresh that its own deadlines do not end is given up after `limit` seconds.

    If it `follows_secrets`, a refusal is remembered only as long as the secrets are the same.
    """

    def __init__(
        self, *, host: str, clock: Clock, chance: Callable[[], float], limit: float, follows_secrets: bool = False
    ) -> None:
        #: Read without the lock: a store of one reference is atomic.
        self.token = no_token()
        self.stats = Stats()
        self._host = host
        self._clock = clock
        self._chance = chance
        self._limit = limit
        self._follows_secrets = follows_secrets
        self._lock = ForkSafeLock()
        self._pending: PendingRefresh | None = None
        self._failures = FailureMemory()
        self._rejected = RejectedRetries()

    @property
    def pending(self) -> PendingRefresh | None:
        """The refresh under way, if any."""
        pending = self._pending
        return None if pending is None or pending.is_dead else pending

    def start_with(self, token: CachedToken) -> None:
        """Take a token that was obtained in another way."""
        self.token = token

    def next_refresh_id(self) -> int:
        """Return the number that a token's refresh must reach to be new for a caller who forces a refresh."""
        pending = self.pending
        # All who force at one moment share a refresh.
        return pending.refresh_id if pending is not None and pending.force else next(_numbers)

    def acquire(self, *, after: int = 0, may_start: bool = True) -> Acquired:  # noqa: PLR0911  # one per case
        """Return the token, or the refresh to wait for; neither if one would have to be started and none may be.

        A token of a refresh before `after` does not count.

        Raises:
            SeicError: No token is valid, and the last attempt failed so recently that the next has to wait.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        with self._lock.of_process[getpid()]:
            token = self.token
            freshness = token.freshness(now, wall) if token.refresh_id >= after else Freshness.EXPIRED
            if freshness is Freshness.FRESH:
                return Acquired(token)
            pending = self._living()
            failures = self._failures
            # A valid token is used to its end, whatever the endpoint answers.
            if freshness is Freshness.ADVISORY or (freshness is Freshness.MANDATORY and failures.error is not None):
                if pending is not None or (now < failures.retry_valid_at and not self._is_check_due(now)):
                    return Acquired(token)
                return Acquired(token, self._begin(now, ahead=True), starts=True) if may_start else Acquired(None)
            if pending is not None and freshness is not Freshness.EXPIRED and now >= pending.skip_at:
                return Acquired(token)
            starts = pending is None
            if pending is None:
                if failures.error is not None and now < failures.retry_expired_at and not self._is_check_due(now):
                    error = failures.error.fresh()
                    raise error from error.__cause__
                if not may_start:
                    return Acquired(None)
                pending = self._begin(now, force=after > 0)
            if freshness is Freshness.EXPIRED:
                return Acquired(None, pending, starts)
            if now >= pending.skip_at:
                return Acquired(token, pending, starts)
            return Acquired(None, pending, starts, pending.skip_at - now)

    def result(self, pending: PendingRefresh, *, after: int = 0) -> CachedToken | None:
        """Return the token of a refresh that is done; None if the caller has to acquire again; `after` as there.

        Raises:
            SeicError: The refresh failed; each caller gets an error of its own.
        """
        if (token := pending.token) is not None:
            return token if token.refresh_id >= after else None
        error = pending.future.exception(0)
        if not isinstance(error, SeicError):
            return None
        if (token_in_use := self.valid_token(after=after)) is not None:
            return token_in_use
        if pending.ahead and not pending.closed:
            return None
        copy = error.fresh()
        raise copy from copy.__cause__

    def valid_token(self, *, after: int = 0) -> CachedToken | None:
        """Return the token if it is valid, for a caller who cannot wait; `after` as in `acquire`."""
        token = self.token
        is_valid = token.freshness(self._clock.monotonic(), self._clock.wall()) is not Freshness.EXPIRED
        return token if is_valid and token.refresh_id >= after else None

    def settle(self, pending: PendingRefresh, token: CachedToken, *, stored: bool) -> int | None:
        """Take a new token; return the failed attempts before it, or None if the refresh had been abandoned."""
        with self._lock.of_process[getpid()]:
            if self._pending is not pending:
                return None
            failures = self._failures.succeeded()
            self._pending = None
            self.token = token
            if pending.ahead:
                self.count("renewals_ahead")
        pending.outcome = "stored" if stored else "acquired"
        pending.ended_by = token.token.tracking_id
        return failures

    def keep(self, pending: PendingRefresh) -> None:
        """End a refresh that found the token in use in the store, or the secrets that were refused."""
        with self._lock.of_process[getpid()]:
            if self._pending is pending:
                self._pending = None
        self.finish(pending, self.token if pending.refusal is None else pending.refusal.fresh())

    def fail(self, pending: PendingRefresh, error: SeicError) -> tuple[float, bool] | None:
        """Remember a failure; return the pause and whether a token is valid, or None if the refresh was abandoned."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        with self._lock.of_process[getpid()]:
            if self._pending is not pending:
                return None
            self._pending = None
            pauses = self._failures.failed(error, now, ahead=pending.ahead, chance=self._chance())
            is_valid = self.token.freshness(now, wall) is not Freshness.EXPIRED
        pending.outcome = failure_name(error)
        pending.ended_by = getattr(error, "tracking_id", None)
        return (pauses.valid if is_valid else pauses.expired), is_valid

    @staticmethod
    def finish(pending: PendingRefresh, result: CachedToken | BaseException) -> None:
        """Wake the waiters of a refresh, once; the caller has emitted its events."""
        if pending.future.done():
            return
        if isinstance(result, BaseException):
            pending.future.set_exception(result)
        else:
            pending.token = result
            pending.future.set_result(result)

    def abandon(self, pending: PendingRefresh) -> None:
        """Give a refresh up without counting it as a failure: its waiters start another, unless it was closed."""
        with self._lock.of_process[getpid()]:
            if self._pending is pending:
                self._pending = None
                if pending.ahead and pending.task is not None:
                    self._failures.interrupted(self._clock.monotonic(), chance=self._chance())
        if pending.is_elsewhere:
            # Its waiters, its task and their locks are the parent's.
            return
        if pending.sending is not None:
            # Nobody is left who would see the answer.
            pending.sending.end()
        closed = TokenError(f"{self._host}: closed while a token was being requested; later calls request one again")
        self.finish(pending, closed if pending.closed else RefreshAbandoned())
        pending.cancel()

    def abandon_unstarted(self) -> None:
        """Abandon the refresh that the caller's thread has created and not started: it was interrupted."""
        pending = self._pending
        if pending is not None and pending.task is None and pending.is_here:
            self.abandon(pending)

    def check(self, pending: PendingRefresh) -> TokenEndpointUnavailable | None:
        """Abandon a refresh whose task has died; return the error to fail it with if it exceeded its limit."""
        if pending.is_dead:
            self.abandon(pending)
        elif pending.is_overdue and not pending.future.done():
            return TokenEndpointUnavailable(f"{self._host}: the token endpoint gave no answer within {self._limit:g} s")
        return None

    def may_refresh_after_401(self, rejected: CachedToken, request: str) -> bool:
        """Whether a refresh can help a request, by method and path, whose token the API rejected."""
        if rejected is not self.token or not self._rejected.by_request:
            return True
        return not self._rejected.is_paused(request, self._clock.monotonic())

    def retry_rejected(self, token: CachedToken, request: str) -> None:
        """Note that a request failed although a 401 led to this token, or that none could show whether it helps."""
        with self._lock.of_process[getpid()]:
            self._rejected.rejected(request, token, self._clock.monotonic())

    def retry_accepted(self, request: str) -> None:
        """Note that a new token helped."""
        if self._rejected.by_request:
            with self._lock.of_process[getpid()]:
                self._rejected.accepted(request)

    def expire_soon(self) -> None:
        """Have the token refreshed before the next request: the identity that it was bound to has changed."""
        with self._lock.of_process[getpid()]:
            self.token.expire_soon()
            self._failures.forget_refusal()

    def forget_refusal(self) -> None:
        """Let the next caller request a token at once: the secret that was refused has changed."""
        with self._lock.of_process[getpid()]:
            self._failures.forget_refusal()

    def clear(self, token: CachedToken) -> bool:
        """Drop a token; return False, and drop nothing, if another replaced it or is being requested."""
        with self._lock.of_process[getpid()]:
            if self.token is not token or self._living() is not None:
                return False
            self.token = no_token()
            return True

    def count(self, counter: str) -> None:
        """Add one to a counter of `Stats`."""
        with self._lock.of_process[getpid()]:
            self.stats = dataclasses.replace(self.stats, **{counter: getattr(self.stats, counter) + 1})

    def _begin(self, now: float, *, ahead: bool = False, force: bool = False) -> PendingRefresh:
        failures = self._failures
        refusal = failures.error if now < (failures.retry_valid_at if ahead else failures.retry_expired_at) else None
        if refusal is not None:
            failures.check_at = now + _SECRETS_CHECK
        pending = self._pending = PendingRefresh(ahead=ahead, force=force, limit=self._limit, refusal=refusal)
        # At most half of what is left: a request needs the rest for its own way.
        pending.skip_at = min(now + _PATIENCE, (now + min(self.token.expires_at, self.token.idle_at)) / 2)
        # If the endpoint is not known to be failing, one failure that callers wait for is repeated at once.
        pending.attempts = 1 if ahead or self._failures.failures else EAGER_ATTEMPTS
        return pending

    def _living(self) -> PendingRefresh | None:
        pending = self._pending
        if pending is not None and pending.is_dead:
            self.abandon(pending)
        return self._pending

    def _is_check_due(self, now: float) -> bool:
        return self._follows_secrets and now >= self._failures.check_at


publish("seic", ["Stats"], globals())
