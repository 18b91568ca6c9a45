"""Lifetimes and revocation of tokens, at the edges of each lifetime."""

from __future__ import annotations

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import ask_for_account, body_of, log_in, pair_of, refresh, revoke
from tests._support.sandbox_client import api_client, assert_refused, call, get_token


@pytest.fixture
def short_lived(clock: MockClock) -> Sandbox:
    """A sandbox with an active lifetime of 60 seconds and an idle lifetime of 30 seconds, not started."""
    return Sandbox(clock=clock, active_lifetime=60, idle_lifetime=30)


@pytest.mark.parametrize("name", ["active_lifetime", "idle_lifetime", "refresh_lifetime"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_lifetime_must_be_positive(name: str, seconds: float) -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match=name):
        Sandbox(**{name: seconds})  # type: ignore[arg-type]  # one of its lifetimes


@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (29.9, 200), (30, 401), (31, 401)])
def test_unused_token_expires_after_the_idle_lifetime(
    seconds: float, status: int, short_lived: Sandbox, clock: MockClock
) -> None:
    """The idle time starts with the issue."""
    with short_lived as sandbox, api_client(sandbox) as client:
        token = get_token(client, sandbox)
        clock.advance(seconds)
        assert call(client, sandbox, token).status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(29.9, 200), (30, 401)])
def test_use_restarts_the_idle_time(seconds: float, status: int, short_lived: Sandbox, clock: MockClock) -> None:
    """The idle time starts again with each use."""
    with short_lived as sandbox, api_client(sandbox) as client:
        token = get_token(client, sandbox)
        clock.advance(20)
        assert call(client, sandbox, token).status_code == 200
        clock.advance(seconds)
        assert call(client, sandbox, token).status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(9.9, 200), (10, 401)])
def test_used_token_expires_after_the_active_lifetime(
    seconds: float, status: int, short_lived: Sandbox, clock: MockClock
) -> None:
    """No use extends the active lifetime."""
    with short_lived as sandbox, api_client(sandbox) as client:
        token = get_token(client, sandbox)
        for _ in range(2):
            clock.advance(25)
            assert call(client, sandbox, token).status_code == 200
        clock.advance(seconds)
        assert call(client, sandbox, token).status_code == status


def test_error_tells_why_a_token_is_inactive(short_lived: Sandbox, clock: MockClock) -> None:
    """The three reasons have different messages, and none repeats the token."""
    with short_lived as sandbox, api_client(sandbox) as client:
        token = get_token(client, sandbox)
        messages = [assert_refused(call(client, sandbox, "unknown"), 401, "gateway.token.invalid")["message"]]
        for _ in range(2):
            clock.advance(30)
            messages.append(assert_refused(call(client, sandbox, token), 401, "gateway.token.invalid")["message"])
    assert messages == [
        "The access token is unknown or was revoked.",
        "The access token was not used for too long.",
        "The access token has expired.",
    ]


def test_use_does_not_revive_a_revoked_token(api: httpx.Client, sandbox: Sandbox) -> None:
    """`revoke` returns whether there was a token; other tokens stay active."""
    token, other = get_token(api, sandbox), get_token(api, sandbox)
    assert [sandbox.revoke(token), sandbox.revoke(token)] == [True, False]
    assert [call(api, sandbox, each).status_code for each in (token, token, other)] == [401, 401, 200]


def test_revoke_all_returns_the_number_of_tokens(api: httpx.Client, sandbox: Sandbox) -> None:
    """A second call finds none."""
    tokens = [get_token(api, sandbox) for _ in range(3)]
    assert [sandbox.revoke_all(), sandbox.revoke_all()] == [3, 0]
    assert {call(api, sandbox, token).status_code for token in tokens} == {401}


def test_revoked_session_cannot_take_over(api: httpx.Client, sandbox: Sandbox) -> None:
    """Another session that ends it later does not make it `superseded`."""
    access, refresh_token = pair_of(api, sandbox)
    assert revoke(api, sandbox, token=access).status_code == 200
    body_of(ask_for_account(api, sandbox, endOtherSessions="true"))
    reply = refresh(api, sandbox, refresh_token, endOtherSessions="true")
    assert reply.status_code == 400
    assert "unknown or was revoked" in reply.text


@pytest.mark.parametrize(("seconds", "status"), [(60.0, 403), (100.0, 200)])
def test_refresh_token_keeps_a_session_active(seconds: float, status: int, clock: MockClock) -> None:
    """An expired access token does not end a session that can still be refreshed."""
    lifetimes = {"active_lifetime": 60.0, "refresh_lifetime": 100.0}
    with Sandbox(one_session=True, clock=clock, **lifetimes) as sandbox, api_client(sandbox) as client:  # type: ignore[arg-type]
        pair_of(client, sandbox)
        clock.advance(seconds)
        assert ask_for_account(client, sandbox).status_code == status


def test_gateway_token_is_not_a_session_of_the_platform(clock: MockClock) -> None:
    """An account with one session may still have tokens of the gateway."""
    with Sandbox(one_session=True, clock=clock) as sandbox, api_client(sandbox) as client:
        token = get_token(client, sandbox)
        log_in(client, sandbox)
        assert ask_for_account(client, sandbox).status_code == 200
        assert call(client, sandbox, token).status_code == 200
