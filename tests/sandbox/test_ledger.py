from __future__ import annotations

import pytest

from seic.sandbox.clock import ManualClock
from seic.sandbox.ledger import DeadToken, Dialect, Family, Ledger, whole_seconds


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
    assert (lease.username, lease.family.thumbprint) == ("svc", "x")


@pytest.mark.parametrize("name", ["active_lifetime", "idle_lifetime", "refresh_lifetime"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_lifetime_is_more_than_nothing(name: str, seconds: float, clock: ManualClock) -> None:
    """A token that is never alive is a mistake of the caller's."""
    lifetimes = {"active_lifetime": 1.0, "idle_lifetime": 1.0, name: seconds}
    with pytest.raises(ValueError, match=name):
        Ledger(clock=clock, **lifetimes)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3600.0, 3599), (3500.5, 3500), (2.0, 1), (1.5, 1), (1.0, 0), (0.5, 0)]
)
def test_whole_seconds_are_just_under_the_life_that_is_left(seconds: float, expected: int) -> None:
    """As SEI writes it."""
    assert whole_seconds(seconds) == expected


def test_killed_family_takes_all_its_tokens_along(ledger: Ledger) -> None:
    """Access and refresh tokens, of each generation; another family of the same account lives."""
    login, other = family(), family()
    tokens = [ledger.issue(login)[0] for _ in range(2)]
    refresh_token = ledger.issue_refresh_token(login)
    alive, _ = ledger.issue(other)
    ledger.kill(login)
    assert [lives(ledger, token) for token in (*tokens, alive)] == [False, False, True]
    with pytest.raises(DeadToken, match="unknown or was revoked"):
        ledger.find_refresh_token(refresh_token, "gateway")


def test_refusal_to_admit_spends_nothing(ledger: Ledger) -> None:
    """The refresh token waits for its owner."""
    login = family()
    refresh_token = ledger.issue_refresh_token(login)

    def refuse(_family: Family) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.spend(refresh_token, "gateway", admit=refuse)
    assert ledger.spend(refresh_token, "gateway", admit=lambda _: None) is login


def test_refresh_token_is_spent_in_its_own_dialect(ledger: Ledger) -> None:
    """Elsewhere it is unknown, and neither use nor reuse there kills anything."""
    login = family()
    refresh_token = ledger.issue_refresh_token(login)
    for _ in range(2):
        with pytest.raises(DeadToken, match="unknown"):
            ledger.spend(refresh_token, "platform", admit=lambda _: None)
    assert ledger.spend(refresh_token, "gateway", admit=lambda _: None) is login
    with pytest.raises(DeadToken, match="unknown"):
        ledger.spend(refresh_token, "platform", admit=lambda _: None)
    assert login.end is None


def test_ended_session_cannot_outlive_a_revocation(ledger: Ledger) -> None:
    """What is revoked stays so, whatever session ends or takes over."""
    login, other = family(dialect="platform"), family(dialect="platform")
    refresh_token = ledger.issue_refresh_token(login)
    ledger.issue(other)
    ledger.kill(login)
    ledger.end_other_sessions(other)
    assert login.end == "revoked"
    with pytest.raises(DeadToken, match="unknown or was revoked"):
        ledger.spend(refresh_token, "platform", admit=lambda _: None, take_over=True)


def test_sessions_are_those_of_the_same_account_and_dialect(ledger: Ledger, clock: ManualClock) -> None:
    """They count while a token of theirs lives."""
    mine, yours, elsewhere = family(dialect="platform"), family("v", "platform"), family()
    for each in (yours, elsewhere):
        ledger.issue(each)
    assert not ledger.has_other_session(mine)
    other = family(dialect="platform")
    ledger.issue(other)
    assert ledger.has_other_session(mine)
    clock.advance(60)
    assert not ledger.has_other_session(mine)
    ledger.issue_refresh_token(other)
    assert ledger.has_other_session(mine)
    ledger.end_other_sessions(mine)
    assert not ledger.has_other_session(mine)
    assert (yours.end, elsewhere.end) == (None, None)


def test_token_remembers_its_family_after_its_death(ledger: Ledger) -> None:
    """So that its refusal can be written in the right form; one that was never issued has none."""
    login = family()
    token, _ = ledger.issue(login)
    ledger.revoke(token)
    assert ledger.family_of(token) is login
    assert ledger.family_of("unknown") is None


def test_token_can_be_of_the_callers_making(ledger: Ledger) -> None:
    """It is told what the token will be."""
    token, lease = ledger.issue(family("someone"), lambda lease: f"{lease.username} {lease.seconds_left}")
    assert token == "someone 60"
    assert ledger.find(token) == lease


def test_wall_time_moves_with_the_clock(ledger: Ledger, clock: ManualClock) -> None:
    """A test that moves the clock moves dates too."""
    before = ledger.now()
    clock.advance(100)
    assert ledger.now() - before == pytest.approx(100)
