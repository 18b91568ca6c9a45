from __future__ import annotations

import pytest

from seic.sandbox._manual_clock import ManualClock
from seic.sandbox._token_registry import Dialect, InactiveToken, TokenFamily, TokenRegistry, whole_seconds


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the registry."""
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> TokenRegistry:
    """A registry with a minute of active and half a minute of idle life."""
    return TokenRegistry(clock=clock, active_lifetime=60, idle_lifetime=30)


def family(username: str = "u", dialect: Dialect = "gateway") -> TokenFamily:
    """A family without a certificate."""
    return TokenFamily(dialect=dialect, username=username)


def lives(registry: TokenRegistry, token: str) -> bool:
    """Tell whether the registry finds the token."""
    try:
        registry.find(token)
    except InactiveToken:
        return False
    return True


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (29.9, True), (30, False), (31, False)])
def test_unused_token_dies_at_the_idle_lifetime(
    seconds: float, alive: bool, registry: TokenRegistry, clock: ManualClock
) -> None:
    """Idleness counts from the issue; at the very second the token is dead."""
    token, _ = registry.issue(family("u"))
    clock.advance(seconds)
    assert lives(registry, token) is alive


@pytest.mark.parametrize(("seconds", "alive"), [(29.9, True), (30, False)])
def test_used_token_idles_anew(seconds: float, alive: bool, registry: TokenRegistry, clock: ManualClock) -> None:
    """A use starts the idle time over; looking does not."""
    token, _ = registry.issue(family("u"))
    clock.advance(20)
    registry.touch(token)
    clock.advance(10)
    registry.find(token)
    clock.advance(seconds - 10)
    assert lives(registry, token) is alive


@pytest.mark.parametrize(("seconds", "alive"), [(9.9, True), (10, False)])
def test_busy_token_dies_at_the_active_lifetime(
    seconds: float, alive: bool, registry: TokenRegistry, clock: ManualClock
) -> None:
    """No use stretches a token past its active lifetime."""
    token, _ = registry.issue(family("u"))
    for _ in range(2):
        clock.advance(25)
        registry.touch(token)
    clock.advance(seconds)
    assert lives(registry, token) is alive


def test_dead_token_says_why(registry: TokenRegistry, clock: ManualClock) -> None:
    """The three ways to die are told apart, and none names the token."""
    with pytest.raises(InactiveToken, match="unknown or was revoked"):
        registry.find("never seen")
    token, _ = registry.issue(family("u"))
    clock.advance(30)
    with pytest.raises(InactiveToken, match="not used for too long"):
        registry.find(token)
    clock.advance(30)
    with pytest.raises(InactiveToken, match="has expired") as caught:
        registry.find(token)
    assert token not in str(caught.value)


def test_revoked_token_is_dead_and_others_live(registry: TokenRegistry) -> None:
    """Revoking tells whether there was a token; touching a dead one does not wake it."""
    token, _ = registry.issue(family("u"))
    other, _ = registry.issue(family("u"))
    assert [registry.revoke(token), registry.revoke(token)] == [True, False]
    registry.touch(token)
    assert [lives(registry, token), lives(registry, other)] == [False, True]


def test_all_tokens_are_revoked_at_once(registry: TokenRegistry) -> None:
    """It tells how many died."""
    tokens = [registry.issue(family("u"))[0] for _ in range(3)]
    assert [registry.revoke_all(), registry.revoke_all()] == [3, 0]
    assert not any(lives(registry, token) for token in tokens)


def test_lease_tells_owner_and_binding(registry: TokenRegistry) -> None:
    """What was known at the issue is found again."""
    token, record = registry.issue(TokenFamily(dialect="gateway", username="svc", thumbprint="x"))
    assert registry.find(token) == record
    assert (record.username, record.family.thumbprint) == ("svc", "x")


@pytest.mark.parametrize("name", ["active_lifetime", "idle_lifetime", "refresh_lifetime"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_lifetime_is_more_than_nothing(name: str, seconds: float, clock: ManualClock) -> None:
    """A token that is never alive is a mistake of the caller's."""
    lifetimes = {"active_lifetime": 1.0, "idle_lifetime": 1.0, name: seconds}
    with pytest.raises(ValueError, match=name):
        TokenRegistry(clock=clock, **lifetimes)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3600.0, 3599), (3500.5, 3500), (2.0, 1), (1.5, 1), (1.0, 0), (0.5, 0)]
)
def test_whole_seconds_are_just_under_the_life_that_is_left(seconds: float, expected: int) -> None:
    """As SEI writes it."""
    assert whole_seconds(seconds) == expected


def test_killed_family_takes_all_its_tokens_along(registry: TokenRegistry) -> None:
    """Access and refresh tokens, of each generation; another family of the same account lives."""
    login, other = family(), family()
    tokens = [registry.issue(login)[0] for _ in range(2)]
    refresh_token = registry.issue_refresh_token(login)
    alive, _ = registry.issue(other)
    registry.revoke_family(login)
    assert [lives(registry, token) for token in (*tokens, alive)] == [False, False, True]
    with pytest.raises(InactiveToken, match="unknown or was revoked"):
        registry.find_refresh_token(refresh_token, "gateway")


def test_refusal_to_admit_spends_nothing(registry: TokenRegistry) -> None:
    """The refresh token waits for its owner."""
    login = family()
    refresh_token = registry.issue_refresh_token(login)

    def refuse(_family: TokenFamily) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        registry.use_refresh_token(refresh_token, "gateway", admit=refuse)
    assert registry.use_refresh_token(refresh_token, "gateway", admit=lambda _: None) is login


def test_refresh_token_is_spent_in_its_own_dialect(registry: TokenRegistry) -> None:
    """Elsewhere it is unknown, and neither use nor reuse there kills anything."""
    login = family()
    refresh_token = registry.issue_refresh_token(login)
    for _ in range(2):
        with pytest.raises(InactiveToken, match="unknown"):
            registry.use_refresh_token(refresh_token, "platform", admit=lambda _: None)
    assert registry.use_refresh_token(refresh_token, "gateway", admit=lambda _: None) is login
    with pytest.raises(InactiveToken, match="unknown"):
        registry.use_refresh_token(refresh_token, "platform", admit=lambda _: None)
    assert login.end is None


def test_ended_session_cannot_outlive_a_revocation(registry: TokenRegistry) -> None:
    """What is revoked stays so, whatever session ends or takes over."""
    login, other = family(dialect="platform"), family(dialect="platform")
    refresh_token = registry.issue_refresh_token(login)
    registry.issue(other)
    registry.revoke_family(login)
    registry.end_other_sessions(other)
    assert login.end == "revoked"
    with pytest.raises(InactiveToken, match="unknown or was revoked"):
        registry.use_refresh_token(refresh_token, "platform", admit=lambda _: None, take_over=True)


def test_sessions_are_those_of_the_same_account_and_dialect(registry: TokenRegistry, clock: ManualClock) -> None:
    """They count while a token of theirs lives."""
    mine, yours, elsewhere = family(dialect="platform"), family("v", "platform"), family()
    for each in (yours, elsewhere):
        registry.issue(each)
    assert not registry.has_other_session(mine)
    other = family(dialect="platform")
    registry.issue(other)
    assert registry.has_other_session(mine)
    clock.advance(60)
    assert not registry.has_other_session(mine)
    registry.issue_refresh_token(other)
    assert registry.has_other_session(mine)
    registry.end_other_sessions(mine)
    assert not registry.has_other_session(mine)
    assert (yours.end, elsewhere.end) == (None, None)


def test_token_remembers_its_family_after_its_death(registry: TokenRegistry) -> None:
    """So that its refusal can be written in the right form; one that was never issued has none."""
    login = family()
    token, _ = registry.issue(login)
    registry.revoke(token)
    assert registry.family_of(token) is login
    assert registry.family_of("unknown") is None


def test_token_can_be_of_the_callers_making(registry: TokenRegistry) -> None:
    """It is told what the token will be."""
    token, record = registry.issue(family("someone"), lambda record: f"{record.username} {record.seconds_left}")
    assert token == "someone 60"
    assert registry.find(token) == record


def test_wall_time_moves_with_the_clock(registry: TokenRegistry, clock: ManualClock) -> None:
    """A test that moves the clock moves dates too."""
    before = registry.now()
    clock.advance(100)
    assert registry.now() - before == pytest.approx(100)
