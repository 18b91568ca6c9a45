"""An API that rejects whatever it is given makes renewals pause."""

from __future__ import annotations

import pytest

from tests._support.clocks import FakeClock
from tests._support.token_states import State


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
