"""Pauses after a failure."""

from __future__ import annotations

import math

import pytest

from seic import CertificateError, InvalidTokenResponse, SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.backoff import failure_backoff, is_refusal, rejected_token_backoff, retry_delay

LUCKY, UNLUCKY = 0.0, math.nextafter(1, 0)
DOWN = TokenEndpointUnavailable("down")
REFUSED = TokenRequestRefused("no", status=401)
TRANSIENT = TokenRequestRefused("not now", status=400, transient=True)


def asks(seconds: float) -> TokenEndpointUnavailable:
    """Return an error with a Retry-After."""
    return TokenEndpointUnavailable("busy", status=429, retry_after=seconds)


@pytest.mark.parametrize(
    ("error", "shortest", "longest"),
    [
        pytest.param(DOWN, 0, 0.5, id="a lost connection, within half a second"),
        pytest.param(TRANSIENT, 0, 0.5, id="a refusal that passes by itself"),
        pytest.param(asks(0), 0, 0, id="a Retry-After of nothing"),
        pytest.param(asks(2), 2, 2, id="the longest Retry-After that is sat out"),
        pytest.param(asks(2.1), None, None, id="a longer one"),
        pytest.param(REFUSED, None, None, id="a refusal"),
        pytest.param(InvalidTokenResponse("?", problem="?"), None, None, id="no token"),
        pytest.param(CertificateError("bad"), None, None, id="a certificate"),
    ],
)
def test_what_may_help_is_repeated_at_once(error: SeicError, shortest: float | None, longest: float | None) -> None:
    """The pause is random, up to its limit; None means no retry."""
    assert retry_delay(error, LUCKY) == shortest
    assert retry_delay(error, UNLUCKY) == (None if longest is None else pytest.approx(longest))


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (10_000, 30)]
)
def test_while_the_old_token_lives_pauses_double_up_to_half_a_minute(failures: int, longest: float) -> None:
    """Random pauses are longer than the shortest one, which limits an outage of 3 s to five requests."""
    assert failure_backoff(DOWN, failures=failures, ahead=True, chance=LUCKY).valid == pytest.approx(0.76)
    assert failure_backoff(DOWN, failures=failures, ahead=True, chance=UNLUCKY).valid == pytest.approx(longest)


@pytest.mark.parametrize("failures", [1, 2, 10_000])
def test_while_no_token_lives_the_endpoint_is_tried_again_within_a_second(failures: int) -> None:
    """After an outage of any length the first success comes within a second of the recovery."""
    assert failure_backoff(DOWN, failures=failures, ahead=False, chance=LUCKY).expired == pytest.approx(0.76)
    assert failure_backoff(DOWN, failures=failures, ahead=False, chance=UNLUCKY).expired == pytest.approx(0.80)


def test_a_failure_ahead_of_need_does_not_hold_up_those_in_need() -> None:
    """No caller waited for that attempt; a caller that needs a token can try at once."""
    assert failure_backoff(DOWN, failures=1, ahead=True, chance=UNLUCKY).expired == 0


@pytest.mark.parametrize(("failures", "expected"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 300), (10_000, 300)])
@pytest.mark.parametrize("ahead", [True, False])
def test_refused_credentials_are_left_alone(failures: int, expected: float, ahead: bool) -> None:
    """A loop must not lock the account, with or without a valid token; a refusal is remembered for minutes only."""
    assert failure_backoff(REFUSED, failures=failures, ahead=ahead, chance=LUCKY) == (expected, expected)


def test_a_refusal_that_passes_is_no_refusal() -> None:
    """The provider's `transient: true` takes precedence over the status."""
    assert is_refusal(REFUSED)
    assert not is_refusal(TRANSIENT)
    assert not is_refusal(DOWN)
    assert failure_backoff(TRANSIENT, failures=1, ahead=False, chance=LUCKY).expired == pytest.approx(0.76)


@pytest.mark.parametrize(
    ("status", "refuses"),
    [
        (400, True),
        (401, True),
        (403, True),
        (422, True),
        (None, True),
        (404, False),
        (405, False),
        (410, False),
        (421, False),
        (425, False),
    ],
)
def test_an_endpoint_that_is_not_there_has_refused_nothing(status: int | None, refuses: bool) -> None:
    """A gateway answers so during a deployment: it counts as an outage, and a valid token is still used."""
    error = TokenRequestRefused("no", status=status)
    assert is_refusal(error) is refuses
    assert retry_delay(error, LUCKY) is None
    assert failure_backoff(error, failures=1, ahead=False, chance=LUCKY).expired == pytest.approx(
        30 if refuses else 0.76
    )


@pytest.mark.parametrize(
    ("asked", "living", "dead"),
    [
        pytest.param(0.1, 0.76, 0.76, id="less than the shortest"),
        pytest.param(20, 20, 20, id="more"),
        pytest.param(60, 60, 60, id="the longest that is granted"),
        pytest.param(3600, 60, 60, id="an hour is capped"),
    ],
)
def test_retry_after_is_kept_to_and_capped(asked: float, living: float, dead: float) -> None:
    """The endpoint's value applies, up to a minute."""
    assert failure_backoff(asks(asked), failures=1, ahead=False, chance=LUCKY) == pytest.approx((living, dead))


def test_retry_after_holds_for_those_in_need_too() -> None:
    """It applies also after a background refresh."""
    assert failure_backoff(asks(20), failures=1, ahead=True, chance=LUCKY) == (20, 20)


@pytest.mark.parametrize(("times", "expected"), [(0, 0), (1, 1), (2, 2), (6, 32), (7, 60), (10_000, 60)])
def test_renewals_that_do_not_help_grow_rare(times: int, expected: float) -> None:
    """An API that rejects every token costs one token a minute at most, not one per call."""
    assert rejected_token_backoff(times) == expected
