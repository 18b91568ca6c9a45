"""Sessions of an account on the platform."""

from __future__ import annotations

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import (
    TOKEN_INFO,
    ask_for_account,
    assert_refused,
    body_of,
    call,
    exchange,
    log_in,
    pair_of,
    refresh,
)
from tests._support.sandbox_client import api_client, basic


def test_sessions_are_independent_until_one_ends_the_others(sandbox: Sandbox, api: httpx.Client) -> None:
    """Then the API, tokeninfo and a refresh answer with the documented message."""
    first, first_refresh = pair_of(api, sandbox)
    second = body_of(ask_for_account(api, sandbox))["access_token"]
    assert [call(api, token).status_code for token in (first, second)] == [200, 200]
    third = body_of(ask_for_account(api, sandbox, endOtherSessions="true"))["access_token"]
    assert call(api, third).status_code == 200
    params, header = {"client_id": sandbox.client_id}, {"Authorization": f"Bearer {first}"}
    refusals = [
        call(api, first),
        call(api, second),
        refresh(api, sandbox, first_refresh),
        api.get(TOKEN_INFO, params=params, headers=header),
    ]
    for reply in refusals:
        message = assert_refused(reply, 403, "018")
        assert message == "Your session has been logged out as the same user is logged in elsewhere."


def test_ended_session_can_take_over_with_its_refresh_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """A refused refresh leaves the refresh token unused; a refresh that ends the other sessions works."""
    _, refresh_token = pair_of(api, sandbox)
    other = body_of(ask_for_account(api, sandbox, endOtherSessions="true"))["access_token"]
    assert_refused(refresh(api, sandbox, refresh_token), 403, "018")
    assert_refused(refresh(api, sandbox, refresh_token, endOtherSessions="false"), 403, "018")
    fresh = body_of(refresh(api, sandbox, refresh_token, endOtherSessions="true"))
    assert call(api, fresh["access_token"]).status_code == 200
    assert_refused(call(api, other), 403, "018")


def test_login_may_end_the_other_sessions(sandbox: Sandbox, api: httpx.Client) -> None:
    """They end with the token request, and not before."""
    other = body_of(ask_for_account(api, sandbox))["access_token"]
    code = log_in(api, sandbox, endOtherSessions="true")
    assert call(api, other).status_code == 200
    body_of(exchange(api, sandbox, code))
    assert_refused(call(api, other), 403, "018")


def test_sessions_of_the_other_dialects_do_not_end(sandbox: Sandbox, api: httpx.Client) -> None:
    """The gateway has no sessions."""
    headers = {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    form = {"grant_type": "client_credentials", "username": sandbox.username, "password": sandbox.password}
    token = body_of(api.post("/v2/oauthtoken", headers=headers, data=form))["access_token"]
    body_of(ask_for_account(api, sandbox, endOtherSessions="true"))
    headers = {"AppKey": sandbox.client_id, "Authorization": f"Bearer {token}"}
    assert api.get("/v1/echo", headers=headers).status_code == 200


def test_account_with_one_session_must_end_it(clock: MockClock) -> None:
    """A token request during another session is refused unless it ends that session; the refused code stays valid."""
    with Sandbox(one_session=True, clock=clock) as sandbox, api_client(sandbox) as client:
        first = body_of(exchange(client, sandbox, log_in(client, sandbox)))
        assert_refused(ask_for_account(client, sandbox), 403, "018")
        code = log_in(client, sandbox)
        assert_refused(exchange(client, sandbox, code), 403, "018")
        own = body_of(refresh(client, sandbox, first["refresh_token"]))
        assert call(client, own["access_token"]).status_code == 200
        assert exchange(client, sandbox, code, endOtherSessions="true").status_code == 200
        assert_refused(call(client, own["access_token"]), 403, "018")


@pytest.mark.parametrize(("seconds", "status"), [(3599.9, 403), (3600.0, 200)])
def test_session_ends_when_its_last_token_expires(seconds: float, status: int, clock: MockClock) -> None:
    """Then there is no session to end."""
    with Sandbox(one_session=True, clock=clock) as sandbox, api_client(sandbox) as client:
        body_of(ask_for_account(client, sandbox))
        clock.advance(seconds)
        assert ask_for_account(client, sandbox).status_code == status
