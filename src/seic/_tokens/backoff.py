"""How long to pause after a failed token request. Pure: chance and times are handed in."""

from __future__ import annotations

from typing import NamedTuple

from seic._errors import SeicError, TokenEndpointUnavailable, TokenRequestRefused

#: A first attempt that callers wait for is repeated once at once: most failures are a lost connection.
EAGER_ATTEMPTS = 2
#: The upper end of the pause before that repetition, in seconds; the pause is drawn from all below it (full jitter).
_REPEAT_WITHIN = 0.5
#: The longest Retry-After that a waiting caller sits out; a longer one fails the attempt and sets the pause.
_PATIENCE = 2.0
#: The shortest pause between attempts: with it an outage of 3 s costs five requests at most.
_SHORTEST = 0.76
#: The cap of the pauses while no token lives: the first success comes within a second of the recovery.
_DEAD_MAX = 0.80
#: While the old token lives nobody waits, so the upper end of the pause doubles from one second to half a minute.
_LIVING_FIRST, _LIVING_MAX = 1.0, 30.0
#: Refused credentials are remembered: a hot loop must not lock the service account out.
_REFUSED_FIRST, _REFUSED_MAX = 30.0, 300.0
#: What stands before the endpoint, or something else in its place: nobody looked at the credentials (RFC 9110 §15.5.5,
#: §15.5.6, §15.5.11, §15.5.20; RFC 8470 §5.2).
_NOT_THERE = frozenset({404, 405, 410, 421, 425})
#: The longest pause that an endpoint's Retry-After may impose, in seconds.
RETRY_AFTER_MAX = 60.0
#: The longest pause between renewals that do not help, in seconds.
_FRUITLESS_MAX = 60.0
#: A token that is rejected before this age, in seconds, was no help: twice the longest pause, so that no pause ends the
#: row.
AT_ONCE = 2 * _FRUITLESS_MAX


class Pauses(NamedTuple):
    """Seconds before the next attempt: while the old token lives, and while none does."""

    living: float
    dead: float


def is_refusal(error: SeicError) -> bool:
    """Whether the endpoint said no for good: the same request will be refused again."""
    return isinstance(error, TokenRequestRefused) and not error.transient and error.status not in _NOT_THERE


def repeat_in(error: SeicError, chance: float) -> float | None:
    """Return the pause before the same attempt is repeated, or None where it must not be.

    Args:
        error: What the attempt failed with.
        chance: A random number in [0, 1).
    """
    if isinstance(error, TokenEndpointUnavailable):
        if error.retry_after is None:
            return _REPEAT_WITHIN * chance
        return error.retry_after if error.retry_after <= _PATIENCE else None
    if isinstance(error, TokenRequestRefused) and error.transient:
        return _REPEAT_WITHIN * chance
    return None


def pauses(error: SeicError, *, failures: int, ahead: bool, chance: float) -> Pauses:
    """Return the pauses before the next attempt.

    Args:
        error: What the attempt failed with.
        failures: How many attempts since the last token have failed, this one included; for a refusal, how many were
            refused.
        ahead: Whether it was made ahead of need. It is then no verdict for those who come in need: they may try at
            once, unless the endpoint itself said otherwise.
        chance: A random number in [0, 1).
    """
    if is_refusal(error):
        pause = _doubled(_REFUSED_FIRST, failures, most=_REFUSED_MAX)
        return Pauses(pause, pause)
    living = cut_off_pause(failures, chance)
    dead = 0.0 if ahead else _SHORTEST + (_DEAD_MAX - _SHORTEST) * chance
    if isinstance(error, TokenEndpointUnavailable) and error.retry_after is not None:
        asked = min(error.retry_after, RETRY_AFTER_MAX)
        return Pauses(max(living, asked), max(dead, asked))
    return Pauses(living, dead)


def cut_off_pause(times: int, chance: float) -> float:
    """Return the pause in seconds before the next renewal ahead, where those before were cut off, or failed.

    Args:
        times: How many in a row.
        chance: A random number in [0, 1).
    """
    return _SHORTEST + (_doubled(_LIVING_FIRST, times, most=_LIVING_MAX) - _SHORTEST) * chance


def _doubled(first: float, times: int, *, most: float) -> float:
    return min(first * 2.0 ** min(times - 1, 16), most)  # beyond, every schedule has long reached its cap


def fruitless_pause(times: int) -> float:
    """Return the pause in seconds before a token is replaced again that the API rejects as it did those before.

    Args:
        times: How many in a row were rejected at once; none is no pause.
    """
    return min(2.0 ** min(times - 1, 16), _FRUITLESS_MAX) if times else 0.0
