"""What follows from what a source knows, one decision at a time."""

from __future__ import annotations

import pytest

from seic import SeicError, Token, TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.flight import Flight
from seic._tokens.held import Held, Windows
from seic._tokens.state import Serve, TokenState, Wait
from tests._support.clocks import FakeClock
from tests._support.runner import Runner

DOWN = TokenEndpointUnavailable("down")
REFUSED = TokenRequestRefused("no", status=401)


class State(TokenState):
    """A state with chance at its worst, and short names for what tests do."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock.clock, chance=lambda: 0.999, depart=self._new)
        self.fake = clock

    @staticmethod
    def _new(*, ahead: bool, force: bool) -> Flight:
        return Flight(host="idp.example", ahead=ahead, force=force, patience=10)

    def hold(self, name: str = "old") -> Held:
        """Return a token of an hour, as of now."""
        return Held(
            Token(access_token=name, expires_in=3600), now=self.fake.now, wall=self.fake.wall, windows=Windows()
        )

    def land(self, held: Held, *, ahead: bool = False) -> Held:
        """Put a token in hand."""
        flight = self.start(ahead=ahead)
        assert self.landed(flight, held) is not None
        flight.land(held, stored=False)
        return held

    def start(self, *, ahead: bool = False) -> Flight:
        """Begin a fetch."""
        self._flight = self._new(ahead=ahead, force=False)
        return self._flight

    def fail(self, flight: Flight, error: SeicError = DOWN) -> None:
        """End a fetch with an error."""
        assert self.failed(flight, error) is not None
        flight.fail(error)

    def wait(self, *, after: int = 0) -> Wait:
        """Decide, and have it be to wait."""
        decision = self.decide(after=after)
        assert isinstance(decision, Wait)
        return decision

    def serve(self) -> Serve:
        """Decide, and have it be to go on."""
        decision = self.decide()
        assert isinstance(decision, Serve)
        return decision


@pytest.fixture
def state(clock: FakeClock) -> State:
    """A state without a token."""
    return State(clock)


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


# The API rejects whatever it is given


def reject(state: State) -> bool:
    """Have the API reject the token in hand; return whether that led to a new one."""
    held = state.held
    if not state.may_replace(held):
        return False
    held.reject()
    state.land(state.hold("next"))
    return True


def test_a_token_that_served_for_a_while_is_replaced_whenever_it_is_rejected(state: State, clock: FakeClock) -> None:
    """It was good, so it was revoked: a new one helps, however often that happens."""
    state.land(state.hold())
    for _ in range(5):
        clock.advance(120)
        assert reject(state)
        state.held.used(clock.now, clock.wall)


@pytest.mark.parametrize("taken", [False, True], ids=["by all calls", "by one call among others that work"])
def test_a_second_token_that_is_rejected_at_once_makes_renewals_pause(
    state: State, clock: FakeClock, taken: bool
) -> None:
    """Where new tokens are rejected like old ones, each call would cost a token; so they grow rare, up to a minute."""
    state.land(state.hold())
    assert reject(state)
    pauses = []
    for _ in range(8):
        pause = 0.0
        if taken:
            state.held.used(clock.now, clock.wall)
        while not reject(state):
            clock.advance(0.5)
            pause += 0.5
        pauses.append(pause)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("lasts", "pauses"), [(119.9, True), (120, False)])
def test_a_token_that_lasted_ends_the_row(state: State, clock: FakeClock, lasts: float, pauses: bool) -> None:
    """One that was rejected after two minutes was a good one: its successor may be replaced at once."""
    state.land(state.hold())
    assert reject(state)
    clock.advance(lasts)
    assert reject(state)
    assert reject(state) is not pauses


def test_a_token_that_nobody_rejected_ends_the_row(state: State, clock: FakeClock) -> None:
    """It served to its end, so tokens do help."""
    state.land(state.hold())
    for _ in range(3):
        clock.advance(60)
        assert reject(state)
    state.land(state.hold())
    state.land(state.hold())
    assert reject(state)


def test_a_token_that_was_replaced_already_is_no_reason_to_renew_again(state: State) -> None:
    """Of two hundred calls with one dead token, each but the first finds the new one in hand."""
    old = state.land(state.hold())
    assert reject(state)
    assert state.may_replace(old)
    assert state.serve().held is state.held


# Counters


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
