"""The consequences of a failed token request: its kind, the pauses before the next, and the memory of failures.

Pure: chance and times are passed in.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import httpx

from seic._concurrency import UserCodeExitError
from seic._errors import InvalidTokenResponse, SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.single_use import UseState

#: A first attempt that callers wait for is repeated once at once: most failures are a lost connection.
EAGER_ATTEMPTS = 2
#: Shares of the time of a call: what the first of two attempts may take, and what the second needs to be worth sending.
FIRST_SHARE, WORTHWHILE_SHARE = 0.3, 0.25
#: The upper end of the pause before that repetition, in seconds; the pause is drawn from all below it (full jitter).
_REPEAT_WITHIN = 0.5
#: The longest Retry-After that a caller waits for; a longer one fails the attempt and sets the pause.
_PATIENCE = 2.0
#: The shortest pause between attempts: with it an outage of 3 s costs five requests at most.
_SHORTEST = 0.76
#: The longest pause while no token is valid: the first success comes within a second of the recovery.
_EXPIRED_MAX = 0.80
#: While the old token is valid no caller waits, so the upper end of the pause doubles from a second to half a minute.
_VALID_FIRST, _VALID_MAX = 1.0, 30.0
#: Refused credentials are remembered: a hot loop must not lock the service account out.
_REFUSED_FIRST, _REFUSED_MAX = 30.0, 300.0
#: Something in front of the endpoint, or in its place, answered: nothing checked the credentials (RFC 9110 §15.5.5,
#: §15.5.6, §15.5.11, §15.5.20; RFC 8470 §5.2).
_NOT_THERE = frozenset({404, 405, 410, 421, 425})
#: The longest pause that an endpoint's Retry-After may impose, in seconds.
RETRY_AFTER_MAX = 60.0
#: The longest pause between refreshes whose tokens the API rejects at once, in seconds.
_REJECTED_MAX = 60.0
#: The number of requests, by method and path, with a pause of their own.
_APART = 8
#: Rejections within this time, in seconds, are a row: twice the longest pause, so that no pause ends it.
_IN_A_ROW = 2 * _REJECTED_MAX

_FAILURES: dict[type[SeicError], str] = {
    TokenRequestRefused: "refused",
    TokenEndpointUnavailable: "unavailable",
    InvalidTokenResponse: "invalid",
}
#: Answers that a server gives before it reads the request.
_UNREAD = frozenset({408, 429, 503})
#: Failures before the request was sent.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


def failure_name(error: SeicError) -> str:
    """Return `refused`, `unavailable`, `invalid`, or `failed` for anything else, such as an unusable certificate."""
    return next((word for kind, word in _FAILURES.items() if isinstance(error, kind)), "failed")


def error_class_name(error: BaseException) -> str:
    """Return the public name of an error's class, as `httpx.ConnectTimeout`: a connection's own instead of ours."""
    if isinstance(error, TokenEndpointUnavailable) and error.__cause__ is not None:
        error = error.__cause__
    kind = type(error)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"


def is_refusal(error: SeicError) -> bool:
    """Whether the endpoint refused for good: the same request will be refused again."""
    if isinstance(error, InvalidTokenResponse):
        from seic._oauth.reply import NO_ACCESS_TOKEN

        return error.problem == NO_ACCESS_TOKEN
    if not isinstance(error, TokenRequestRefused) or error.transient:
        return False
    from seic._oauth import error_codes

    return error.status not in _NOT_THERE or error_codes.is_refusal(error.code, error.description)


def use_state_after(error: SeicError) -> UseState:
    """Return the state of a refresh token or code whose request failed."""
    if isinstance(error, TokenRequestRefused):
        return _state_after_refusal(error) if is_refusal(error) else UseState.UNUSED
    if isinstance(error, TokenEndpointUnavailable):
        unsent = error.status in _UNREAD or isinstance(error.__cause__, _UNSENT)
        return UseState.UNUSED if unsent else UseState.UNKNOWN
    # An invalid reply may have held a token; anything else failed before there was a connection.
    return UseState.UNKNOWN if isinstance(error, InvalidTokenResponse) else UseState.UNUSED


def _state_after_refusal(error: TokenRequestRefused) -> UseState:
    from seic._oauth.error_codes import ErrorSubject, is_about_limit, subject_of

    if is_about_limit(error.code):
        return UseState.UNUSED
    subject = subject_of(error.code, error.description)
    if subject is ErrorSubject.CLIENT or error.status is None:
        return UseState.UNUSED
    if subject is ErrorSubject.GRANT or error.status in range(200, 300):
        return UseState.USED
    # Without a code it is an answer of something in front of the endpoint, such as a firewall's page.
    return UseState.UNUSED if error.code is None else UseState.UNKNOWN


class Pauses(NamedTuple):
    """Seconds before the next attempt: while the old token is valid, and while none is."""

    valid: float
    expired: float


def retry_delay(error: SeicError, chance: float) -> float | None:
    """Return the pause before the same attempt is repeated, or None if it must not be; `chance` is in [0, 1)."""
    if isinstance(error.__cause__, UserCodeExitError):
        # The program wants to end.
        return None
    if isinstance(error, TokenEndpointUnavailable):
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= _PATIENCE else None
        # A timeout was long enough.
        return 0.0 if isinstance(error.__cause__, (TimeoutError, httpx.TimeoutException)) else _REPEAT_WITHIN * chance
    return _REPEAT_WITHIN * chance if isinstance(error, TokenRequestRefused) and error.transient else None


def failure_backoff(error: SeicError, *, failures: int, ahead: bool, chance: float) -> Pauses:
    """Return the pauses before the next attempt.

    Args:
        error: The failure of the attempt.
        failures: The failed attempts since the last token, this one included; for a refusal, the refused ones.
        ahead: Whether no caller waited for it. Then callers in need may try at once, unless the endpoint itself said
            otherwise.
        chance: A random number in [0, 1).
    """
    if is_refusal(error):
        pause = _doubled(_REFUSED_FIRST, failures, most=_REFUSED_MAX)
        return Pauses(pause, pause)
    valid = advisory_backoff(failures, chance)
    expired = 0.0 if ahead else _SHORTEST + (_EXPIRED_MAX - _SHORTEST) * chance
    if isinstance(error, TokenEndpointUnavailable) and error.retry_after is not None:
        demanded = min(error.retry_after, RETRY_AFTER_MAX)
        return Pauses(max(valid, demanded), max(expired, demanded))
    return Pauses(valid, expired)


def advisory_backoff(times: int, chance: float) -> float:
    """Return the seconds before the next advisory refresh, after so many in a row that failed or were interrupted."""
    return _SHORTEST + (_doubled(_VALID_FIRST, times, most=_VALID_MAX) - _SHORTEST) * chance


def rejected_token_backoff(times: int) -> float:
    """Return the seconds before a rejected token is replaced, after so many in a row that were rejected at once."""
    return _doubled(1.0, times, most=_REJECTED_MAX) if times else 0.0


def _doubled(first: float, times: int, *, most: float) -> float:
    return min(first * 2.0 ** min(times - 1, 16), most)  # 16 avoids an overflow, long after each maximum


class FailureMemory:
    """The failures since the last token, and when the next attempt may be made; times are of the monotonic clock.

    Attributes:
        error: The last failure; None after a success.
        failures: The failed attempts since the last token.
        retry_valid_at: When the next attempt may be made while the old token is valid.
        retry_expired_at: The same while no token is valid.
        check_at: When the secrets are read next, to see whether a refusal is still about them.
    """

    def __init__(self) -> None:
        self.error: SeicError | None = None
        self.failures = 0
        self.retry_valid_at = self.retry_expired_at = -math.inf
        self.check_at = math.inf
        self._refusals = self._interrupted = 0

    def succeeded(self) -> int:
        """Note a new token; return how many attempts had failed before it."""
        failures, self.failures, self.error = self.failures, 0, None
        self._refusals = self._interrupted = 0
        self.retry_valid_at = self.retry_expired_at = -math.inf
        self.check_at = math.inf
        return failures

    def failed(self, error: SeicError, now: float, *, ahead: bool, chance: float) -> Pauses:
        """Note a failure; return the pauses before the next attempt."""
        self.failures += 1
        self._refusals += is_refusal(error)
        self.error = error
        self.check_at = now if is_refusal(error) else math.inf
        # An outage before it says nothing of how often invalid credentials were sent.
        in_a_row = self._refusals if is_refusal(error) else self.failures
        pauses = failure_backoff(error, failures=in_a_row, ahead=ahead, chance=chance)
        self.retry_valid_at, self.retry_expired_at = now + pauses.valid, now + pauses.expired
        return pauses

    def interrupted(self, now: float, *, chance: float) -> None:
        """Note an advisory refresh that was cut off: where each call has an event loop of its own, each would be."""
        self._interrupted += 1
        self.retry_valid_at = now + advisory_backoff(self._interrupted, chance)

    def forget_refusal(self) -> None:
        """Forget a refusal: it may have been about the identity that was just replaced."""
        if self.error is not None and is_refusal(self.error):
            self.error = None
            self.retry_valid_at = self.retry_expired_at = -math.inf
            self.check_at = math.inf


class _Rejection(NamedTuple):
    token: object
    times: int
    at: float
    paused_until: float


class RejectedRetries:
    """The requests that the API rejected with a new token as well, each with the pause before the next refresh for it.

    Tokens are not the cause then, and each such request would cost one. It has a pause of its own, by method and path,
    because it tells nothing about others: their tokens may be revoked meanwhile. Beyond a few they share one pause, or
    a thousand paths would cost as many tokens.
    """

    def __init__(self) -> None:
        #: Empty as a rule, and then nothing else here has to be asked.
        self.by_request: dict[str, _Rejection] = {}

    def is_paused(self, request: str, now: float) -> bool:
        """Whether no refresh is due for a request whose token was rejected."""
        rejection = self.by_request.get(self._key(request))
        return rejection is not None and now < rejection.paused_until

    def rejected(self, request: str, token: object, now: float) -> None:
        """Note a rejected retry; of those with one token, the first counts."""
        self.by_request = {key: one for key, one in self.by_request.items() if now - one.at < _IN_A_ROW}
        key = self._key(request)
        last = self.by_request.get(key)
        if last is None or last.token is not token:
            times = 1 if last is None else last.times + 1
            self.by_request[key] = _Rejection(token, times, now, now + rejected_token_backoff(times))

    def accepted(self, request: str) -> None:
        """Note an accepted retry: the next pause is the shortest again."""
        self.by_request.pop(self._key(request), None)

    def _key(self, request: str) -> str:
        return request if request in self.by_request or len(self.by_request) < _APART else ""
