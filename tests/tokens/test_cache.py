"""The decisions of the token cache: use the token, start a refresh, wait for it, or fail."""

from __future__ import annotations

import pytest

from seic import SeicError, TokenEndpointUnavailable, TokenRequestRefused
from tests._support.clocks import FakeClock
from tests._support.token_states import DOWN, REFUSED, Cache


def test_the_first_caller_starts_a_refresh_and_the_others_wait(cache: Cache) -> None:
    """One refresh serves all callers."""
    (first, starts, _), (second, starts_too, _) = cache.wait(), cache.wait()
    assert (starts, starts_too) == (True, False)
    assert second is first
    assert not first.ahead


def test_a_fresh_token_is_used(cache: Cache) -> None:
    """Nothing is started."""
    token = cache.put(cache.hold())
    assert cache.use() == (token, None, False, None)


def test_in_the_advisory_window_one_refreshes_and_all_use_the_token(cache: Cache, clock: FakeClock) -> None:
    """The first caller starts a refresh, and no caller waits."""
    token = cache.put(cache.hold())
    clock.advance(3000)
    first, second = cache.use(), cache.use()
    assert first.token is second.token is token
    assert first.pending is not None
    assert first.pending.ahead
    assert second.pending is None


def test_in_the_mandatory_window_all_wait(cache: Cache, clock: FakeClock) -> None:
    """One caller starts it, and all wait for a second at most, even if a background refresh has just started."""
    cache.put(cache.hold())
    clock.advance(3509.6)
    ahead = cache.use().pending
    clock.advance(0.5)
    later, starts, seconds = cache.wait()
    assert later is ahead
    assert not starts
    assert seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("left", "patience"),
    [
        pytest.param(90, 1, id="at the beginning of the window"),
        pytest.param(2, 1, id="two seconds before the end"),
        pytest.param(1, 0.5, id="half of what is left"),
        pytest.param(0.01, 0.005, id="at the very end"),
    ],
)
def test_a_slow_refresh_delays_no_caller_with_a_valid_token(
    cache: Cache, clock: FakeClock, left: float, patience: float
) -> None:
    """Waiting callers use the token after a moment, and later ones at once; the refresh continues."""
    token = cache.put(cache.hold())
    clock.advance(3600 - left)
    first, starts, seconds = cache.wait()
    assert starts
    assert seconds == pytest.approx(patience)

    clock.advance(patience / 2)
    later, starts, seconds = cache.wait()
    assert later is first
    assert not starts
    assert seconds == pytest.approx(patience / 2)

    clock.advance(patience / 2 + 1e-6)
    assert cache.use() == (token, None, False, None)
    assert cache.pending is first


def test_an_expired_token_makes_all_wait_to_the_end(cache: Cache, clock: FakeClock) -> None:
    """The same applies to a caller who wants a new token."""
    cache.put(cache.hold())
    clock.advance(3598)
    pending, _, _ = cache.wait()
    clock.advance(1.5)
    assert cache.wait(after=cache.next_refresh_id()) == (pending, False, None)
    clock.advance(0.5)
    assert cache.wait() == (pending, False, None)


def test_an_idle_token_is_not_used_past_its_end(cache: Cache, clock: FakeClock) -> None:
    """The earlier of its two expiries counts."""
    token = cache.put(cache.hold())
    token.expire_soon()
    token.idle_at = clock.now + 1
    assert cache.wait()[2] == pytest.approx(0.5)


def test_a_caller_in_need_is_not_failed_by_an_advisory_refresh(cache: Cache, clock: FakeClock) -> None:
    """A caller who needs a token gets another refresh: the background one was a single attempt without waiters."""
    cache.put(cache.hold())
    clock.advance(3000)
    ahead = cache.use().pending
    assert ahead is not None
    clock.advance(600)
    assert cache.wait() == (ahead, False, None)
    cache.break_down(ahead)
    assert cache.result(ahead) is None
    assert cache.wait()[1]


@pytest.mark.parametrize("error", [DOWN, REFUSED], ids=["down", "refused"])
def test_a_waiter_uses_a_token_that_is_still_valid(cache: Cache, clock: FakeClock, error: SeicError) -> None:
    """A failure does not matter in the mandatory period."""
    token = cache.put(cache.hold())
    clock.advance(3550)
    pending, _, _ = cache.wait()
    cache.break_down(pending, error)
    assert cache.result(pending) is token


def test_a_refusal_reaches_every_waiter(cache: Cache) -> None:
    """Each gets its own error."""
    pending, _, _ = cache.wait()
    cache.break_down(pending, REFUSED)
    errors = []
    for _ in range(2):
        with pytest.raises(TokenRequestRefused) as caught:
            cache.result(pending)
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_force_refreshes_although_the_token_is_fresh(cache: Cache) -> None:
    """All who force at the same moment share a refresh, also those who come just after its end."""
    cache.put(cache.hold())
    one = cache.next_refresh_id()
    first, starts, _ = cache.wait(after=one)
    two = cache.next_refresh_id()
    assert starts
    assert first.force
    assert cache.wait(after=two) == (first, False, None)

    token = cache.hold("new", refresh_id=first.refresh_id)
    cache.succeed(first, token)
    assert cache.result(first, after=one) is token
    assert cache.acquire(after=two).token is token


def test_force_does_not_take_a_token_that_was_requested_before(cache: Cache) -> None:
    """The caller waits for that refresh, then starts another, since a change may not be included in the first."""
    earlier, _, _ = cache.wait()
    after = cache.next_refresh_id()
    assert cache.wait(after=after) == (earlier, False, None)
    cache.succeed(earlier, cache.hold(refresh_id=earlier.refresh_id))
    assert cache.result(earlier, after=after) is None
    assert cache.wait(after=after)[1]


def test_force_does_not_take_a_stored_token(cache: Cache) -> None:
    """Nor that of a later refresh."""
    after = cache.next_refresh_id()
    pending, _, _ = cache.wait()
    cache.succeed(pending, cache.hold(), stored=True)
    assert cache.result(pending, after=after) is None


def test_force_does_not_fall_back_on_the_old_token(cache: Cache) -> None:
    """A caller who wants a new token gets the endpoint's error."""
    token = cache.put(cache.hold())
    after = cache.next_refresh_id()
    pending, _, _ = cache.wait(after=after)
    cache.break_down(pending)
    with pytest.raises(TokenEndpointUnavailable):
        cache.result(pending, after=after)
    assert cache.result(pending) is token


def test_an_abandoned_refresh_is_no_failure(cache: Cache) -> None:
    """The next caller starts another at once, and nothing is remembered."""
    pending, _, _ = cache.wait()
    cache.abandon(pending)
    assert pending.future.done()
    assert cache.result(pending) is None
    assert cache.wait()[1]
    assert cache._failures.failures == 0


def test_the_token_of_an_abandoned_refresh_is_not_taken(cache: Cache) -> None:
    """A refresh that ends much later changes nothing."""
    late, _, _ = cache.wait()
    cache.abandon(late)
    current = cache.put(cache.hold("new"))
    assert cache.settle(late, cache.hold("late"), stored=False) is None
    assert cache.fail(late, TokenEndpointUnavailable("down")) is None
    assert cache.token is current
    assert cache.use().token is current


def test_a_rejected_token_is_not_used_again(cache: Cache) -> None:
    """The next caller waits for a new one."""
    cache.put(cache.hold()).invalidate()
    assert cache.wait()[1]


def test_the_counters(cache: Cache) -> None:
    """Counters only grow, and a snapshot does not change."""
    before = cache.stats
    for counter in ("token_requests", "token_requests", "token_failures", "replays", "replays", "replays"):
        cache.count(counter)
    cache.put(cache.hold(), ahead=True)
    assert before.token_requests == 0
    assert (cache.stats.token_requests, cache.stats.token_failures) == (2, 1)
    assert (cache.stats.replays, cache.stats.renewals_ahead) == (3, 1)
