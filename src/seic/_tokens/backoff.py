"""How long to pause after a failed token request. Pure: chance and times are handed in."""

from __future__ import annotations

from seic._errors import SeicError, TokenEndpointUnavailable, TokenRequestRefused

#: A first attempt that callers wait for is repeated once at once: most failures are a lost connection.
EAGER_ATTEMPTS = 2
#: The upper end of the pause before that repetition, in seconds; the pause is drawn from all below it (full jitter).
_REPEAT_WITHIN = 0.5
#: While no token lives, one attempt each 0.76 to 0.8 s: an outage of 3 s costs five requests, and the first success
#: comes within a second of the recovery.
_PROBE_MIN, _PROBE_MAX = 0.76, 0.80
#: While the old token lives nobody waits, so the pauses double from one second to half a minute.
_AHEAD_FIRST, _AHEAD_MAX = 1.0, 30.0
#: Refused credentials are remembered: a hot loop must not lock the service account out.
_REFUSED_FIRST, _REFUSED_MAX = 30.0, 300.0
#: The longest pause that an endpoint's Retry-After may impose, in seconds.
RETRY_AFTER_MAX = 60.0
#: The longest Retry-After that a waiting caller sits out; a longer one fails the attempt and sets the pause.
_PATIENCE = 2.0
#: The longest pause between renewals that do not help, in seconds.
_FRUITLESS_MAX = 60.0


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


def pauses(error: SeicError, failures: int, chance: float) -> tuple[float, float]:
    """Return the pauses before the next attempt: while the old token lives, and while none does.

    Args:
        error: What the attempt failed with.
        failures: How many attempts in a row have failed so, this one included.
        chance: A random number in [0, 1).
    """
    steps = min(failures - 1, 16)  # beyond, every schedule has long reached its cap
    if isinstance(error, TokenRequestRefused) and not error.transient:
        pause = min(_REFUSED_FIRST * 2**steps, _REFUSED_MAX)
        return pause, pause
    living = min(_AHEAD_FIRST * 2**steps, _AHEAD_MAX) * (0.75 + 0.25 * chance)
    probing = _PROBE_MIN + (_PROBE_MAX - _PROBE_MIN) * chance
    if isinstance(error, TokenEndpointUnavailable) and error.retry_after is not None:
        asked = min(error.retry_after, RETRY_AFTER_MAX)
        return max(living, asked), max(probing, asked)
    return living, probing


def fruitless_pause(times: int) -> float:
    """Return the pause in seconds before a token is renewed again that the API rejects whatever its age.

    Args:
        times: How often in a row that has been seen.
    """
    return min(2.0 ** min(times - 1, 16), _FRUITLESS_MAX)
