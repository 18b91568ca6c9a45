"""The memory of failed refreshes, and its duration."""

from __future__ import annotations

import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from tests._support.clocks import FakeClock
from tests._support.runner import Runner
from tests._support.token_states import REFUSED, Cache


def test_a_failed_renewal_ahead_is_invisible_and_backs_off(cache: Cache, clock: FakeClock) -> None:
    """Calls continue with the old token, and the next attempt waits longer each time."""
    held = cache.put(cache.hold())
    clock.advance(2880)
    pauses = []
    for _ in range(4):
        start = cache.use().pending
        assert start is not None
        cache.break_down(start)
        pause = 0.0
        while cache.use() == (held, None, False, None):
            clock.advance(0.25)
            pause += 0.25
        # The decision after the pause has started the next refresh: remove it.
        cache.abandon(cache._pending or pytest.fail("no flight"))
        pauses.append(pause)

    assert pauses == [1, 2, 4, 8]


def test_while_the_endpoint_is_down_the_old_token_serves_to_its_end(cache: Cache, clock: FakeClock) -> None:
    """In the mandatory period no call waits for an endpoint that is known to be down; after the expiry calls fail."""
    held = cache.put(cache.hold())
    clock.advance(3000)
    cache.break_down(cache.use().pending or pytest.fail("no advisory refresh"))
    clock.advance(599.9)
    decision = cache.use()
    assert decision.token is held
    assert decision.pending is not None
    cache.break_down(decision.pending)

    clock.advance(0.1)
    assert cache.wait()[1]


def test_a_refusal_leaves_a_valid_token_in_use(cache: Cache, clock: FakeClock) -> None:
    """To its end, in the mandatory period too."""
    held = cache.put(cache.hold())
    clock.advance(3505)
    cache.break_down(cache.use().pending or pytest.fail("no advisory refresh"), REFUSED)
    assert cache.use() == (held, None, False, None)

    clock.advance(5)
    assert cache.use() == (held, None, False, None)


def test_without_a_token_a_failure_is_remembered_for_a_moment(cache: Cache, clock: FakeClock) -> None:
    """Callers fail at once with the cause, until the pause is over."""
    cache.break_down(cache.wait()[0])

    for _ in range(3):
        with pytest.raises(TokenEndpointUnavailable):
            cache.acquire()
        clock.advance(0.79 / 3)
    clock.advance(0.02)
    assert cache.wait()[1]


def test_the_clock_set_back_does_not_stretch_a_pause(cache: Cache, clock: FakeClock) -> None:
    """Pauses use the monotonic clock."""
    cache.break_down(cache.wait()[0])
    clock.advance(0.9)
    clock.step(-3600)
    assert cache.wait()[1]


def test_each_error_is_an_error_of_its_own(cache: Cache) -> None:
    """One instance raised in many tasks would collect all tracebacks; the cause is the same for all."""
    cause = OSError("connection reset")
    error = TokenEndpointUnavailable("down")
    error.__cause__ = cause
    cache.break_down(cache.wait()[0], error)

    caught = []
    for _ in range(2):
        with pytest.raises(TokenEndpointUnavailable) as info:
            cache.acquire()
        caught.append(info.value)

    assert caught[0] is not caught[1]
    assert caught[0].__cause__ is caught[1].__cause__ is cause
    assert error.__traceback__ is None


@pytest.mark.parametrize(("held_for", "asks"), [(29.9, False), (30, True)])
def test_a_refusal_is_remembered_for_half_a_minute(cache: Cache, clock: FakeClock, held_for: float, asks: bool) -> None:
    """A loop sends refused credentials once, also with force."""
    cache.break_down(cache.wait()[0], REFUSED)
    clock.advance(held_for)
    if asks:
        assert cache.wait(after=cache.next_refresh_id())[1]
    else:
        with pytest.raises(TokenRequestRefused):
            cache.acquire(after=cache.next_refresh_id())


def test_an_outage_does_not_lengthen_the_memory_of_a_refusal(cache: Cache, clock: FakeClock) -> None:
    """The number of refusals counts: an endpoint can refuse once during its recovery."""
    for _ in range(9):
        cache.break_down(cache.wait()[0])
        clock.advance(1)
    cache.break_down(cache.wait()[0], REFUSED)
    clock.advance(29.9)
    with pytest.raises(TokenRequestRefused):
        cache.acquire()
    clock.advance(0.1)

    cache.break_down(cache.wait()[0])
    clock.advance(1)
    cache.break_down(cache.wait()[0], REFUSED)
    clock.advance(59.9)
    with pytest.raises(TokenRequestRefused):
        cache.acquire()
    clock.advance(0.1)
    assert cache.wait()[1]


def test_a_refusal_is_forgotten_with_the_identity_that_was_refused(cache: Cache, clock: FakeClock) -> None:
    """A renewed certificate can be the remedy, so it is tried at once, with or without a valid token."""
    cache.break_down(cache.wait()[0], REFUSED)
    cache.expire_soon()
    assert cache.wait()[1]

    cache.put(cache.hold())
    clock.advance(2900)
    cache.break_down(cache.use().pending or pytest.fail("no advisory refresh"), REFUSED)
    cache.expire_soon()
    assert cache.wait()[1]


def test_an_outage_is_not_forgotten_with_the_identity(cache: Cache, clock: FakeClock) -> None:
    """The endpoint is as unreachable as before."""
    cache.break_down(cache.wait()[0])
    cache.expire_soon()
    with pytest.raises(TokenEndpointUnavailable):
        cache.acquire()


def test_a_refusal_kills_no_token_that_only_the_wall_clock_calls_dead(cache: Cache, clock: FakeClock) -> None:
    """A clock set forward costs one refresh; if that is refused, the token is still used."""
    held = cache.put(cache.hold())
    clock.step(7200)
    flight = cache.wait()[0]
    cache.break_down(flight, REFUSED)
    assert cache.result(flight) is held
    assert cache.use() == (held, None, False, None)

    clock.advance(3600)
    with pytest.raises(TokenRequestRefused):
        cache.result(flight)


def _cut_off_a_renewal(cache: Cache) -> None:
    """Start one that ends with its event loop."""
    flight = cache.use().pending
    assert flight is not None
    flight.task = Runner()  # type: ignore[assignment]  # the task that is cut off
    cache.abandon(flight)


@pytest.mark.parametrize(("renewals", "longest"), [(1, 1), (2, 2), (3, 4), (6, 30), (18, 30)])
def test_renewals_that_are_cut_off_pause_ever_longer(
    cache: Cache, clock: FakeClock, renewals: int, longest: float
) -> None:
    """If an event loop ends with each call, each refresh would be cancelled, after a useless request."""
    cache.put(cache.hold())
    clock.advance(2870)
    pause = 0.76 + (longest - 0.76) * 0.999
    for _ in range(renewals):
        # All but the last have the maximum duration.
        clock.advance(30)
        _cut_off_a_renewal(cache)

    clock.advance(pause - 0.001)
    assert cache.use().pending is None
    clock.advance(0.002)
    assert cache.use().pending is not None


def test_a_renewal_that_is_cut_off_holds_up_nobody_in_need(cache: Cache, clock: FakeClock) -> None:
    """A caller without a valid token requests at once, and a success ends the pauses."""
    cache.put(cache.hold())
    clock.advance(2900)
    _cut_off_a_renewal(cache)
    cache.token.invalidate()
    assert cache.wait()[1]

    cache.put(cache.hold("new"))
    clock.advance(2900)
    _cut_off_a_renewal(cache)
    clock.advance(1)
    assert cache.use().pending is not None


def test_a_success_forgets_the_failures(cache: Cache, clock: FakeClock) -> None:
    """The next failure starts with the shortest pause again."""
    for _ in range(5):
        cache.break_down(cache.wait()[0])
        clock.advance(1)
    assert cache._failures.failures

    flight = cache.wait()[0]
    assert cache.settle(flight, cache.hold(), stored=False) == 5
    assert cache._failures.failures == 0
