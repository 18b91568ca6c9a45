"""What a failed fetch is remembered as, and for how long."""

from __future__ import annotations

import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.state import Serve
from tests._support.clocks import FakeClock
from tests._support.runner import Runner
from tests._support.token_states import REFUSED, State


def test_a_failed_renewal_ahead_is_invisible_and_backs_off(state: State, clock: FakeClock) -> None:
    """Calls go on with the old token, and the next attempt waits: longer each time."""
    held = state.land(state.hold())
    clock.advance(2880)
    pauses = []
    for _ in range(4):
        start = state.serve().start
        assert start is not None
        state.fail(start)
        pause = 0.0
        while state.serve() == Serve(held):
            clock.advance(0.25)
            pause += 0.25
        # The decision that ended the pause has begun the next flight: end it as if it had not been.
        state.abandon(state.flight or pytest.fail("no flight"))
        pauses.append(pause)

    assert pauses == [1, 2, 4, 8]


def test_while_the_endpoint_is_down_the_old_token_serves_to_its_end(state: State, clock: FakeClock) -> None:
    """The mandatory window makes nobody wait for an endpoint that is known to be down; the end does."""
    held = state.land(state.hold())
    clock.advance(3000)
    state.fail(state.serve().start or pytest.fail("no renewal ahead"))
    clock.advance(599.9)
    decision = state.serve()
    assert decision.held is held
    assert decision.start is not None
    state.fail(decision.start)

    clock.advance(0.1)
    assert state.wait().start


def test_a_refusal_ends_the_mandatory_window_early(state: State, clock: FakeClock) -> None:
    """Whoever must renew and may not is told so, while there is still time for a person to act."""
    held = state.land(state.hold())
    clock.advance(3505)
    state.fail(state.serve().start or pytest.fail("no renewal ahead"), REFUSED)
    assert state.serve() == Serve(held)

    clock.advance(5)
    with pytest.raises(TokenRequestRefused):
        state.decide()


def test_without_a_token_a_failure_is_remembered_for_a_moment(state: State, clock: FakeClock) -> None:
    """Callers fail at once with the cause, until the pause is over."""
    state.fail(state.wait().flight)

    for _ in range(3):
        with pytest.raises(TokenEndpointUnavailable):
            state.decide()
        clock.advance(0.79 / 3)
    clock.advance(0.02)
    assert state.wait().start


def test_the_clock_set_back_does_not_stretch_a_pause(state: State, clock: FakeClock) -> None:
    """Pauses go by the monotonic clock."""
    state.fail(state.wait().flight)
    clock.advance(0.9)
    clock.step(-3600)
    assert state.wait().start


def test_each_error_is_an_error_of_its_own(state: State) -> None:
    """Raised in many tasks, one instance would gather all their tracebacks; the cause is the same for all."""
    cause = OSError("connection reset")
    error = TokenEndpointUnavailable("down")
    error.__cause__ = cause
    state.fail(state.wait().flight, error)

    caught = []
    for _ in range(2):
        with pytest.raises(TokenEndpointUnavailable) as info:
            state.decide()
        caught.append(info.value)

    assert caught[0] is not caught[1]
    assert caught[0].__cause__ is caught[1].__cause__ is cause
    assert error.__traceback__ is None


@pytest.mark.parametrize(("held_for", "asks"), [(29.9, False), (30, True)])
def test_a_refusal_is_remembered_for_half_a_minute(state: State, clock: FakeClock, held_for: float, asks: bool) -> None:
    """A hot loop sends bad credentials once, also where it asks for a new token by force."""
    state.fail(state.wait().flight, REFUSED)
    clock.advance(held_for)
    if asks:
        assert state.wait(after=state.number_to_force()).start
    else:
        with pytest.raises(TokenRequestRefused):
            state.decide(after=state.number_to_force())


def test_an_outage_does_not_lengthen_the_memory_of_a_refusal(state: State, clock: FakeClock) -> None:
    """What counts is how often it was refused: an endpoint that comes back may refuse once before it is well."""
    for _ in range(9):
        state.fail(state.wait().flight)
        clock.advance(1)
    state.fail(state.wait().flight, REFUSED)
    clock.advance(29.9)
    with pytest.raises(TokenRequestRefused):
        state.decide()
    clock.advance(0.1)

    state.fail(state.wait().flight)
    clock.advance(1)
    state.fail(state.wait().flight, REFUSED)
    clock.advance(59.9)
    with pytest.raises(TokenRequestRefused):
        state.decide()
    clock.advance(0.1)
    assert state.wait().start


def test_a_refusal_is_forgotten_with_the_identity_that_was_refused(state: State, clock: FakeClock) -> None:
    """A renewed certificate is the remedy for many a refusal, and is tried at once, whether a token lives or not."""
    state.fail(state.wait().flight, REFUSED)
    state.age()
    assert state.wait().start

    state.land(state.hold())
    clock.advance(2900)
    state.fail(state.serve().start or pytest.fail("no renewal ahead"), REFUSED)
    state.age()
    assert state.wait().start


def test_an_outage_is_not_forgotten_with_the_identity(state: State, clock: FakeClock) -> None:
    """The endpoint is as far away as before."""
    state.fail(state.wait().flight)
    state.age()
    with pytest.raises(TokenEndpointUnavailable):
        state.decide()


def test_a_refusal_kills_no_token_that_only_the_wall_clock_calls_dead(state: State, clock: FakeClock) -> None:
    """A clock that was set forward costs a renewal; where that is refused, the token serves on as it would have."""
    held = state.land(state.hold())
    clock.step(7200)
    flight = state.wait().flight
    state.fail(flight, REFUSED)
    assert state.outcome(flight) is held
    assert state.serve() == Serve(held)

    clock.advance(3510)
    with pytest.raises(TokenRequestRefused):
        state.outcome(flight)


def _cut_off_a_renewal(state: State) -> None:
    """Have one begin that ends with its event loop."""
    flight = state.serve().start
    assert flight is not None
    flight.job = Runner()
    state.abandon(flight)


@pytest.mark.parametrize(("renewals", "longest"), [(1, 1), (2, 2), (3, 4), (6, 30), (18, 30)])
def test_renewals_that_are_cut_off_pause_ever_longer(
    state: State, clock: FakeClock, renewals: int, longest: float
) -> None:
    """Event loops that end after each call would cut every one off, and each call would send a request in vain."""
    state.land(state.hold())
    clock.advance(2870)
    pause = 0.76 + (longest - 0.76) * 0.999
    for _ in range(renewals):
        # All but the last are as long as any.
        clock.advance(30)
        _cut_off_a_renewal(state)

    clock.advance(pause - 0.001)
    assert state.serve().start is None
    clock.advance(0.002)
    assert state.serve().start is not None


def test_a_renewal_that_is_cut_off_holds_up_nobody_in_need(state: State, clock: FakeClock) -> None:
    """Whoever has no live token asks at once, and what it brings ends the row."""
    state.land(state.hold())
    clock.advance(2900)
    _cut_off_a_renewal(state)
    state.held.reject()
    assert state.wait().start

    state.land(state.hold("new"))
    clock.advance(2900)
    _cut_off_a_renewal(state)
    clock.advance(1)
    assert state.serve().start is not None


def test_a_success_forgets_the_failures(state: State, clock: FakeClock) -> None:
    """The next trouble starts from the shortest pause again."""
    for _ in range(5):
        state.fail(state.wait().flight)
        clock.advance(1)
    assert not state.eager()

    flight = state.wait().flight
    assert state.landed(flight, state.hold()) == 5
    assert state.eager()
