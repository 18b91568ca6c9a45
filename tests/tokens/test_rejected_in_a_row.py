"""Refreshes pause if the API rejects all tokens."""

from __future__ import annotations

import pytest

from tests._support.clocks import FakeClock
from tests._support.token_states import Cache


def reject(cache: Cache) -> bool:
    """Let the API reject the current token; return whether there is a new one."""
    held = cache.token
    if not cache.may_refresh_after_401(held):
        return False
    held.invalidate()
    cache.put(cache.hold("next"))
    return True


def test_a_token_that_served_for_a_while_is_replaced_whenever_it_is_rejected(cache: Cache, clock: FakeClock) -> None:
    """It was accepted before, so it was revoked, and a new one helps, each time."""
    cache.put(cache.hold())
    for _ in range(5):
        clock.advance(120)
        assert reject(cache)
        cache.token.mark_used(clock.now, clock.wall)


@pytest.mark.parametrize("taken", [False, True], ids=["by all calls", "by one call among others that work"])
def test_a_second_token_that_is_rejected_at_once_makes_renewals_pause(
    cache: Cache, clock: FakeClock, taken: bool
) -> None:
    """If new tokens are rejected too, each call would cost a token; so refreshes pause, up to a minute."""
    cache.put(cache.hold())
    assert reject(cache)
    pauses = []
    for _ in range(8):
        pause = 0.0
        if taken:
            cache.token.mark_used(clock.now, clock.wall)
        while not reject(cache):
            clock.advance(0.5)
            pause += 0.5
        pauses.append(pause)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("lasts", "pauses"), [(119.9, True), (120, False)])
def test_a_token_that_lasted_ends_the_row(cache: Cache, clock: FakeClock, lasts: float, pauses: bool) -> None:
    """A token rejected after two minutes was accepted before: its successor can be replaced at once."""
    cache.put(cache.hold())
    assert reject(cache)
    clock.advance(lasts)
    assert reject(cache)
    assert reject(cache) is not pauses


def test_a_token_that_nobody_rejected_ends_the_row(cache: Cache, clock: FakeClock) -> None:
    """It was used until its expiry, so tokens work."""
    cache.put(cache.hold())
    for _ in range(3):
        clock.advance(60)
        assert reject(cache)
    cache.put(cache.hold())
    cache.put(cache.hold())
    assert reject(cache)


def test_a_token_that_was_replaced_already_is_no_reason_to_renew_again(cache: Cache) -> None:
    """Of two hundred calls with a rejected token, all but the first find the new one."""
    old = cache.put(cache.hold())
    assert reject(cache)
    assert cache.may_refresh_after_401(old)
    assert cache.use().token is cache.token
