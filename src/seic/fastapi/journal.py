"""What a client went through lately, as its events tell: enough to say whether it is well."""

from __future__ import annotations

import datetime as dt

import attrs

from seic._events import (
    CertificateRejected,
    Event,
    StoreDegraded,
    TokenEndpointDown,
    TokenFetchEnded,
    TokenRefused,
)


@attrs.frozen(kw_only=True)
class Trouble:
    """What went wrong last, and when; not in the provider's words, which may name internals."""

    what: str
    at: dt.datetime
    tracking_id: str | None = None


class Journal:
    """A listener that remembers the last trouble, and whether the last fetch of a token failed."""

    def __init__(self) -> None:
        self.trouble: Trouble | None = None
        self.fetch_failed = False

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case TokenRefused() | TokenEndpointDown():
                self.fetch_failed = True
                self._note(event, event.tracking_id)
            case TokenFetchEnded(outcome="acquired" | "stored"):
                self.fetch_failed = False
            case StoreDegraded() | CertificateRejected():
                self._note(event)

    def _note(self, event: Event, tracking_id: str | None = None) -> None:
        self.trouble = Trouble(what=event.name, at=dt.datetime.now(dt.UTC), tracking_id=tracking_id)
