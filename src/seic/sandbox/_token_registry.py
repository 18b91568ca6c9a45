"""The tokens that live: whose they are, what they came from, when they die. No HTTP, and no time but its clock."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

Dialect: TypeAlias = Literal["gateway", "platform", "plain"]

_DAY = 86400.0


@attrs.define(kw_only=True, eq=False)
class TokenFamily:
    """What one login, or one token call, led to: an access token, what it was refreshed to, and so on.

    Args:
        dialect: By whose rules it lives.
        username: The account that owns it; the client, where there is no account.
        thumbprint: SHA-256 of the client certificate that it was minted with, base64url; None for one minted without.
        scope: What it may do.
        redirect_url: Where the login returned to.
        refresh_token: The one that is good now.
        refresh_count: How often it was refreshed.
        end: How it ended; None while it lives. Only the registry writes this one and the two above.
    """

    dialect: Dialect
    username: str
    thumbprint: str | None = None
    scope: str = ""
    redirect_url: str = ""
    refresh_token: str | None = attrs.field(default=None, repr=False)
    refresh_count: int = 0
    end: Literal["revoked", "elsewhere"] | None = None


@attrs.frozen(kw_only=True)
class TokenRecord:
    """What is known of a live token.

    Args:
        family: What it belongs to.
        issued_at: Milliseconds since the epoch.
        seconds_left: Of its active life.
    """

    family: TokenFamily
    issued_at: int
    seconds_left: float

    @property
    def username(self) -> str:
        """The account that owns it."""
        return self.family.username


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
    spent: bool = False


class InactiveToken(Exception):
    """The token opens nothing; the message says why, in a sentence.

    Args:
        reason: The sentence.
        elsewhere: Whether another session of the same account ended this one.
    """

    def __init__(self, reason: str, *, elsewhere: bool = False) -> None:
        super().__init__(reason)
        self.elsewhere = elsewhere


class TokenRegistry:
    """Issues tokens and knows which are alive; safe to use from any thread.

    Args:
        clock: Seconds; only differences count.
        active_lifetime: Seconds from an access token's issue to its death.
        idle_lifetime: Seconds from the last use, or from issue, to death; the gateway's alone.
        refresh_lifetime: Seconds from a refresh token's issue to its death.
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
        # Wall times move with the clock, so that a clock moved by hand moves them too.
        self._wall_at_zero = time.time() - clock()
        self._lock = threading.Lock()  # guards what follows, and the families
        self._entries: dict[str, _AccessEntry] = {}
        self._refreshes: dict[str, _RefreshEntry] = {}

    def now(self) -> float:
        """Return the wall time of the clock, in seconds since the epoch."""
        return self._wall_at_zero + self._clock()

    # Issue

    def issue(self, family: TokenFamily, mint: Callable[[TokenRecord], str] | None = None) -> tuple[str, TokenRecord]:
        """Return a new access token and what is known of it.

        Args:
            family: What it belongs to.
            mint: Makes the token, which has to be another each time; opaque by default.
        """
        now = self._clock()
        record = TokenRecord(
            family=family, issued_at=int((self._wall_at_zero + now) * 1000), seconds_left=self.active_lifetime
        )
        token = secrets.token_urlsafe(24) if mint is None else mint(record)
        with self._lock:
            self._entries[token] = _AccessEntry(family, now, now)
        return token, record

    def issue_refresh_token(self, family: TokenFamily) -> str:
        """Return the family's next refresh token."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._refreshes[token] = _RefreshEntry(family, self._clock())
            family.refresh_token = token
        return token

    # Use

    def family_of(self, token: str) -> TokenFamily | None:
        """Return what an access token belongs to, or belonged to while it lived; None for one that was never issued."""
        with self._lock:
            entry = self._entries.get(token)
            return None if entry is None else entry.family

    def find(self, token: str) -> TokenRecord:
        """Return what is known of a live access token, without counting as a use of it.

        Raises:
            InactiveToken: It is unknown, revoked or ended, or past one of its lifetimes.
        """
        now = self._clock()
        with self._lock:
            entry = self._entries.get(token)
            if entry is None or entry.revoked or entry.family.end == "revoked":
                raise InactiveToken("The access token is unknown or was revoked.")
            if now - entry.issued >= self.active_lifetime:
                raise InactiveToken("The access token has expired.")
            if entry.family.dialect == "gateway" and now - entry.last_used >= self._idle_lifetime:
                raise InactiveToken("The access token was not used for too long.")
            if entry.family.end == "elsewhere":
                raise InactiveToken("The access token's session was ended by another one.", elsewhere=True)
            return TokenRecord(
                family=entry.family,
                issued_at=int((self._wall_at_zero + entry.issued) * 1000),
                seconds_left=self.active_lifetime - (now - entry.issued),
            )

    def touch(self, token: str) -> None:
        """Count a use of the token from now."""
        now = self._clock()
        with self._lock:
            if token in self._entries:
                self._entries[token].last_used = now

    def find_refresh_token(self, token: str, dialect: Dialect) -> tuple[TokenFamily, float]:
        """Return what a live refresh token belongs to, and the seconds that it has left; nothing is spent by it.

        A session that another one ended still counts: it may be taken back.

        Raises:
            InactiveToken: It is unknown, spent or revoked, or past its lifetime.
        """
        now = self._clock()
        with self._lock:
            refresh = self._refreshes.get(token)
            if refresh is None or refresh.spent or refresh.family.dialect != dialect or refresh.family.end == "revoked":
                raise InactiveToken("The refresh token is unknown or was revoked.")
            left = self.refresh_lifetime - (now - refresh.issued)
            if left <= 0:
                raise InactiveToken("The refresh token has expired.")
            return refresh.family, left

    def use_refresh_token(
        self, token: str, dialect: Dialect, *, admit: Callable[[TokenFamily], object], take_over: bool = False
    ) -> TokenFamily:
        """Use a refresh token up, and return what it belongs to.

        One that is used a second time has been stolen from somebody: its family dies (RFC 9700 §4.14.2).

        Args:
            token: The refresh token.
            dialect: At whose endpoint it is shown.
            admit: Raises where the caller may not use what the token belongs to; then it is not used up.
            take_over: Whether a session that another one ended is taken back.

        Raises:
            InactiveToken: It is none, or no longer; what another session ended is not used up by that.
        """
        with self._lock:
            reused = self._refreshes.get(token)
            if reused is not None and reused.spent and reused.family.dialect == dialect:
                reused.family.end = "revoked"
                raise InactiveToken("The refresh token was used before; all that came of it is dead now.")
        family, _ = self.find_refresh_token(token, dialect)
        admit(family)
        with self._lock:
            if family.end == "elsewhere" and not take_over:
                raise InactiveToken("The refresh token's session was ended by another one.", elsewhere=True)
            self._refreshes[token].spent = True
            family.end = None
            family.refresh_token = None
            family.refresh_count += 1
        return family

    # Sessions

    def has_other_session(self, family: TokenFamily) -> bool:
        """Tell whether the family's account has another one that lives, in the same dialect."""
        with self._lock:
            return any(self._is_live(other) for other in self._relatives(family))

    def end_other_sessions(self, family: TokenFamily) -> None:
        """End every other family of the same account and dialect."""
        with self._lock:
            for other in self._relatives(family):
                if other.end is None:
                    other.end = "elsewhere"

    def _relatives(self, family: TokenFamily) -> list[TokenFamily]:
        families = {entry.family for entry in self._entries.values()}
        families |= {refresh.family for refresh in self._refreshes.values()}
        owner = (family.dialect, family.username)
        return [each for each in families if each is not family and (each.dialect, each.username) == owner]

    def _is_live(self, family: TokenFamily) -> bool:
        now = self._clock()
        return family.end is None and (
            any(
                entry.family is family and not entry.revoked and now - entry.issued < self.active_lifetime
                for entry in self._entries.values()
            )
            or any(
                each.family is family and not each.spent and now - each.issued < self.refresh_lifetime
                for each in self._refreshes.values()
            )
        )

    # Death

    def revoke_family(self, family: TokenFamily) -> None:
        """Kill a family with every token of it."""
        with self._lock:
            family.end = "revoked"

    def revoke(self, token: str) -> bool:
        """Kill one access token, and leave its family; tell whether there was one."""
        with self._lock:
            entry = self._entries.get(token)
            if entry is None or entry.revoked:
                return False
            entry.revoked = True
            return True

    def revoke_all(self) -> int:
        """Kill every token, refresh tokens too; tell how many access tokens there were."""
        with self._lock:
            count = sum(not entry.revoked for entry in self._entries.values())
            for entry in self._entries.values():
                entry.revoked = True
                entry.family.end = "revoked"
            return count


def whole_seconds(seconds_left: float) -> int:
    """Return a lifetime as SEI writes it: 3599 for 60 minutes, the whole seconds left once it is handed out."""
    return -int(-seconds_left // 1) - 1
