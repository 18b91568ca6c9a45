"""The platform's tokeninfo endpoint."""

from __future__ import annotations

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import CALLBACK, TOKEN_INFO, ask_for_account, assert_refused, body_of, info, pair_of
from tests._support.sandbox_client import api_client, basic, mtls_client


def test_token_info_has_the_documented_members(sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """With the seconds until both tokens expire, as numbers."""
    access, refresh_token = pair_of(api, sandbox)
    clock.advance(100)
    body = body_of(info(api, sandbox, access))
    assert body.pop("app_name")
    assert body == {
        "access_token": access,
        "token_type": "BearerToken",
        "expires_in": 3499,
        "status": "approved",
        "scope": "ilservices",
        "refresh_token": refresh_token,
        "refresh_token_expires_in": 2591899,
        "redirect_url": CALLBACK,
        "email": sandbox.email,
    }


def test_token_info_without_a_refresh_token(sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """There is none, or it has expired."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    assert "refresh_token" not in body_of(info(api, sandbox, token))
    with Sandbox(refresh_lifetime=10, clock=clock) as short, api_client(short) as client:
        access, _ = pair_of(client, short)
        clock.advance(10)
        assert "refresh_token" not in body_of(info(client, short, access))


def test_token_info_needs_an_active_access_token(sandbox: Sandbox, api: httpx.Client) -> None:
    """A refresh token, a revoked token and an unknown token are refused."""
    access, refresh_token = pair_of(api, sandbox)
    sandbox.revoke(access)
    for token in (access, refresh_token, "unknown"):
        assert "token" in assert_refused(info(api, sandbox, token), 401)


def test_token_info_needs_the_certificate_of_the_token(api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox) -> None:
    """Like every other request."""
    token = body_of(ask_for_account(mtls, sandbox))["access_token"]
    assert info(mtls, sandbox, token).status_code == 200
    assert_refused(info(api, sandbox, token), 401)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as thief:
        assert_refused(info(thief, sandbox, token), 403)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param({"client_secret": "x"}, 400, id="a secret in the URL"),
        pytest.param({"access_token": "x"}, 400, id="the token in the URL"),
        pytest.param({"client_id": "0123456789abcdef"}, 401, id="another client"),
        pytest.param({"client_id": ""}, 401, id="no client"),
    ],
)
def test_token_info_accepts_only_the_client_id_in_the_url(
    query: dict[str, str], status: int, sandbox: Sandbox, api: httpx.Client
) -> None:
    """Other parameters are refused, even with an active token."""
    token = body_of(ask_for_account(api, sandbox))["access_token"]
    assert_refused(info(api, sandbox, token, **query), status)


@pytest.mark.parametrize("authorization", [None, "Bearer", basic("a", "b")])
def test_token_info_needs_a_bearer_token(authorization: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """And the method GET."""
    headers = {} if authorization is None else {"Authorization": authorization}
    assert_refused(api.get(TOKEN_INFO, params={"client_id": sandbox.client_id}, headers=headers), 401)
    assert_refused(api.post(TOKEN_INFO, headers=headers), 404)
