"""The cached token with its deadlines, and the policy that sets them. Pure: the caller passes the time."""

from __future__ import annotations

import enum
import math
import re
from typing import TypeAlias

from seic._errors import ConfigurationError
from seic._model.secret import SecretStr
from seic._model.token import Token
from seic._values import frozen

#: The advisory refresh begins with a fifth of the lifetime left: time for several attempts at a slow endpoint.
_ADVISORY_SHARE = 0.20
#: Callers wait with a fortieth left (90 s of an hour): covers the way of a request and coarse clocks.
_MANDATORY_SHARE = 0.025
#: The advisory window opens up to a quarter earlier, by chance, so that a fleet does not refresh in step.
_JITTER = 0.25
#: No window is wider, or a token would be refreshed almost as soon as it is obtained.
_WIDEST_SHARE = 0.5
#: An idle token is given up this share of the idle lifetime early, for the request's way to the server.
_IDLE_MARGIN = 0.025

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")

#: A shared token is compared with the one in the store after so many seconds, and before a request after twice as many.
CHECK_AFTER = 15.0
#: A time before expiry: seconds as a number, or a share of the lifetime as a text such as "20%".
Margin: TypeAlias = float | str


class Freshness(enum.Enum):
    """The use that a token may be put to now."""

    FRESH = enum.auto()
    ADVISORY = enum.auto()
    MANDATORY = enum.auto()
    EXPIRED = enum.auto()


@frozen
class _Margin:
    """A margin as it was set."""

    amount: float
    is_share: bool

    @classmethod
    def parse(cls, value: Margin | None, field: str) -> _Margin | None:
        if value is None:
            return None
        share = _SHARE.fullmatch(value) if isinstance(value, str) else None
        if share is not None:
            margin = cls(float(share[1]) / 100, is_share=True)
            fits = margin.amount <= _WIDEST_SHARE
        else:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            margin = cls(float(value) if is_number else math.nan, is_share=False)
            fits = 0 <= margin.amount < math.inf
        if not fits:
            raise ConfigurationError(
                f"{field}: must be a number of seconds before expiry, 0 or more, or a share of the lifetime such as "
                f"'20%', up to {_WIDEST_SHARE:.0%}; not {value!r}",
                field=field,
            )
        return margin

    def of(self, lifetime: float) -> float | None:
        """Return it in seconds; None where it would take too much of a short lifetime."""
        seconds = self.amount * lifetime if self.is_share else self.amount
        return seconds if seconds <= lifetime * _WIDEST_SHARE else None

    def __str__(self) -> str:
        return f"{self.amount:.4g} of the lifetime" if self.is_share else f"{self.amount:g} s"


@frozen(init=False)
class RefreshPolicy:
    """When to refresh, counted back from expiry: in seconds or as a share of the lifetime, by default as shares.

    Seconds that would take more than half of a short lifetime are replaced by the default shares.

    Args:
        advisory: From then on, one refresh runs in the background while requests use the old token.
        mandatory: From then on, requests wait for the refresh.

    Raises:
        ConfigurationError: A margin is malformed, or requests would wait before the background refresh begins.
    """

    _advisory: _Margin | None
    _mandatory: _Margin | None

    def __init__(self, advisory: Margin | None = None, mandatory: Margin | None = None) -> None:
        first, last = _Margin.parse(advisory, "advisory_refresh"), _Margin.parse(mandatory, "mandatory_refresh")
        if first and last and first.is_share == last.is_share and first.amount < last.amount:
            raise ConfigurationError(
                f"advisory_refresh: {first} must not be less than mandatory_refresh ({last}), because requests "
                "would wait before the background refresh begins",
                field="advisory_refresh",
            )
        # attrs makes the method for a class that has an __init__ of its own.
        self.__attrs_init__(first, last)  # pyright: ignore[reportAttributeAccessIssue]

    def margins(self, lifetime: float, chance: float) -> tuple[float, float]:
        """Return the advisory and the mandatory margin for a lifetime, in seconds; `chance` spreads the first."""
        advisory = self._advisory.of(lifetime) if self._advisory else None
        mandatory = self._mandatory.of(lifetime) if self._mandatory else None
        # A default gives way to the other margin if that is set: there is always time for the background refresh.
        if advisory is None:
            advisory = min(max(lifetime * _ADVISORY_SHARE, 2 * (mandatory or 0.0)), lifetime * _WIDEST_SHARE)
        if mandatory is None:
            mandatory = min(lifetime * _MANDATORY_SHARE, advisory / 2)
        return max(advisory * (1 + _JITTER * chance), mandatory), mandatory


class CachedToken:
    """A token with its deadlines on both clocks.

    The monotonic clock decides about expiry. The wall clock, which alone moves while a machine sleeps, and which people
    set, can only ask for a refresh: a token that it calls expired is refreshed before the next request, and if that
    fails it is used to its monotonic end.

    Mutable: the auth flow notes each use here without a lock, because each note stores one value, which may also be a
    little old.
    """

    def __init__(
        self,
        token: Token,
        *,
        now: float,
        wall: float,
        policy: RefreshPolicy,
        idle_lifetime: float | None = None,
        chance: float = 0.0,
        refresh_id: int = 0,
        scheme: str = "Bearer",
    ) -> None:
        """Set the deadlines; `now` and `wall` are the clocks just before the token was requested.

        `refresh_id` is 0 if this process did not request it; `scheme` is the provider's, of `Authorization`.
        """
        self.token = token
        # A DPoP token has a scheme of its own (RFC 9449 §7.1).
        if token.token_type.lower() == "dpop":
            scheme = "DPoP"
        self.authorization = SecretStr(f"{scheme} {token.access_token}")
        self.refresh_id = refresh_id
        #: Whether the API rejected it.
        self.invalidated = False
        if token.expires_in is None:
            # No expiry is known: it is used until the API rejects it.
            self.renew_at = self.must_renew_at = self.expires_at = self._wall_end = math.inf
        else:
            advisory, mandatory = policy.margins(token.expires_in, chance)
            self.expires_at = now + token.expires_in
            self.renew_at = self.expires_at - advisory
            self.must_renew_at = self.expires_at - mandatory
            self._wall_end = wall + token.expires_in - mandatory
        self._own_times = self.renew_at, self.must_renew_at
        self._idle = math.inf if idle_lifetime is None else idle_lifetime * (1 - _IDLE_MARGIN)
        self.idle_at = now + self._idle
        self.wall_until = min(wall + self._idle, self._wall_end)
        #: The last use that other processes know of, by the monotonic clock.
        self.shared_use = self.last_used

    @property
    def last_used(self) -> float:
        """The monotonic time of its last use, or of its request; 0 without an idle lifetime."""
        return 0.0 if self._idle == math.inf else self.idle_at - self._idle

    def mark_used(self, now: float, wall: float) -> None:
        """Note that the API accepted it; the clocks are those from before the request."""
        # A slow request that began early may end after one that began late.
        if now + self._idle > self.idle_at:
            self.idle_at = now + self._idle
            self.wall_until = min(wall + self._idle, self._wall_end)

    def invalidate(self) -> None:
        """Note that the API rejected it: it is never used again."""
        self.invalidated = True
        self._own_times = -math.inf, -math.inf
        self.renew_at = -math.inf

    def expire_soon(self) -> None:
        """Have it refreshed before the next request."""
        self._own_times = -math.inf, -math.inf
        self.renew_at = self.must_renew_at = -math.inf

    def mark_checked(self, now: float) -> None:
        """Note that it is the one in the store: it is compared again in the background, later before a request."""
        self.renew_at, self.must_renew_at = now + CHECK_AFTER, now + 2 * CHECK_AFTER
        # Read last: another thread may have invalidated it meanwhile.
        own_renew_at, own_must_renew_at = self._own_times
        self.renew_at = min(self.renew_at, own_renew_at)
        self.must_renew_at = min(self.must_renew_at, own_must_renew_at)

    def is_check_due(self, now: float, wall: float) -> bool:
        """Whether it is fresh, and only to be compared with the one in the store."""
        is_fresh = now < self._own_times[0] and now < self.idle_at and wall < self.wall_until
        return is_fresh and now >= self.renew_at

    def is_only_idle(self, now: float, wall: float) -> bool:
        """Whether it is fresh, unless nobody has used it for too long."""
        return now < self._own_times[0] and self._idle != math.inf and (now >= self.idle_at or wall >= self.wall_until)

    def freshness(self, now: float, wall: float) -> Freshness:
        """Return what it may be used for."""
        if self.invalidated or now >= self.expires_at or now >= self.idle_at:
            return Freshness.EXPIRED
        if now >= self.must_renew_at or wall >= self.wall_until:
            return Freshness.MANDATORY
        return Freshness.ADVISORY if now >= self.renew_at else Freshness.FRESH


def no_token() -> CachedToken:
    """Return the placeholder before the first token: it is expired, so that every check fails."""
    empty = CachedToken(Token(access_token=""), now=0.0, wall=0.0, policy=RefreshPolicy())
    empty.invalidate()
    return empty
