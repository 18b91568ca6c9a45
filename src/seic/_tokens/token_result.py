"""`Choice` and `TokenResult`: what a token request is sent for, and the token with the clocks of its request."""

from __future__ import annotations

from typing import NamedTuple

from seic._model.grant_parameters import GrantParameters
from seic._model.token import Token
from seic._tokens.clock import Clock
from seic._tokens.single_use import UseState


class Choice(NamedTuple):
    """The grant of the next request; `is_own` tells the configured one, `secret` what it uses up."""

    grant: GrantParameters
    is_own: bool
    secret: str | None = None
    state: UseState = UseState.UNUSED
    login_id: str | None = None


class TokenResult(NamedTuple):
    """A token, both clocks just before it was requested, and whether a store had it."""

    token: Token
    now: float
    wall: float
    stored: bool = False


def obtained_before(token: Token, clock: Clock) -> TokenResult:
    """Return a token that was requested some time ago, by its own account."""
    # A clock that was set back since would make the token younger than new, so its age is at least nothing.
    age = max(0.0, clock.wall() - token.obtained_at)
    return TokenResult(token, clock.monotonic() - age, clock.wall() - age, stored=True)


def newer(one: Token | None, other: Token | None) -> Token | None:
    """Return the token that was requested later, if any."""
    if one is None or other is None:
        return one or other
    return other if other.obtained_at > one.obtained_at else one
