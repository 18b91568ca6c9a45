"""A token in hand with its deadlines, and the windows that set them. Pure: the time is handed in."""

from __future__ import annotations

import enum
import math
import re
from typing import TypeAlias

import attrs

from seic._errors import ConfigurationError
from seic._model.secrecy import SecretStr
from seic._model.token import Token

#: Renewal ahead begins with a fifth of the lifetime left: long enough for several attempts and a slow endpoint.
_ADVISORY_SHARE = 0.20
#: Callers wait with a fortieth left (90 s of an hour): covers the flight of a call and coarse clocks.
_MANDATORY_SHARE = 0.025
#: The advisory window opens up to a quarter earlier, by chance, so that a fleet does not renew in step.
_JITTER = 0.25
#: No window is wider, or a token would be renewed almost as soon as it is there.
_WIDEST_SHARE = 0.5
#: An idle token is given up this share of the idle lifetime early, for the call's own way to the server.
_IDLE_MARGIN = 0.025

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")

#: How long before expiry: seconds as a number, or a share of the lifetime as a text such as "20%".
Margin: TypeAlias = float | str


class Freshness(enum.Enum):
    """What may be done with a token now."""

    FRESH = enum.auto()
    ADVISORY = enum.auto()
    MANDATORY = enum.auto()
    DEAD = enum.auto()


@attrs.frozen
class _Margin:
    """A margin as it was stated."""

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


@attrs.frozen(init=False)
class Windows:
    """When to renew, counted back from expiry: in seconds or as a share of the lifetime, by default as shares.

    Seconds that would take more than half of a short lifetime give way to the default shares.

    Args:
        advisory: From when one background renewal runs while calls go on.
        mandatory: From when calls wait for the renewal.

    Raises:
        ConfigurationError: A margin is none, or calls would wait before anyone renews ahead.
    """

    _advisory: _Margin | None
    _mandatory: _Margin | None

    def __init__(self, advisory: Margin | None = None, mandatory: Margin | None = None) -> None:
        first, last = _Margin.parse(advisory, "advisory_refresh"), _Margin.parse(mandatory, "mandatory_refresh")
        if first and last and first.is_share == last.is_share and first.amount < last.amount:
            raise ConfigurationError(
                f"advisory_refresh: {first} must not be less than mandatory_refresh ({last}), since calls would wait "
                "before anyone renews ahead",
                field="advisory_refresh",
            )
        # attrs makes the method for a class that has an __init__ of its own.
        self.__attrs_init__(first, last)  # pyright: ignore[reportAttributeAccessIssue]

    def margins(self, lifetime: float, chance: float) -> tuple[float, float]:
        """Return the advisory and the mandatory margin for a lifetime, in seconds before expiry.

        Args:
            lifetime: Seconds of life.
            chance: A random number in [0, 1) that spreads the advisory window.
        """
        advisory = self._advisory.of(lifetime) if self._advisory else None
        mandatory = self._mandatory.of(lifetime) if self._mandatory else None
        # One that is stated pushes a default of the other aside, so that there is always time to renew ahead.
        if advisory is None:
            advisory = min(max(lifetime * _ADVISORY_SHARE, 2 * (mandatory or 0.0)), lifetime * _WIDEST_SHARE)
        if mandatory is None:
            mandatory = min(lifetime * _MANDATORY_SHARE, advisory / 2)
        return max(advisory * (1 + _JITTER * chance), mandatory), mandatory


class Held:
    """A token with its deadlines on both clocks.

    The monotonic clock decides over life and death. The wall clock, which alone moves while a machine sleeps, and which
    people step, can only ask for a renewal: a token that it calls dead is renewed before the next call, and where that
    fails it serves to its monotonic end.

    Mutable on purpose: the flow that carried it notes the use here, without a lock, since each note is one store of a
    value that may also be a little old.
    """

    __slots__ = (
        "_idle",
        "_wall_end",
        "asked",
        "authorization",
        "dies_at",
        "idle_at",
        "must_renew_at",
        "rejected",
        "renew_at",
        "token",
        "wall_until",
    )

    def __init__(
        self,
        token: Token,
        *,
        now: float,
        wall: float,
        windows: Windows,
        idle_lifetime: float | None = None,
        chance: float = 0.0,
    ) -> None:
        """Set the deadlines.

        Args:
            token: What was had.
            now: The monotonic clock just before it was asked for.
            wall: The wall clock at that same moment.
            windows: When to renew.
            idle_lifetime: Seconds without use that kill it; None for no such limit.
            chance: A random number in [0, 1).
        """
        self.token = token
        # SEI's BearerToken is used as Bearer; a DPoP token has a scheme of its own (RFC 9449 §7.1).
        scheme = "DPoP" if token.token_type.lower() == "dpop" else "Bearer"
        self.authorization = SecretStr(f"{scheme} {token.access_token}")
        #: The number of the flight that asked for it; 0 where none of this process did.
        self.asked = 0
        #: Whether the API has refused it.
        self.rejected = False
        if token.expires_in is None:
            # No expiry is known: it serves until the API rejects it.
            self.renew_at = self.must_renew_at = self.dies_at = self._wall_end = math.inf
        else:
            advisory, mandatory = windows.margins(token.expires_in, chance)
            self.dies_at = now + token.expires_in
            self.renew_at = self.dies_at - advisory
            self.must_renew_at = self.dies_at - mandatory
            self._wall_end = wall + token.expires_in - mandatory
        self._idle = math.inf if idle_lifetime is None else idle_lifetime * (1 - _IDLE_MARGIN)
        self.idle_at = now + self._idle
        self.wall_until = min(wall + self._idle, self._wall_end)

    def used(self, now: float, wall: float) -> None:
        """Note that a call carried it and the API took it; the clocks are those from before the call."""
        # A slow call that began early may end after one that began late.
        if now + self._idle > self.idle_at:
            self.idle_at = now + self._idle
            self.wall_until = min(wall + self._idle, self._wall_end)

    def reject(self) -> None:
        """Note that the API refused it: it is never served again."""
        self.rejected = True
        self.renew_at = -math.inf

    def age(self) -> None:
        """Have it renewed before the next call."""
        self.renew_at = self.must_renew_at = -math.inf

    @property
    def ends_at(self) -> float:
        """When it dies by the monotonic clock, of age or for want of use."""
        return min(self.dies_at, self.idle_at)

    def freshness(self, now: float, wall: float) -> Freshness:
        """Return what may be done with it."""
        if self.rejected or now >= self.dies_at or now >= self.idle_at:
            return Freshness.DEAD
        if now >= self.must_renew_at or wall >= self.wall_until:
            return Freshness.MANDATORY
        return Freshness.ADVISORY if now >= self.renew_at else Freshness.FRESH


def nothing_held() -> Held:
    """Return what stands in place of a token before the first: dead, so that every check fails on it."""
    held = Held(Token(access_token=""), now=0.0, wall=0.0, windows=Windows())
    held.reject()
    return held
