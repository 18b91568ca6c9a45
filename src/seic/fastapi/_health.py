"""What a client went through lately, as its events tell: enough to say whether it is well."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import attrs

from seic._events import (
    CertificateRejected,
    Event,
    StoreDegraded,
    TokenEndpointDown,
    TokenRefreshEnded,
    TokenRefused,
)


@attrs.frozen(kw_only=True)
class LastError:
    """What went wrong last, and when; not in the provider's words, which may name internals."""

    what: str
    at: dt.datetime
    tracking_id: str | None = None


class HealthTracker:
    """A listener that remembers the last last_error, and whether the last fetch of a token failed.

    Args:
        ignored_codes: Codes of refusals that are no last_error: that a person's login is over is how logins end.
    """

    def __init__(self, *, ignored_codes: Collection[str] = ()) -> None:
        self.last_error: LastError | None = None
        self.fetched = False
        self.fetch_failed = False
        self._passing_over = ignored_codes

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case TokenRefused(code=code) if code in self._passing_over:
                pass
            case TokenRefused() | TokenEndpointDown():
                self.fetch_failed = True
                self._note(event, event.tracking_id)
            case TokenRefreshEnded(outcome="acquired" | "stored"):
                self.fetched, self.fetch_failed = True, False
            case StoreDegraded() | CertificateRejected():
                self._note(event)

    def _note(self, event: Event, tracking_id: str | None = None) -> None:
        self.last_error = LastError(what=event.name, at=dt.datetime.now(dt.UTC), tracking_id=tracking_id)
