"""Every token that the sandbox has issued: its family, its lifetimes and its state."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

Dialect: TypeAlias = Literal["gateway", "platform", "oauth2"]

_DAY = 86400.0


@attrs.define(kw_only=True, eq=False)
class TokenFamily:
    """All access and refresh tokens that come from one login or one token request (RFC 9700 §4.14.2).

    Args:
        dialect: The dialect that issued it.
        username: The account; the client id if there is no account.
        thumbprint: SHA-256 of the client certificate of the token request, base64url; None without a certificate.
        scope: The scope.
        issuer_path: The path of the plain provider's issuer.
        redirect_url: The redirect URL of the login.
        refresh_token: The current refresh token.
        refresh_count: The number of refreshes.
        ended: None while the family is active; `revoked`, or `superseded` by another session of the account. Only the
            registry writes this and the two above.
    """

    dialect: Dialect
    username: str
    thumbprint: str | None = None
    scope: str = ""
    issuer_path: str = ""
    redirect_url: str = ""
    refresh_token: str | None = attrs.field(default=None, repr=False)
    refresh_count: int = 0
    ended: Literal["revoked", "superseded"] | None = None


@attrs.frozen(kw_only=True)
class TokenRecord:
    """An active access token.

    Args:
        family: Its family.
        issued_at: Milliseconds since the epoch.
        seconds_left: Seconds until it expires.
    """

    family: TokenFamily
    issued_at: int
    seconds_left: float


@attrs.define
class _AccessEntry:
    family: TokenFamily
    issued: float
    last_used: float
    revoked: bool = False


@attrs.define
class _RefreshEntry:
    family: TokenFamily
    issued: float
    used: bool = False


class InactiveToken(Exception):
    """The token cannot be used; the message is a sentence that gives the reason.

    Args:
        reason: The sentence.
        superseded: Whether another session of the account has ended this one.
    """

    def __init__(self, reason: str, *, superseded: bool = False) -> None:
        super().__init__(reason)
        self.superseded = superseded


class TokenRegistry:
    """Issues tokens and tells which are active; safe to use from any thread.

    Args:
        clock: Returns seconds; only differences matter.
        active_lifetime: Seconds from the issue of an access token to its expiry.
        idle_lifetime: Seconds from the last use, or the issue, to expiry; at the gateway only.
        refresh_lifetime: Seconds from the issue of a refresh token to its expiry.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        active_lifetime: float,
        idle_lifetime: float,
        refresh_lifetime: float = 30 * _DAY,
    ) -> None:
        for name, value in (
            ("active_lifetime", active_lifetime),
            ("idle_lifetime", idle_lifetime),
            ("refresh_lifetime", refresh_lifetime),
        ):
            if not value > 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {value}")
        self._clock = clock
        self.active_lifetime = active_lifetime
        self._idle_lifetime = idle_lifetime
        self.refresh_lifetime = refresh_lifetime
        #: Seconds by which the wall time is wrong.
        self.skew = 0.0
        # Wall time follows the clock, so that a MockClock moves it too.
        self._wall_at_zero = time.time() - clock()
        self._lock = threading.Lock()  # guards the following and the families
        self._access: dict[str, _AccessEntry] = {}
        self._refresh: dict[str, _RefreshEntry] = {}

    def now(self) -> float:
        """Return the wall time by the clock, in seconds since the epoch."""
        return self._wall(self._clock())

    def _wall(self, time: float) -> float:
        return self._wall_at_zero + self.skew + time

    # Issue

    def issue(
        self,
        family: TokenFamily,
        make_token: Callable[[TokenRecord], str] | None = None,
        *,
        seconds_left: float | None = None,
    ) -> tuple[str, TokenRecord]:
        """Return a new access token and its record.

        Args:
            family: Its family.
            make_token: Returns a token that differs each time; by default an opaque one.
            seconds_left: Seconds until it expires; by default the lifetime of access tokens.
        """
        now = self._clock()
        if seconds_left is None:
            seconds_left = self.active_lifetime
        record = TokenRecord(family=family, issued_at=int(self._wall(now) * 1000), seconds_left=seconds_left)
        token = secrets.token_urlsafe(24) if make_token is None else make_token(record)
        with self._lock:
            # Registered as if issued earlier or later, so that it expires on time.
            self._access[token] = _AccessEntry(family, now - self.active_lifetime + seconds_left, now)
        return token, record

    def issue_refresh_token(self, family: TokenFamily) -> str:
        """Return the next refresh token of a family."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._refresh[token] = _RefreshEntry(family, self._clock())
            family.refresh_token = token
        return token

    # Use

    def family_of(self, token: str) -> TokenFamily | None:
        """Return the family of an access token, active or not; None if it was never issued."""
        with self._lock:
            entry = self._access.get(token)
            return None if entry is None else entry.family

    def find(self, token: str, dialect: Dialect | None = None) -> TokenRecord:
        """Return the record of an active access token; this does not count as a use.

        Args:
            token: The access token.
            dialect: A token of another dialect is unknown; None for any dialect.

        Raises:
            InactiveToken: It is unknown, revoked, superseded or expired.
        """
        now = self._clock()
        with self._lock:
            entry = self._access.get(token)
            if (
                entry is None
                or entry.revoked
                or entry.family.ended == "revoked"
                or dialect not in (None, entry.family.dialect)
            ):
                raise InactiveToken("The access token is unknown or was revoked.")
            if now - entry.issued >= self.active_lifetime:
                raise InactiveToken("The access token has expired.")
            if entry.family.dialect == "gateway" and now - entry.last_used >= self._idle_lifetime:
                raise InactiveToken("The access token was not used for too long.")
            if entry.family.ended == "superseded":
                raise InactiveToken("Another session has ended the access token's session.", superseded=True)
            return TokenRecord(
                family=entry.family,
                issued_at=int(self._wall(entry.issued) * 1000),
                seconds_left=self.active_lifetime - (now - entry.issued),
            )

    def touch(self, token: str) -> None:
        """Record a use of an access token."""
        now = self._clock()
        with self._lock:
            if token in self._access:
                self._access[token].last_used = now

    def find_refresh_token(self, token: str, dialect: Dialect) -> tuple[TokenFamily, float]:
        """Return the family of an active refresh token and the seconds until it expires, without using it.

        The token of a superseded session is active: it may take over again.

        Raises:
            InactiveToken: It is unknown, used, revoked or expired.
        """
        now = self._clock()
        with self._lock:
            entry = self._refresh.get(token)
            if entry is None or entry.used or entry.family.dialect != dialect or entry.family.ended == "revoked":
                raise InactiveToken("The refresh token is unknown or was revoked.")
            seconds_left = self.refresh_lifetime - (now - entry.issued)
            if seconds_left <= 0:
                raise InactiveToken("The refresh token has expired.")
            return entry.family, seconds_left

    def use_refresh_token(
        self, token: str, dialect: Dialect, *, check: Callable[[TokenFamily], object], take_over: bool = False
    ) -> TokenFamily:
        """Mark a refresh token as used and return its family.

        A second use revokes the family: the token may have been stolen (RFC 9700 §4.14.2).

        Args:
            token: The refresh token.
            dialect: The dialect of the token endpoint.
            check: Raises if the client may not use the family; the token then stays unused.
            take_over: Whether a superseded session becomes active again.

        Raises:
            InactiveToken: It is unknown, used, revoked, expired or superseded; a superseded token stays unused.
        """
        with self._lock:
            entry = self._refresh.get(token)
            if entry is not None and entry.used and entry.family.dialect == dialect:
                entry.family.ended = "revoked"
                raise InactiveToken("The refresh token was used before; its whole family is now revoked.")
        family, _ = self.find_refresh_token(token, dialect)
        check(family)
        with self._lock:
            if family.ended == "superseded" and not take_over:
                raise InactiveToken("Another session has ended the refresh token's session.", superseded=True)
            self._refresh[token].used = True
            family.ended = None
            family.refresh_token = None
            family.refresh_count += 1
        return family

    # Sessions

    def has_other_session(self, family: TokenFamily) -> bool:
        """Return whether the account has another active session in the same dialect."""
        with self._lock:
            return any(self._is_active(other) for other in self._other_sessions(family))

    def end_other_sessions(self, family: TokenFamily) -> None:
        """End all other families of the same account and dialect."""
        with self._lock:
            for other in self._other_sessions(family):
                if other.ended is None:
                    other.ended = "superseded"

    def _other_sessions(self, family: TokenFamily) -> list[TokenFamily]:
        families = {entry.family for entry in self._access.values()} | {
            entry.family for entry in self._refresh.values()
        }
        owner = (family.dialect, family.username)
        return [each for each in families if each is not family and (each.dialect, each.username) == owner]

    def _is_active(self, family: TokenFamily) -> bool:
        now = self._clock()
        return family.ended is None and (
            any(
                entry.family is family and not entry.revoked and now - entry.issued < self.active_lifetime
                for entry in self._access.values()
            )
            or any(
                entry.family is family and not entry.used and now - entry.issued < self.refresh_lifetime
                for entry in self._refresh.values()
            )
        )

    # Revocation

    def revoke_family(self, family: TokenFamily) -> None:
        """Revoke all tokens of a family."""
        with self._lock:
            family.ended = "revoked"

    def revoke(self, token: str) -> bool:
        """Revoke one access token and not its family; return whether there was one."""
        with self._lock:
            entry = self._access.get(token)
            if entry is None or entry.revoked:
                return False
            entry.revoked = True
            return True

    def revoke_all(self) -> int:
        """Revoke every token, also refresh tokens; return the number of access tokens."""
        with self._lock:
            count = sum(not entry.revoked for entry in self._access.values())
            for entry in self._access.values():
                entry.revoked = True
                entry.family.ended = "revoked"
            return count

    def expire_all(self) -> int:
        """Expire every active access token; return their number."""
        now = self._clock()
        with self._lock:
            active = [each for each in self._access.values() if now - each.issued < self.active_lifetime]
            for entry in active:
                entry.issued = now - self.active_lifetime
            return len(active)

    def idle_out_all(self) -> int:
        """Let every access token of the gateway be unused for too long; return their number."""
        now = self._clock()
        with self._lock:
            entries = [each for each in self._access.values() if each.family.dialect == "gateway"]
            for entry in entries:
                entry.last_used = now - self._idle_lifetime
            return len(entries)

    def active(self) -> list[tuple[str, TokenRecord]]:
        """Return the active access tokens, the newest first."""
        with self._lock:
            tokens = [*reversed(self._access)]
        found = []
        for token in tokens:
            with contextlib.suppress(InactiveToken):
                found.append((token, self.find(token)))
        return found


def whole_seconds(seconds_left: float) -> int:
    """Return a lifetime in SEI's way: 3599 for 60 minutes, the whole seconds left after the response."""
    return -int(-seconds_left // 1) - 1
