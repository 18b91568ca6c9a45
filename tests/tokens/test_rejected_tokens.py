"""Refreshes pause if the API rejects all tokens."""

from __future__ import annotations

import pytest

from tests._support.clocks import FakeClock
from tests._support.token_states import Cache

REQUEST = "GET /v1/accounts"


def reject(cache: Cache, *, retry: bool = True) -> bool:
    """Let the API reject the current token, and the retry with the new one; return whether there is a new one."""
    held = cache.token
    if not cache.may_refresh_after_401(held, REQUEST):
        return False
    held.invalidate()
    cache.put(cache.hold("next"))
    if retry:
        cache.retry_rejected(cache.token, REQUEST)
    return True


def test_a_token_that_was_accepted_is_replaced_whenever_it_is_rejected(cache: Cache) -> None:
    """The retry was accepted, so the token was revoked, and a new one helps, each time and at once."""
    cache.put(cache.hold())
    assert all(reject(cache, retry=False) for _ in range(20))


@pytest.mark.parametrize("taken", [False, True], ids=["by all calls", "by one call among others that work"])
def test_a_retry_that_is_rejected_makes_refreshes_pause(cache: Cache, clock: FakeClock, taken: bool) -> None:
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


def test_the_retries_of_one_token_count_once(cache: Cache, clock: FakeClock) -> None:
    """Two hundred calls that were retried together cause one pause of a second."""
    cache.put(cache.hold())
    assert reject(cache)
    for _ in range(200):
        cache.retry_rejected(cache.token, REQUEST)
    assert not reject(cache)
    clock.advance(1)
    assert reject(cache)


@pytest.mark.parametrize(("later", "pauses"), [(119.9, True), (120, False)])
def test_two_minutes_end_the_row(cache: Cache, clock: FakeClock, later: float, pauses: bool) -> None:
    """After two minutes without a rejected retry, the next pause is a second again."""
    cache.put(cache.hold())
    assert reject(cache)
    clock.advance(later)
    assert reject(cache)
    clock.advance(1)
    assert reject(cache) is not pauses


def test_a_token_that_was_replaced_already_is_no_reason_to_renew_again(cache: Cache) -> None:
    """Of two hundred calls with a rejected token, all but the first find the new one."""
    old = cache.put(cache.hold())
    assert reject(cache)
    assert cache.may_refresh_after_401(old, REQUEST)
    assert cache.use().token is cache.token
