"""Logins on the platform: codes and refresh tokens."""

from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import (
    CALLBACK,
    ask,
    assert_refused,
    body_of,
    call,
    exchange,
    log_in,
    pair_of,
    refresh,
)
from tests._support.sandbox_client import api_client, basic, mtls_client

DAY = 86400.0
VERIFIER = "a-verifier-of-forty-three-characters-at-least-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


# authorization_code


def test_login_gives_a_refresh_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """The response has the refresh token and the redirect URL of the login."""
    body = body_of(exchange(api, sandbox, log_in(api, sandbox)))
    assert call(api, body.pop("access_token")).status_code == 200
    assert body.pop("refresh_token")
    assert body == {
        "token_type": "BearerToken",
        "expires_in": 3599,
        "refresh_token_expires_in": 2591999,
        "redirect_url": CALLBACK,
        "email": sandbox.email,
    }


def test_application_without_refresh_gets_no_refresh_token() -> None:
    """Refresh must be enabled for the application."""
    with Sandbox(refresh_enabled=False) as sandbox, api_client(sandbox) as client:
        body = body_of(exchange(client, sandbox, log_in(client, sandbox)))
        assert not {"refresh_token", "refresh_token_expires_in"} & set(body)


@pytest.mark.parametrize(("seconds", "status"), [(0.0, 200), (19.9, 200), (20.0, 400), (21.0, 400)])
def test_code_expires_after_twenty_seconds(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: MockClock
) -> None:
    """Exactly 20 seconds are too late."""
    code = log_in(api, sandbox)
    clock.advance(seconds)
    assert exchange(api, sandbox, code).status_code == status


@pytest.mark.parametrize("seconds", [0.0, 19.0, 3000.0])
def test_second_use_of_a_code_revokes_the_tokens_of_the_first(
    seconds: float, sandbox: Sandbox, api: httpx.Client, clock: MockClock
) -> None:
    """All tokens that came from the code, at any time; tokens of another login stay active."""
    other, _ = pair_of(api, sandbox)
    code = log_in(api, sandbox)
    body = body_of(exchange(api, sandbox, code))
    fresh = body_of(refresh(api, sandbox, body["refresh_token"]))
    clock.advance(seconds)
    assert "used before" in assert_refused(exchange(api, sandbox, code), 400)
    tokens = [body["access_token"], fresh["access_token"], other]
    assert [call(api, token).status_code for token in tokens] == [401, 401, 200]
    assert refresh(api, sandbox, fresh["refresh_token"]).status_code == 400


@pytest.mark.parametrize("code", [None, "", "unknown"])
def test_code_must_come_from_a_login(code: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """A missing, empty or unknown code is refused."""
    assert_refused(ask(api, sandbox, grant_type="authorization_code", code=code), 400)


@pytest.mark.parametrize(("given", "status"), [(CALLBACK, 200), ("http://127.0.0.1:2/callback", 400), ("", 400)])
@pytest.mark.parametrize("field", ["redirect_url", "redirect_uri"])
def test_redirect_url_of_the_token_request_must_match_the_login(
    field: str, given: str, status: int, sandbox: Sandbox, api: httpx.Client
) -> None:
    """It is optional; a wrong one invalidates the code."""
    code = log_in(api, sandbox)
    assert exchange(api, sandbox, code, **{field: given}).status_code == status
    assert exchange(api, sandbox, code).status_code == 400


@pytest.mark.parametrize(
    ("challenge", "verifier", "status"),
    [
        pytest.param(CHALLENGE, VERIFIER, 200, id="both match"),
        pytest.param(CHALLENGE, VERIFIER + "x", 400, id="another verifier"),
        pytest.param(CHALLENGE, CHALLENGE, 400, id="the challenge as verifier"),
        pytest.param(CHALLENGE, "", 400, id="empty verifier"),
        pytest.param(CHALLENGE, None, 400, id="no verifier"),
        pytest.param(None, VERIFIER, 400, id="verifier without challenge"),
        pytest.param(None, None, 200, id="neither"),
    ],
)
def test_code_needs_its_verifier(
    challenge: str | None, verifier: str | None, status: int, sandbox: Sandbox, api: httpx.Client
) -> None:
    """RFC 7636; a wrong verifier invalidates the code."""
    method = None if challenge is None else "S256"
    code = log_in(api, sandbox, code_challenge=challenge, code_challenge_method=method)
    assert exchange(api, sandbox, code, code_verifier=verifier).status_code == status
    assert exchange(api, sandbox, code, code_verifier=VERIFIER if challenge else None).status_code == 400


def test_wrong_certificate_leaves_the_code_valid(mtls: httpx.Client, sandbox: Sandbox) -> None:
    """The owner of the code can still use it."""
    code = log_in(mtls, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        assert_refused(exchange(thief, sandbox, code), 403)
    assert exchange(mtls, sandbox, code).status_code == 200


# refresh_token


def test_refresh_rotates_the_refresh_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """The second response has the same members as the first."""
    first = body_of(exchange(api, sandbox, log_in(api, sandbox)))
    second = body_of(refresh(api, sandbox, first["refresh_token"]))
    assert set(second) == set(first)
    assert second["redirect_url"] == CALLBACK
    assert second["refresh_token"] != first["refresh_token"]
    assert call(api, second["access_token"]).status_code == 200


def test_reuse_of_a_refresh_token_revokes_the_family(sandbox: Sandbox, api: httpx.Client) -> None:
    """Tokens of another login stay active."""
    other, _ = pair_of(api, sandbox)
    access, stolen = pair_of(api, sandbox)
    thief = body_of(refresh(api, sandbox, stolen))
    assert "used before" in assert_refused(refresh(api, sandbox, stolen), 400)
    assert_refused(refresh(api, sandbox, thief["refresh_token"]), 400)
    assert [call(api, token).status_code for token in (access, thief["access_token"], other)] == [401, 401, 200]


@pytest.mark.parametrize(("seconds", "status"), [(30 * DAY - 1, 200), (30 * DAY, 400)])
def test_refresh_token_expires_after_thirty_days(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: MockClock
) -> None:
    """Exactly 30 days are too late."""
    _, refresh_token = pair_of(api, sandbox)
    clock.advance(seconds)
    assert refresh(api, sandbox, refresh_token).status_code == status


def test_refresh_token_of_the_gateway_is_unknown(sandbox: Sandbox, api: httpx.Client) -> None:
    """The attempt does not revoke it at the gateway."""
    headers = {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    form = {"grant_type": "password", "username": sandbox.username, "password": sandbox.password}
    foreign = body_of(api.post("/v2/oauthtoken", headers=headers, data=form))["refresh_token"]
    for _ in range(2):
        assert_refused(refresh(api, sandbox, foreign), 400)
    form = {"grant_type": "refresh_token", "refresh_token": foreign}
    assert api.post("/v2/oauthtoken", headers=headers, data=form).status_code == 200
    assert_refused(refresh(api, sandbox, foreign), 400)
