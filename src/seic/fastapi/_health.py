"""Health of clients and logins: the values that the readiness route reports, and the listener that collects them."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Callable

import attrs

from seic import events

#: Codes of token errors as RFC 6749 and providers have them; anything else may be words of the provider.
_CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Health(enum.IntEnum):
    """Health of one part; the worst part decides for the whole."""

    PASS = 0
    #: Nothing has been tried yet, so nothing is known.
    IDLE = 1
    WARN = 2
    FAIL = 3

    @property
    def word(self) -> str:
        """The word in JSON."""
        return self.name.lower()


@attrs.frozen(kw_only=True)
class LastError:
    """The last error and its time, without the provider's words, which may name internals.

    Args:
        what: The name of the event.
        at: Its time.
        status: The status of the token endpoint's response.
        code: The error code of the token endpoint's response.
        reason: Of a certificate or handshake: see `seic.Reason`. Of another connection: the class of the exception.
        tracking_id: The provider's id of the request.
    """

    what: str
    at: dt.datetime
    status: int | None = None
    code: str | None = None
    reason: str | None = None
    tracking_id: str | None = None

    @property
    def facts(self) -> str:
        """Status, code and reason in brackets, or nothing."""
        known = [f"status {self.status}" if self.status is not None else None, self.code, self.reason]
        found = ", ".join(fact for fact in known if fact is not None)
        return f" ({found})" if found else ""


@attrs.frozen(kw_only=True)
class TokenHealth:
    """The current token; all times are whole seconds, None if there is no token or its expiry is unknown.

    `error` is that of the last token request, if it failed; `used` is whether there was a token.
    """

    health: Health
    used: bool = False
    age: int | None = None
    expires_in: int | None = None
    lifetime: float | None = None
    error: LastError | None = None


@attrs.frozen(kw_only=True)
class CertificateHealth:
    """The client certificate; `days_left` and `lifetime` are days. All are None for one that cannot be loaded."""

    health: Health
    days_left: float | None = None
    expires_at: str | None = None
    lifetime: float | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class LoginHealth:
    """The provider's answers to logins and refreshes; `used` is whether there was one yet."""

    health: Health
    used: bool
    error: LastError | None = None


@attrs.frozen(kw_only=True)
class ClientHealth:
    """One client; or all users who log in, whose tokens are their own (`logins` in place of `token`)."""

    name: str
    token: TokenHealth | None = None
    logins: LoginHealth | None = None
    certificate: CertificateHealth | None
    last_error: LastError | None

    @property
    def health(self) -> Health:
        """The worst of its parts."""
        parts = (self.token, self.logins, self.certificate)
        return max(part.health for part in parts if part is not None)


class HealthTracker:
    """A listener that remembers the last error, and whether the last token request failed.

    Args:
        ignores: Whether a code of a token error is not a fault: a user's session ends with one.
    """

    def __init__(self, *, ignores: Callable[[str | None], bool] = lambda _code: False) -> None:
        self.last_error: LastError | None = None
        #: The error of the last token request, or of a new secret in it; None if it succeeded.
        self.token_error: LastError | None = None
        self.acquired = False
        self._ignores = ignores
        self._request: events.TokenRequested | None = None
        self._secret_error: LastError | None = None

    def __call__(self, event: events.Event) -> None:
        """Take the next event."""
        match event:
            case events.TokenRefreshStarted():
                self._request = self._secret_error = None
            case events.TokenRequested():
                self._request = event
            case events.TokenRefused(code=code) if self._ignores(code):
                pass
            case events.TokenRefused():
                self.token_error = self._record_refusal(event)
            case events.SecretRejected():
                self._secret_error = self._record_refusal(event)
            case events.TokenEndpointDown(reason=reason, tracking_id=tracking_id):
                request = self._request
                if reason is None and request is not None and request.status is None:
                    reason = request.error
                self.token_error = self._record(
                    event,
                    status=None if request is None else request.status,
                    reason=reason,
                    tracking_id=tracking_id,
                )
            case events.TokenRefreshEnded(outcome="acquired" | "stored"):
                self.acquired, self.token_error = True, self._secret_error
            case events.CertificateRejected() | events.StoreDegraded():
                self._record(event, reason=getattr(event, "reason", None))

    def _record_refusal(self, event: events.TokenRefused | events.SecretRejected) -> LastError:
        code = event.code if event.code is not None and _CODE.fullmatch(event.code) else None
        return self._record(event, status=event.status, code=code, tracking_id=event.tracking_id)

    def _record(
        self,
        event: events.Event,
        *,
        status: int | None = None,
        code: str | None = None,
        reason: str | None = None,
        tracking_id: str | None = None,
    ) -> LastError:
        self.last_error = LastError(
            what=event.name,
            at=dt.datetime.now(dt.UTC),
            status=status,
            code=code,
            reason=reason,
            tracking_id=tracking_id,
        )
        return self.last_error
