"""What follows from what a source knows, one decision at a time."""

from __future__ import annotations

import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.state import Serve, Wait
from tests._support.clocks import FakeClock
from tests._support.token_states import DOWN, REFUSED, State


def test_the_first_caller_fetches_and_the_others_wait(state: State) -> None:
    """One flight for all."""
    first, second = state.wait(), state.wait()

    assert first.start
    assert not second.start
    assert second.flight is first.flight
    assert not first.flight.ahead


def test_a_fresh_token_is_served(state: State) -> None:
    """Nothing is started for it."""
    held = state.land(state.hold())
    assert state.serve() == Serve(held)


def test_in_the_advisory_window_one_renews_and_all_go_on(state: State, clock: FakeClock) -> None:
    """The first caller starts a flight that nobody waits for."""
    held = state.land(state.hold())
    clock.advance(3000)

    first, second = state.serve(), state.serve()

    assert first.held is second.held is held
    assert first.start is not None
    assert first.start.ahead
    assert second.start is None


def test_in_the_mandatory_window_all_wait(state: State, clock: FakeClock) -> None:
    """One starts it, also where a renewal ahead has just begun; nobody waits for longer than a second."""
    state.land(state.hold())
    clock.advance(3509.6)
    ahead = state.serve().start
    clock.advance(0.5)

    later = state.wait()
    assert later.flight is ahead
    assert not later.start
    assert later.patience == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("left", "patience"),
    [
        pytest.param(90, 1, id="at the beginning of the window"),
        pytest.param(2, 1, id="two seconds before the end"),
        pytest.param(1, 0.5, id="half of what is left"),
        pytest.param(0.01, 0.005, id="at the very end"),
    ],
)
def test_a_fetch_that_takes_long_makes_nobody_wait_whose_token_lives(
    state: State, clock: FakeClock, left: float, patience: float
) -> None:
    """Whoever waits goes on after a moment, and whoever comes later at once; the fetch runs on."""
    held = state.land(state.hold())
    clock.advance(3600 - left)
    first = state.wait()
    assert first.start
    assert first.patience == pytest.approx(patience)

    clock.advance(patience / 2)
    later = state.wait()
    assert later.flight is first.flight
    assert not later.start
    assert later.patience == pytest.approx(patience / 2)

    clock.advance(patience / 2 + 1e-6)
    assert state.serve() == Serve(held)
    assert state.flight is first.flight


def test_a_dead_token_makes_all_wait_for_a_fetch_to_its_end(state: State, clock: FakeClock) -> None:
    """There is nothing to go on with; whoever wants a new token wants no old one either."""
    state.land(state.hold())
    clock.advance(3598)
    flight = state.wait().flight
    clock.advance(1.5)
    assert state.wait(after=state.number_to_force()) == Wait(flight)
    clock.advance(0.5)
    assert state.wait() == Wait(flight)


def test_an_idle_token_is_not_gone_on_with_past_its_end(state: State, clock: FakeClock) -> None:
    """Its end is whichever comes first."""
    held = state.hold()
    state.land(held)
    held.age()
    held.idle_at = clock.now + 1
    assert state.wait().patience == pytest.approx(0.5)


def test_a_caller_in_need_is_not_failed_by_a_renewal_ahead(state: State, clock: FakeClock) -> None:
    """It was one attempt that nobody waited for when it began; whoever needs a token gets a fetch of his own."""
    state.land(state.hold())
    clock.advance(3000)
    ahead = state.serve().start or pytest.fail("no renewal ahead")
    clock.advance(600)
    assert state.wait() == Wait(ahead)
    state.fail(ahead)

    assert state.outcome(ahead) is None
    assert state.wait().start


def test_whoever_waited_goes_on_with_a_token_that_still_lives(state: State, clock: FakeClock) -> None:
    """In the mandatory window a failure to reach the endpoint takes nobody down."""
    held = state.land(state.hold())
    clock.advance(3550)
    flight = state.wait().flight
    state.fail(flight)

    assert state.outcome(flight) is held


@pytest.mark.parametrize("lives", [True, False])
def test_a_refusal_is_raised_to_whoever_waited(state: State, clock: FakeClock, lives: bool) -> None:
    """Whether a token still lives or not."""
    if lives:
        state.land(state.hold())
        clock.advance(3550)
    flight = state.wait().flight
    state.fail(flight, REFUSED)
    with pytest.raises(TokenRequestRefused):
        state.outcome(flight)


def test_force_fetches_although_the_token_is_fresh(state: State) -> None:
    """And all who force at one moment share that fetch, also those who come to it when it has landed."""
    state.land(state.hold())
    one = state.number_to_force()
    first = state.wait(after=one)
    two = state.number_to_force()
    second = state.wait(after=two)
    assert first.start
    assert first.flight.force
    assert second == Wait(first.flight)

    held = state.hold("new")
    held.asked = first.flight.number
    state.landed(first.flight, held)
    first.flight.land(held, stored=False)
    assert state.outcome(first.flight, after=one) is held
    assert state.decide(after=two) == Serve(held)


def test_force_does_not_take_a_token_that_was_asked_for_before(state: State) -> None:
    """What changed at the provider may not be in it: the caller waits for that fetch, and then starts another."""
    earlier = state.wait().flight
    after = state.number_to_force()
    assert state.wait(after=after) == Wait(earlier)
    held = state.hold()
    held.asked = earlier.number
    state.landed(earlier, held)
    earlier.land(held, stored=False)

    assert state.outcome(earlier, after=after) is None
    assert state.wait(after=after).start


def test_force_does_not_take_a_token_out_of_a_store(state: State) -> None:
    """Whenever the flight began that found it there."""
    after = state.number_to_force()
    flight = state.wait().flight
    held = state.hold()
    state.landed(flight, held)
    flight.land(held, stored=True)
    assert state.outcome(flight, after=after) is None


def test_force_does_not_go_on_with_the_old_token(state: State) -> None:
    """Where the endpoint is down, who wanted a new one is told so."""
    state.land(state.hold())
    after = state.number_to_force()
    flight = state.wait(after=after).flight
    state.fail(flight)
    with pytest.raises(TokenEndpointUnavailable):
        state.outcome(flight, after=after)
    assert state.outcome(flight) is state.held


def test_an_abandoned_flight_is_no_failure(state: State) -> None:
    """The next caller starts anew at once, and nothing is remembered of it."""
    flight = state.wait().flight
    state.abandon(flight)

    assert flight.ended
    assert state.outcome(flight) is None
    assert state.wait().start
    assert state.eager()


def test_what_a_given_up_flight_brings_is_not_taken(state: State) -> None:
    """A flight that was given up may end much later, with a token older than the one in hand."""
    late = state.wait().flight
    state.abandon(late)
    current = state.land(state.hold("new"))

    assert state.landed(late, state.hold("late")) is None
    assert state.failed(late, DOWN) is None
    assert state.held is current
    assert state.serve() == Serve(current)


def test_a_rejected_token_is_not_served_again(state: State) -> None:
    """The next caller waits for a new one."""
    state.land(state.hold()).reject()
    assert state.wait().start


def test_counters_count(state: State) -> None:
    """They only grow, and a snapshot does not change."""
    before = state.stats
    state.count(requests=2, failures=1)
    state.count(replays=3)
    state.land(state.hold(), ahead=True)

    assert before.token_requests == 0
    assert (state.stats.token_requests, state.stats.token_failures) == (2, 1)
    assert (state.stats.replays, state.stats.renewals_ahead) == (3, 1)


def test_a_child_process_starts_with_the_token_and_without_the_flight(state: State, clock: FakeClock) -> None:
    """Whatever ran it stayed in the parent."""
    held = state.land(state.hold())
    clock.advance(3550)
    flight = state.wait().flight
    state.after_fork()

    assert state.held is held
    decision = state.wait()
    assert decision.start
    assert decision.flight is not flight
