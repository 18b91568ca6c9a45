"""The token as a user sees it."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping

import attrs

from seic._model.secrecy import Unpicklable, hide


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


@attrs.frozen(kw_only=True)
class Token(Unpicklable):
    """An access token and what the provider said about it (RFC 6749 §5.1).

    A repr shows its `fingerprint` and times, never the token; it cannot be pickled.

    Args:
        access_token: The secret itself.
        token_type: As the provider wrote it (`Bearer`, the gateway's `BearerToken`); it is used as `Bearer` either way.
        expires_in: Seconds of life, counted from `obtained_at`; None where the provider did not say.
        obtained_at: Seconds since the epoch by this machine's clock, just before the token was asked for.
        scope: As the provider wrote it; empty where it named none.
        issued_at: The provider's own time of issue; for people, never for expiry (clocks differ).
        refresh_token: The secret that renews it, where the grant has one.
        refresh_expires_in: Seconds of life of the refresh token, counted from `obtained_at`.
        tracking_id: The provider's id of the call that made it.
        login_id: A digest of the code or refresh token that its login started with, which tells a stored token from
            that of another login; None if the grant carries neither.
        extra: Every other member of the reply, unread.
    """

    access_token: str = attrs.field(repr=lambda secret: f"<sha256 {_fingerprint(secret)}>")
    token_type: str = "Bearer"
    expires_in: float | None = None
    obtained_at: float = 0.0
    scope: str = ""
    issued_at: dt.datetime | None = None
    refresh_token: str | None = attrs.field(default=None, repr=hide)
    refresh_expires_in: float | None = None
    tracking_id: str | None = None
    login_id: str | None = attrs.field(default=None, repr=False, eq=False)
    extra: Mapping[str, object] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell tokens apart in a log; they say nothing of the token."""
        return _fingerprint(self.access_token)

    @property
    def expires_at(self) -> dt.datetime | None:
        """When the token ends, in UTC by this machine's clock; None where the provider did not say."""
        if self.expires_in is None:
            return None
        return dt.datetime.fromtimestamp(self.obtained_at + self.expires_in, dt.UTC)

    @property
    def ends_at(self) -> dt.datetime | None:
        """When nothing of it serves any more, its refresh token included; None where the provider did not say.

        In UTC by this machine's clock. From then on a store may forget it.
        """
        lives = [self.expires_in] if self.refresh_token is None else [self.expires_in, self.refresh_expires_in]
        known = [life for life in lives if life is not None]
        if len(known) < len(lives):
            return None
        return dt.datetime.fromtimestamp(self.obtained_at + max(known), dt.UTC)
