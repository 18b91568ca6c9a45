"""The platform's revocation endpoint."""

from __future__ import annotations

import httpx
import pytest

from seic.sandbox import Sandbox
from tests._support.platform_client import (
    ask_for_account,
    assert_refused,
    body_of,
    call,
    pair_of,
    post,
    refresh,
    revoke,
)
from tests._support.sandbox_client import api_client


@pytest.mark.parametrize("field", ["token", "refresh_token"])
def test_revocation_of_one_token_revokes_the_pair(field: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """The response is the documented one."""
    access, refresh_token = pair_of(api, sandbox)
    token = access if field == "token" else refresh_token
    body = body_of(revoke(api, sandbox, **{field: token}))
    assert body.pop("message")
    assert body == {"token": token, "cascade": "true"}
    assert call(api, access).status_code == 401
    assert_refused(refresh(api, sandbox, refresh_token), 400)
    counts = sandbox.counts
    assert (counts.revocation_requests, counts.tokens_invalidated, counts.token_requests) == (1, 1, 2)


@pytest.mark.parametrize(
    ("form", "status", "hint"),
    [
        pytest.param({}, 400, "token", id="no token"),
        pytest.param({"token": "a", "refresh_token": "b"}, 400, "token", id="two tokens"),
        pytest.param({"token": "unknown"}, 400, "token", id="unknown token"),
        pytest.param({"refresh_token": "unknown"}, 400, "refresh_token", id="unknown refresh token"),
        pytest.param({"token": "unknown", "client_secret": "wrong"}, 401, "", id="wrong client_secret"),
    ],
)
def test_refused_revocation_has_its_own_error_body(
    form: dict[str, str], status: int, hint: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """`ErrorCode`, `Error` and `Hint`, all strings."""
    reply = revoke(api, sandbox, **form)
    assert reply.status_code == status
    body = reply.json()
    assert list(body) == ["ErrorCode", "Error", "Hint"]
    assert body["ErrorCode"] == str(status)
    assert body["Hint"].startswith(hint)
    assert "unknown" not in body["Hint"]
    assert sandbox.counts.tokens_invalidated == 0


def test_revoked_token_cannot_be_revoked_again(sandbox: Sandbox, api: httpx.Client) -> None:
    """Neither by the access token nor by the refresh token."""
    access, refresh_token = pair_of(api, sandbox)
    assert revoke(api, sandbox, token=access).status_code == 200
    assert revoke(api, sandbox, token=access).status_code == 400
    assert revoke(api, sandbox, refresh_token=refresh_token).status_code == 400


def test_revocation_path_can_be_chosen() -> None:
    """No document names it."""
    with Sandbox(revocation_path="/oauth/revoke-here") as sandbox, api_client(sandbox) as client:
        token = body_of(ask_for_account(client, sandbox))["access_token"]
        assert post(client, sandbox, "/oauth/revoke-here", {"token": token}).status_code == 200


@pytest.mark.parametrize("path", ["revoke", "", "/v2/oauth/token"])
def test_revocation_path_must_be_free(path: str) -> None:
    """Two endpoints cannot have the same path."""
    with pytest.raises(ValueError, match="revocation_path"):
        Sandbox(revocation_path=path)
