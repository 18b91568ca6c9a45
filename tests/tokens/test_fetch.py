"""The steps of a fetch, taken by hand: what is sent when, and with how much time left."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from seic import MemoryStore, Token, TokenEndpointUnavailable
from seic._oauth.reply import Reply
from seic._tokens.fetch import Fetch, Fetched, Send, Sleep, Steps
from seic._tokens.keeping import Keeper, Pause
from seic._tokens.spending import Spendings
from tests._support.clocks import FakeClock
from tests._support.token_desk import TokenDesk
from tests._support.token_replies import reply_of

DOWN = TokenEndpointUnavailable("down")


class Counted(dict[str, int]):
    """What was counted."""

    def __call__(self, **numbers: int) -> None:
        """Add."""
        for name, number in numbers.items():
            self[name] = self.get(name, 0) + number


@pytest.fixture
def counted() -> Counted:
    """The counters."""
    return Counted()


@pytest.fixture
def fetch(desk: TokenDesk, clock: FakeClock, counted: Counted) -> Fetch:
    """A fetch of ten seconds with no store."""
    return Fetch(
        endpoint=desk.endpoint(timeout=10),
        clock=clock.clock,
        chance=lambda: 0.5,
        count=counted,
        emit=lambda _: None,
        keeper=None,
        key="key",
        last=None,
        lives=False,
        spendings=Spendings(),
        spends=lambda _: None,
    )


def begin(fetch: Fetch, *, eager: bool = True, usable: bool = True) -> Steps[Fetched]:
    """Return the steps."""
    return fetch.steps(eager=eager, is_usable=lambda _: usable)


def reply(**changes: Any) -> Reply:
    """Return an answer with a token."""
    return reply_of({"access_token": "token", **changes}, secrets=())


def sent(step: object) -> Send:
    """Have a step be a request."""
    assert isinstance(step, Send)
    return step


def result(steps: Steps[Fetched], answer: Reply) -> Fetched:
    """Give the last answer, and return what was had."""
    with pytest.raises(StopIteration) as stop:
        steps.send(answer)
    fetched: Fetched = stop.value.value
    return fetched


def test_a_first_attempt_has_all_the_time(fetch: Fetch, clock: FakeClock, counted: Counted) -> None:
    """And the token's life counts from before it."""
    steps = begin(fetch)
    assert sent(next(steps)).seconds == 10
    clock.advance(3)
    fetched = result(steps, reply())

    assert (fetched.now, fetched.wall) == (1_000, 1_700_000_000)
    assert counted == {"requests": 1}


def test_a_repetition_has_what_is_left_and_a_time_of_its_own(fetch: Fetch, clock: FakeClock, counted: Counted) -> None:
    """Ten seconds are for both attempts; the token's life counts from before the second."""
    steps = begin(fetch)
    next(steps)
    clock.advance(3)
    assert steps.throw(DOWN) == Sleep(0.25)
    clock.advance(0.25)
    assert sent(next(steps)).seconds == pytest.approx(6.75)
    assert result(steps, reply()).now == 1_003.25
    assert counted == {"requests": 2, "failures": 1}


@pytest.mark.parametrize(("took", "again"), [(7.2, True), (7.3, False), (10, False)])
def test_a_repetition_that_has_no_time_is_not_begun(fetch: Fetch, clock: FakeClock, took: float, again: bool) -> None:
    """It would ask only to hang up on the answer."""
    steps = begin(fetch)
    next(steps)
    clock.advance(took)
    if again:
        assert steps.throw(DOWN) == Sleep(0.25)
    else:
        with pytest.raises(TokenEndpointUnavailable):
            steps.throw(DOWN)


def test_there_is_one_repetition_and_no_more(fetch: Fetch, counted: Counted) -> None:
    """The second failure is the fetch's."""
    steps = begin(fetch)
    next(steps)
    steps.throw(DOWN)
    next(steps)
    with pytest.raises(TokenEndpointUnavailable):
        steps.throw(DOWN)
    assert counted == {"requests": 2, "failures": 2}


def test_where_the_endpoint_is_known_to_fail_there_is_no_repetition(fetch: Fetch) -> None:
    """One attempt tells whether it is back."""
    steps = begin(fetch, eager=False)
    next(steps)
    with pytest.raises(TokenEndpointUnavailable):
        steps.throw(DOWN)


def test_the_error_that_leaves_holds_no_frames(fetch: Fetch) -> None:
    """Those of the first hold the reply's body; the cause stays."""
    cause = OSError("reset")
    error = TokenEndpointUnavailable("down")
    error.__cause__ = cause
    steps = begin(fetch, eager=False)
    next(steps)
    with pytest.raises(TokenEndpointUnavailable) as caught:
        steps.throw(error)
    assert caught.value is not error
    assert caught.value.__cause__ is cause


def test_a_stored_token_is_asked_for_first(fetch: Fetch, clock: FakeClock) -> None:
    """It has its age on both clocks."""
    store = MemoryStore()
    store.save("key", Token(access_token="stored", obtained_at=clock.wall - 100, expires_in=3600))
    fetch = attrs.evolve(fetch, keeper=Keeper(store, emit=lambda _: None, clock=clock.clock))
    steps = begin(fetch)
    assert isinstance(next(steps), Pause)
    with pytest.raises(StopIteration) as stop:
        next(steps)
    fetched: Fetched = stop.value.value
    assert fetched == Fetched(fetched.token, 900, clock.wall - 100, stored=True)

    steps = begin(fetch, usable=False)
    next(steps)
    assert sent(next(steps)).seconds == 10
