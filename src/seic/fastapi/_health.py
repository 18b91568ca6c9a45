"""Health of clients and logins: the values that the readiness route reports, and the listener that collects them."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Collection

import attrs

from seic import events


class Health(enum.IntEnum):
    """Health of one part; the worst part decides for the whole."""

    PASS = 0
    WARN = 1
    FAIL = 2

    @property
    def word(self) -> str:
        """The word in JSON."""
        return self.name.lower()


@attrs.frozen(kw_only=True)
class LastError:
    """The last error and its time, without the provider's words, which may name internals."""

    what: str
    at: dt.datetime
    tracking_id: str | None = None


@attrs.frozen(kw_only=True)
class TokenHealth:
    """The current token; all times are seconds, None if there is no token or its expiry is unknown."""

    health: Health
    age: float | None = None
    expires_in: float | None = None
    lifetime: float | None = None


@attrs.frozen(kw_only=True)
class CertificateHealth:
    """The client certificate; `days_left` and `lifetime` are days. All are None for one that cannot be loaded."""

    health: Health
    days_left: float | None = None
    expires_at: str | None = None
    lifetime: float | None = None


@attrs.frozen(kw_only=True)
class LoginHealth:
    """The provider's answers to logins and refreshes; `used` is whether there was one yet."""

    health: Health
    used: bool


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
        ignored_codes: Codes of token errors that are no fault: a user's session ends with one.
    """

    def __init__(self, *, ignored_codes: Collection[str] = ()) -> None:
        self.last_error: LastError | None = None
        self.acquired = False
        self.failed = False
        self._ignored_codes = ignored_codes

    def __call__(self, event: events.Event) -> None:
        """Take the next event."""
        match event:
            case events.TokenRefused(code=code) if code in self._ignored_codes:
                pass
            case events.TokenRefused() | events.TokenEndpointDown():
                self.failed = True
                self._record(event, event.tracking_id)
            case events.TokenRefreshEnded(outcome="acquired" | "stored"):
                self.acquired, self.failed = True, False
            case events.StoreDegraded() | events.CertificateRejected():
                self._record(event)

    def _record(self, event: events.Event, tracking_id: str | None = None) -> None:
        self.last_error = LastError(what=event.name, at=dt.datetime.now(dt.UTC), tracking_id=tracking_id)
