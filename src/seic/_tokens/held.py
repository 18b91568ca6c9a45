"""A token in hand with its deadlines, and the windows that set them. Pure: the time is handed in."""

from __future__ import annotations

import enum
import math

import attrs

from seic._errors import ConfigurationError
from seic._model.secrecy import HiddenText
from seic._model.token import Token

#: Renewal ahead begins with a fifth of the lifetime left: long enough for several attempts and a slow endpoint.
_ADVISORY_SHARE = 0.20
#: Callers wait with a fortieth left (90 s of an hour): covers the flight of a call and coarse clocks.
_MANDATORY_SHARE = 0.025
#: The advisory window opens up to a quarter earlier, by chance, so that a fleet does not renew in step.
_JITTER = 0.25
#: An idle token is given up this share of the idle lifetime early, for the call's own way to the server.
_IDLE_MARGIN = 0.025
#: Seconds by which the wall clock may run ahead of the monotonic one: far above NTP's slewing in a token's life.
_SKEW = 5.0


class Freshness(enum.Enum):
    """What may be done with a token now."""

    FRESH = enum.auto()
    ADVISORY = enum.auto()
    MANDATORY = enum.auto()
    DEAD = enum.auto()


@attrs.frozen
class Windows:
    """When to renew, counted back from expiry: in seconds, or by default as a share of the lifetime.

    Seconds that do not fit into a short lifetime give way to the shares, so that no window swallows a whole token.

    Args:
        advisory: Seconds before expiry from which one background renewal runs while calls go on.
        mandatory: Seconds before expiry from which calls wait for the renewal.
    """

    advisory: float | None = None
    mandatory: float | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse windows that could not be."""
        for name in ("advisory", "mandatory"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigurationError(
                    f"{name}_refresh: must be seconds before expiry, 0 or more, not {value!r}", field=f"{name}_refresh"
                )
        if self.advisory is not None and self.mandatory is not None and self.advisory < self.mandatory:
            raise ConfigurationError(
                f"advisory_refresh: {self.advisory:g} s is less than mandatory_refresh ({self.mandatory:g} s), "
                "since calls would wait before anyone renews ahead",
                field="advisory_refresh",
            )

    def margins(self, lifetime: float, chance: float) -> tuple[float, float]:
        """Return the advisory and the mandatory margin for a lifetime, in seconds before expiry.

        Args:
            lifetime: Seconds of life.
            chance: A random number in [0, 1) that spreads the advisory window.
        """
        mandatory = lifetime * _MANDATORY_SHARE
        if self.mandatory is not None and self.mandatory <= lifetime / 2:
            mandatory = self.mandatory
        advisory = lifetime * _ADVISORY_SHARE
        if self.advisory is not None and self.advisory <= lifetime / 2:
            advisory = self.advisory
        return max(advisory * (1 + _JITTER * chance), mandatory), mandatory


class Held:
    """A token with its deadlines on the monotonic clock.

    Mutable on purpose: the flow that carried it notes the use here, without a lock, since each note is one store of a
    value that may also be a little old.
    """

    __slots__ = (
        "accepted",
        "after_rejection",
        "authorization",
        "dies_at",
        "idle",
        "idle_at",
        "must_renew_at",
        "rejected",
        "renew_at",
        "skew_limit",
        "token",
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
        after_rejection: bool = False,
    ) -> None:
        """Set the deadlines.

        Args:
            token: What was had.
            now: The monotonic clock just before it was asked for.
            wall: The wall clock at that same moment.
            windows: When to renew.
            idle_lifetime: Seconds without use that kill it; None for no such limit.
            chance: A random number in [0, 1).
            after_rejection: Whether it replaces a token that the API rejected.
        """
        self.token = token
        self.authorization = HiddenText(f"Bearer {token.access_token}")
        self.after_rejection = after_rejection
        self.accepted = False
        self.rejected = False
        if token.expires_in is None:
            # No expiry is known: it serves until the API rejects it.
            self.renew_at = self.must_renew_at = self.dies_at = math.inf
        else:
            advisory, mandatory = windows.margins(token.expires_in, chance)
            self.dies_at = now + token.expires_in
            self.renew_at = self.dies_at - advisory
            self.must_renew_at = self.dies_at - mandatory
        self.idle = math.inf if idle_lifetime is None else idle_lifetime * (1 - _IDLE_MARGIN)
        self.idle_at = now + self.idle
        self.skew_limit = wall - now + _SKEW

    def used(self, now: float) -> None:
        """Note that a call carried it at `now` and the API took it."""
        self.accepted = True
        self.idle_at = now + self.idle

    def freshness(self, now: float, wall: float) -> Freshness:
        """Return what may be done with it.

        A wall clock that ran ahead means that the machine slept, or that someone set the clock; nothing here can tell
        which. So it is renewed at once, and where that fails it goes on to its monotonic end.
        """
        if self.rejected or now >= self.dies_at or now >= self.idle_at:
            return Freshness.DEAD
        if now >= self.must_renew_at or wall - now > self.skew_limit:
            return Freshness.MANDATORY
        return Freshness.ADVISORY if now >= self.renew_at else Freshness.FRESH


def nothing_held() -> Held:
    """Return what stands in place of a token before the first: dead, so that every check fails on it."""
    held = Held(Token(access_token=""), now=0.0, wall=0.0, windows=Windows())
    held.renew_at = held.must_renew_at = held.dies_at = -math.inf
    return held
