from __future__ import annotations

import pytest

from seic.sandbox.clock import ManualClock
from seic.sandbox.ledger import DeadToken, Dialect, Family, Ledger


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the ledger."""
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> Ledger:
    """A ledger with a minute of active and half a minute of idle life."""
    return Ledger(clock=clock, active_lifetime=60, idle_lifetime=30)


def family(username: str = "u", dialect: Dialect = "gateway") -> Family:
    """A family without a certificate."""
    return Family(dialect=dialect, username=username)


def lives(ledger: Ledger, token: str) -> bool:
    """Tell whether the ledger finds the token."""
    try:
        ledger.find(token)
    except DeadToken:
        return False
    return True


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (29.9, True), (30, False), (31, False)])
def test_unused_token_dies_at_the_idle_lifetime(
    seconds: float, alive: bool, ledger: Ledger, clock: ManualClock
) -> None:
    """Idleness counts from the issue; at the very second the token is dead."""
    token, _ = ledger.issue(family("u"))
    clock.advance(seconds)
    assert lives(ledger, token) is alive


@pytest.mark.parametrize(("seconds", "alive"), [(29.9, True), (30, False)])
def test_used_token_idles_anew(seconds: float, alive: bool, ledger: Ledger, clock: ManualClock) -> None:
    """A use starts the idle time over; looking does not."""
    token, _ = ledger.issue(family("u"))
    clock.advance(20)
    ledger.touch(token)
    clock.advance(10)
    ledger.find(token)
    clock.advance(seconds - 10)
    assert lives(ledger, token) is alive


@pytest.mark.parametrize(("seconds", "alive"), [(9.9, True), (10, False)])
def test_busy_token_dies_at_the_active_lifetime(
    seconds: float, alive: bool, ledger: Ledger, clock: ManualClock
) -> None:
    """No use stretches a token past its active lifetime."""
    token, _ = ledger.issue(family("u"))
    for _ in range(2):
        clock.advance(25)
        ledger.touch(token)
    clock.advance(seconds)
    assert lives(ledger, token) is alive


def test_dead_token_says_why(ledger: Ledger, clock: ManualClock) -> None:
    """The three ways to die are told apart, and none names the token."""
    with pytest.raises(DeadToken, match="unknown or was revoked"):
        ledger.find("never seen")
    token, _ = ledger.issue(family("u"))
    clock.advance(30)
    with pytest.raises(DeadToken, match="not used for too long"):
        ledger.find(token)
    clock.advance(30)
    with pytest.raises(DeadToken, match="has expired") as caught:
        ledger.find(token)
    assert token not in str(caught.value)


def test_revoked_token_is_dead_and_others_live(ledger: Ledger) -> None:
    """Revoking tells whether there was a token; touching a dead one does not wake it."""
    token, _ = ledger.issue(family("u"))
    other, _ = ledger.issue(family("u"))
    assert [ledger.revoke(token), ledger.revoke(token)] == [True, False]
    ledger.touch(token)
    assert [lives(ledger, token), lives(ledger, other)] == [False, True]


def test_all_tokens_are_revoked_at_once(ledger: Ledger) -> None:
    """It tells how many died."""
    tokens = [ledger.issue(family("u"))[0] for _ in range(3)]
    assert [ledger.revoke_all(), ledger.revoke_all()] == [3, 0]
    assert not any(lives(ledger, token) for token in tokens)


def test_lease_tells_owner_and_binding(ledger: Ledger) -> None:
    """What was known at the issue is found again."""
    token, lease = ledger.issue(Family(dialect="gateway", username="svc", thumbprint="x"))
    assert ledger.find(token) == lease
    assert (lease.username, lease.bound) == ("svc", True)


@pytest.mark.parametrize("name", ["active_lifetime", "idle_lifetime", "refresh_lifetime"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_lifetime_is_more_than_nothing(name: str, seconds: float, clock: ManualClock) -> None:
    """A token that is never alive is a mistake of the caller's."""
    lifetimes = {"active_lifetime": 1.0, "idle_lifetime": 1.0, name: seconds}
    with pytest.raises(ValueError, match=name):
        Ledger(clock=clock, **lifetimes)
