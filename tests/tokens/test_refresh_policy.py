"""Freshness of tokens: both sides of each limit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from seic import ConfigurationError, Token
from seic._tokens.refresh_policy import CachedToken, Freshness, RefreshPolicy, no_token

NOW, WALL = 1_000.0, 1_700_000_000.0
FRESH, ADVISORY, MANDATORY, DEAD = Freshness.FRESH, Freshness.ADVISORY, Freshness.MANDATORY, Freshness.EXPIRED


def hold(expires_in: float | None = 3600, **options: Any) -> CachedToken:
    """Return a token that was requested at NOW."""
    token = Token(access_token="secret-token", expires_in=expires_in)
    return CachedToken(token, **{"now": NOW, "wall": WALL, "policy": RefreshPolicy(), **options})


def after(held: CachedToken, seconds: float, *, wall: float | None = None) -> Freshness:
    """Return its freshness some seconds later, by both clocks unless a wall time is given."""
    return held.freshness(NOW + seconds, WALL + (seconds if wall is None else wall))


# RefreshPolicy


@pytest.mark.parametrize(
    ("windows", "lifetime", "advisory", "mandatory"),
    [
        pytest.param(RefreshPolicy(), 3600, 720, 90, id="by default shares of an hour"),
        pytest.param(RefreshPolicy(), 2, 0.4, 0.05, id="by default shares of two seconds"),
        pytest.param(RefreshPolicy(300, 60), 3600, 300, 60, id="seconds"),
        pytest.param(RefreshPolicy(300, 60), 600, 300, 60, id="seconds that just fit"),
        pytest.param(RefreshPolicy(300, 60), 599, 120, 60, id="seconds that do not fit give way"),
        pytest.param(RefreshPolicy(300, 60), 100, 20, 2.5, id="both give way"),
        pytest.param(RefreshPolicy("50%", "10%"), 3600, 1800, 360, id="shares"),
        pytest.param(RefreshPolicy("12.5%", 0), 3600, 450, 0, id="a share and seconds"),
        pytest.param(RefreshPolicy(60), 3600, 60, 30, id="a late advisory leaves half of itself to the mandatory"),
        pytest.param(
            RefreshPolicy(None, 1000), 3600, 1800, 1000, id="an early mandatory moves the advisory ahead of it"
        ),
        pytest.param(RefreshPolicy("5%", 300), 3600, 300, 300, id="stated so, there is no renewal ahead"),
        pytest.param(RefreshPolicy(0, 0), 3600, 0, 0, id="none at all"),
    ],
)
def test_margins_come_from_the_settings_and_the_lifetime(
    windows: RefreshPolicy, lifetime: float, advisory: float, mandatory: float
) -> None:
    """Each margin is in seconds before expiry, whatever it was set in."""
    assert windows.margins(lifetime, 0.0) == pytest.approx((advisory, mandatory))


def test_chance_opens_the_advisory_window_up_to_a_quarter_earlier() -> None:
    """Processes that were started together must not refresh together; the mandatory period does not start earlier."""
    earliest, mandatory = RefreshPolicy(300, 60).margins(3600, math.nextafter(1, 0))

    assert earliest == pytest.approx(375)
    assert mandatory == 60
    assert RefreshPolicy(300, 60).margins(3600, 0.5)[0] == pytest.approx(337.5)


@pytest.mark.parametrize("share", ["50%", 1800])
def test_no_window_opens_before_the_token_is_there(share: str | float) -> None:
    """The largest margin and random share leave a token fresh for a while, or it would refresh endlessly."""
    assert after(hold(policy=RefreshPolicy(share), chance=math.nextafter(1, 0)), 0) is FRESH


@pytest.mark.parametrize(
    ("advisory", "mandatory", "field"),
    [
        pytest.param(-1, None, "advisory_refresh", id="negative"),
        pytest.param(None, math.inf, "mandatory_refresh", id="endless"),
        pytest.param(math.nan, None, "advisory_refresh", id="no number"),
        pytest.param(True, None, "advisory_refresh", id="a flag"),
        pytest.param("300", None, "advisory_refresh", id="digits without a unit"),
        pytest.param("20 %", None, "advisory_refresh", id="a blank in a share"),
        pytest.param("-5%", None, "advisory_refresh", id="a negative share"),
        pytest.param("50.1%", None, "advisory_refresh", id="more than half"),
        pytest.param(59, 60, "advisory_refresh", id="seconds in the wrong order"),
        pytest.param("5%", "6%", "advisory_refresh", id="shares in the wrong order"),
    ],
)
def test_windows_that_cannot_be_are_refused(advisory: Any, mandatory: Any, field: str) -> None:
    """The error names the setting as the user wrote it."""
    with pytest.raises(ConfigurationError) as caught:
        RefreshPolicy(advisory, mandatory)

    assert caught.value.field == field
    assert field in str(caught.value)


def test_windows_may_meet() -> None:
    """Equal margins are valid: there is no background refresh."""
    assert RefreshPolicy(60, 60).margins(3600, 0.0) == (60, 60)


# Lifetime


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0, FRESH, id="at once"),
        pytest.param(2879.9, FRESH, id="just before the advisory window"),
        pytest.param(2880, ADVISORY, id="the advisory window"),
        pytest.param(3509.9, ADVISORY, id="just before the mandatory window"),
        pytest.param(3510, MANDATORY, id="the mandatory window"),
        pytest.param(3599.9, MANDATORY, id="its last moment"),
        pytest.param(3600, DEAD, id="its end"),
    ],
)
def test_a_token_ages(seconds: float, expected: Freshness) -> None:
    """It goes through all states to its expiry, and not back."""
    assert after(hold(), seconds) is expected


def test_a_token_of_unknown_life_serves_until_it_is_rejected() -> None:
    """Expect a token without an expiry not to be refreshed on suspicion."""
    assert after(hold(None), 1e9) is FRESH


def test_a_rejected_token_is_dead() -> None:
    """The API's rejection takes precedence over the clock."""
    held = hold()
    held.invalidate()
    assert after(held, 0) is DEAD


def test_an_aged_token_is_renewed_before_the_next_call() -> None:
    """Expect a token whose identity has changed to be refreshed, and used if no other can be obtained."""
    held = hold()
    held.expire_soon()
    assert after(held, 0) is MANDATORY


def test_nothing_is_dead() -> None:
    """Expect the placeholder of the first token to pass no check."""
    nothing = no_token()
    assert nothing.freshness(-math.inf, -math.inf) is DEAD
    assert nothing.renew_at == -math.inf


# Idle lifetime


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(1754.9, FRESH, id="used recently enough"),
        pytest.param(1755, DEAD, id="a moment before the provider's limit"),
        pytest.param(1800, DEAD, id="the provider's limit"),
    ],
)
def test_a_token_that_nobody_uses_dies(seconds: float, expected: Freshness) -> None:
    """It expires a little before the provider's half hour, so that no call is sent with it."""
    assert after(hold(idle_lifetime=1800), seconds) is expected


def test_use_keeps_it_alive() -> None:
    """The idle lifetime counts from the last call, not from the creation."""
    held = hold(idle_lifetime=1800)
    held.mark_used(NOW + 1700, WALL + 1700)
    assert after(held, 1700 + 1754) is ADVISORY
    held.mark_used(NOW + 1700, WALL + 1700)
    assert after(held, 1700 + 1755) is DEAD


def test_use_does_not_outlive_the_lifetime() -> None:
    """A token in use expires at the end of its lifetime."""
    held = hold(idle_lifetime=1800)
    held.mark_used(NOW + 3590, WALL + 3590)
    assert after(held, 3600) is DEAD


# Wall clock


@pytest.mark.parametrize(
    ("slept", "expected"),
    [
        pytest.param(3409, FRESH, id="to before its mandatory window"),
        pytest.param(3410, MANDATORY, id="into its mandatory window"),
        pytest.param(86_400, MANDATORY, id="past its end"),
    ],
)
def test_a_token_that_ended_while_the_machine_slept_is_renewed_first(slept: float, expected: Freshness) -> None:
    """The monotonic clock is still in a sleep; no call goes out with a token that the wall clock calls dead."""
    assert after(hold(), 100, wall=100 + slept) is expected


def test_a_sleep_counts_as_idle() -> None:
    """A token that was not used during a sleep of half an hour is refreshed first."""
    held = hold(idle_lifetime=1800)
    assert after(held, 1, wall=1754) is FRESH
    assert after(held, 1, wall=1755) is MANDATORY
    held.mark_used(NOW + 1, WALL + 1755)
    assert after(held, 2, wall=1756) is FRESH


def test_a_wall_clock_set_forward_kills_nothing() -> None:
    """Expect the old token to be used to its monotonic end if no other can be obtained."""
    held = hold(idle_lifetime=1800)
    assert after(held, 10, wall=1e6) is MANDATORY


@pytest.mark.parametrize(("seconds", "expected"), [(1755, DEAD), (3600, DEAD), (1000, FRESH)])
def test_a_wall_clock_set_back_revives_nothing(seconds: float, expected: Freshness) -> None:
    """Lifetime and idle time use the monotonic clock, whatever the wall clock shows."""
    assert after(hold(idle_lifetime=1800), seconds, wall=-1e6) is expected


def test_a_slow_call_that_began_early_does_not_take_a_later_use_back() -> None:
    """Calls can end in another order than they started, and the last use counts."""
    held = CachedToken(
        Token(access_token="a", expires_in=3600), now=0.0, wall=0.0, policy=RefreshPolicy(), idle_lifetime=1800
    )
    held.mark_used(1000.0, 1000.0)
    after_the_late_one = held.idle_at
    held.mark_used(10.0, 10.0)
    assert held.idle_at == after_the_late_one
