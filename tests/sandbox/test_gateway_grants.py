"""The gateway's grants, refresh tokens and invalidation."""

from __future__ import annotations

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.sandbox_client import (
    api_client,
    ask_token,
    assert_refused,
    call,
    get_token,
    mtls_client,
    token_form,
)

DAY = 86400.0


def log_in(client: httpx.Client, sandbox: Sandbox) -> dict[str, str]:
    """Request a token by the password grant and return the response."""
    reply = ask_token(client, sandbox, {**token_form(sandbox), "grant_type": "password"})
    assert reply.status_code == 200, reply.text
    body: dict[str, str] = reply.json()
    return body


def refresh(client: httpx.Client, sandbox: Sandbox, refresh_token: str) -> httpx.Response:
    """Use a refresh token."""
    return ask_token(client, sandbox, {"grant_type": "refresh_token", "refresh_token": refresh_token})


def test_password_grant_gives_a_refresh_token(api: httpx.Client, sandbox: Sandbox) -> None:
    """All values are strings, and the access token works."""
    body = log_in(api, sandbox)
    assert (body["refresh_token_expires_in"], body["refresh_count"], body["expires_in"]) == ("2591999", "0", "3599")
    assert body["refresh_token"]
    assert call(api, sandbox, body["access_token"]).status_code == 200


@pytest.mark.parametrize("changes", [{"username": "nobody"}, {"password": "wrong"}])
def test_password_grant_needs_the_credentials_of_the_account(
    changes: dict[str, str], api: httpx.Client, sandbox: Sandbox
) -> None:
    """A wrong one is a 401."""
    form = {**token_form(sandbox), "grant_type": "password", **changes}
    assert_refused(ask_token(api, sandbox, form), 401, "gateway.authentication.failure")


def test_client_credentials_give_no_refresh_token(api: httpx.Client, sandbox: Sandbox) -> None:
    """Such a token cannot be refreshed."""
    assert "refresh_token" not in ask_token(api, sandbox).json()


def test_refresh_rotates_the_refresh_token(api: httpx.Client, sandbox: Sandbox) -> None:
    """Each refresh increases the count; earlier access tokens stay active."""
    replies = [log_in(api, sandbox)]
    for _ in range(2):
        replies.append(refresh(api, sandbox, replies[-1]["refresh_token"]).json())
    assert [reply["refresh_count"] for reply in replies] == ["0", "1", "2"]
    assert len({reply["refresh_token"] for reply in replies}) == 3
    assert [call(api, sandbox, reply["access_token"]).status_code for reply in replies] == [200, 200, 200]


def test_reuse_of_a_refresh_token_revokes_the_family(api: httpx.Client, sandbox: Sandbox) -> None:
    """The token may have been stolen; tokens of another login stay active."""
    other = log_in(api, sandbox)
    first = log_in(api, sandbox)
    second = refresh(api, sandbox, first["refresh_token"]).json()
    reuse = assert_refused(refresh(api, sandbox, first["refresh_token"]), 400, "gateway.token.invalid")
    assert reuse["errors"][0]["field"] == "refresh_token"
    assert_refused(refresh(api, sandbox, second["refresh_token"]), 400, "gateway.token.invalid")
    tokens = [reply["access_token"] for reply in (first, second, other)]
    assert [call(api, sandbox, token).status_code for token in tokens] == [401, 401, 200]


@pytest.mark.parametrize(("seconds", "status"), [(30 * DAY - 1, 200), (30 * DAY, 400)])
def test_refresh_token_expires_after_thirty_days(
    seconds: float, status: int, api: httpx.Client, sandbox: Sandbox, clock: MockClock
) -> None:
    """Exactly 30 days are too late."""
    body = log_in(api, sandbox)
    clock.advance(seconds)
    assert refresh(api, sandbox, body["refresh_token"]).status_code == status


def test_idle_login_can_be_refreshed(api: httpx.Client, sandbox: Sandbox, clock: MockClock) -> None:
    """The old access token stays inactive."""
    body = log_in(api, sandbox)
    clock.advance(1800)
    fresh = refresh(api, sandbox, body["refresh_token"]).json()
    assert call(api, sandbox, body["access_token"]).status_code == 401
    assert call(api, sandbox, fresh["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("refresh_token", "code"),
    [
        pytest.param(None, "gateway.request.invalid", id="none"),
        pytest.param("", "gateway.request.invalid", id="empty"),
        pytest.param("unknown", "gateway.token.invalid", id="unknown"),
    ],
)
def test_refresh_needs_an_active_token(
    refresh_token: str | None, code: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """The error names the field."""
    form = {"grant_type": "refresh_token", **({} if refresh_token is None else {"refresh_token": refresh_token})}
    assert assert_refused(ask_token(api, sandbox, form), 400, code)["errors"][0]["field"] == "refresh_token"


def test_access_and_refresh_token_are_not_interchangeable(api: httpx.Client, sandbox: Sandbox) -> None:
    """Each is unknown in the place of the other."""
    body = log_in(api, sandbox)
    assert refresh(api, sandbox, body["access_token"]).status_code == 400
    assert call(api, sandbox, body["refresh_token"]).status_code == 401


def test_refresh_needs_the_certificate_of_the_login(api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox) -> None:
    """A request without it, or with another, leaves the token unused; a renewed certificate is accepted."""
    body = log_in(mtls, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        for client in (api, thief):
            reply = refresh(client, sandbox, body["refresh_token"])
            assert_refused(reply, 403, "gateway.certificate.mismatch")
    with mtls_client(sandbox, sandbox.issue_certificate()) as renewed:
        assert refresh(renewed, sandbox, body["refresh_token"]).status_code == 200


def test_refresh_must_use_the_host_of_the_login(api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox) -> None:
    """A request to the other host leaves the token unused."""
    body = log_in(api, sandbox)
    assert_refused(refresh(mtls, sandbox, body["refresh_token"]), 403, "gateway.certificate.mismatch")
    assert refresh(api, sandbox, body["refresh_token"]).status_code == 200


@pytest.mark.parametrize("bound", [False, True], ids=["issued without a certificate", "issued with one"])
def test_invalidation_must_use_the_host_of_the_login(
    bound: bool, api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """A request to the other host invalidates nothing."""
    here, there = (mtls, api) if bound else (api, mtls)
    token = log_in(here, sandbox)["access_token"]
    form = {"grant_type": "invalidate_token", "access_token": token}
    assert_refused(ask_token(there, sandbox, form), 403, "gateway.certificate.mismatch")
    assert call(here, sandbox, token).status_code == 200


def test_invalidation_revokes_the_refresh_token(api: httpx.Client, sandbox: Sandbox) -> None:
    """Both tokens are revoked."""
    body = log_in(api, sandbox)
    ask_token(api, sandbox, {"grant_type": "invalidate_token", "access_token": body["access_token"]})
    assert refresh(api, sandbox, body["refresh_token"]).status_code == 400


def test_revoke_leaves_the_refresh_token_and_revoke_all_does_not(api: httpx.Client, sandbox: Sandbox) -> None:
    """After `revoke`, a client can show its refresh."""
    body = log_in(api, sandbox)
    assert sandbox.revoke(body["access_token"])
    fresh = refresh(api, sandbox, body["refresh_token"]).json()
    sandbox.revoke_all()
    assert refresh(api, sandbox, fresh["refresh_token"]).status_code == 400


def test_session_token_grant_gives_an_access_token(api: httpx.Client, sandbox: Sandbox) -> None:
    """Any number of times, without a refresh token."""
    form = {"grant_type": "sessionToken", "sessionToken": sandbox.session_token}
    for _ in range(2):
        body = ask_token(api, sandbox, form).json()
        assert "refresh_token" not in body
        assert call(api, sandbox, body["access_token"]).status_code == 200


def test_field_of_the_session_token_can_be_chosen() -> None:
    """No document names it."""
    with Sandbox(session_token_field="smsession") as sandbox, api_client(sandbox) as client:
        form = {"grant_type": "sessionToken", "smsession": sandbox.session_token}
        assert ask_token(client, sandbox, form).status_code == 200


@pytest.mark.parametrize(
    ("session_token", "status", "code"),
    [
        pytest.param(None, 400, "gateway.request.invalid", id="none"),
        pytest.param("", 400, "gateway.request.invalid", id="empty"),
        pytest.param("unknown", 401, "gateway.authentication.failure", id="unknown"),
    ],
)
def test_unknown_session_is_refused(
    session_token: str | None, status: int, code: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """The error names the field."""
    form = {"grant_type": "sessionToken", **({} if session_token is None else {"sessionToken": session_token})}
    error = assert_refused(ask_token(api, sandbox, form), status, code)
    assert error["errors"][0]["field"] == "sessionToken"


@pytest.mark.parametrize("grant_type", ["password", "sessionToken"])
def test_every_grant_needs_the_certificate_of_the_account(grant_type: str, sandbox: Sandbox) -> None:
    """Another CN is a 403."""
    form = {**token_form(sandbox), "grant_type": grant_type, "sessionToken": sandbox.session_token}
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as client:
        assert_refused(ask_token(client, sandbox, form), 403, "gateway.certificate.mismatch")


def test_client_secret_is_not_decoded() -> None:
    """The gateway reads Basic authentication raw."""
    with Sandbox(client_secret="a+b%20 é:c") as sandbox, api_client(sandbox) as client:
        assert sandbox.client_secret == "a+b%20 é:c"
        assert get_token(client, sandbox)
