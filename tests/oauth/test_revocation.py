"""Token revocation."""

from __future__ import annotations

import attrs
import pytest

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    SEI_PLATFORM,
    ConfigurationError,
    Hosts,
    InvalidTokenResponse,
    Provider,
    TokenEndpointUnavailable,
    TokenRequestRefused,
)
from tests._support.token_calls import config_of, reply, revoke

PLATFORM = attrs.evolve(SEI_PLATFORM, revocation_url="/v2/oauth/revoke")
STANDARD = attrs.evolve(OAUTH2, revocation_url="https://idp.example/revoke")


@pytest.mark.parametrize(
    ("provider", "requests"),
    [
        pytest.param(
            SEI_GATEWAY,
            [("https://api.example/v2/oauthtoken", "grant_type=invalidate_token&access_token=abc")],
            id="gateway",
        ),
        pytest.param(
            PLATFORM,
            [("https://api.example/v2/oauth/revoke", "refresh_token=r&client_id=id&client_secret=secret-1")],
            id="platform: one of the pair",
        ),
        pytest.param(
            STANDARD,
            [
                ("https://idp.example/revoke", "token=r&token_type_hint=refresh_token"),
                ("https://idp.example/revoke", "token=abc"),
            ],
            id="RFC 7009: the refresh token first",
        ),
    ],
)
def test_each_dialect(provider: Provider, requests: list[tuple[str, str]]) -> None:
    """Expect the documented form at the documented URL, the token never in the URL."""
    sent = revoke(config_of(provider), refresh_token="r")
    assert [(str(request.url), request.content.decode()) for request in sent] == requests
    assert {request.method for request in sent} == {"POST"}


def test_the_platform_without_a_refresh_token() -> None:
    """Expect the access token to be revoked."""
    (request,) = revoke(config_of(PLATFORM))
    assert request.content == b"token=abc&client_id=id&client_secret=secret-1"


@pytest.mark.parametrize(
    ("path_or_url", "url"),
    [
        pytest.param("/v2/revoke", "https://api.example:444/v2/revoke", id="path"),
        pytest.param("/v2/revoke?x=1", "https://api.example:444/v2/revoke?x=1", id="path with a query"),
        pytest.param("https://idp.example/revoke", "https://idp.example/revoke", id="URL"),
    ],
)
def test_a_path_is_on_the_host_of_the_token_endpoint(path_or_url: str, url: str) -> None:
    """Expect the same origin, without the token endpoint's own path and query."""
    provider = attrs.evolve(OAUTH2, token_url="/token?tenant=1", revocation_url=path_or_url)
    (request,) = revoke(config_of(provider, hosts=Hosts(api="api.example:444")))
    assert str(request.url) == url


def test_the_gateway_authenticates_the_client() -> None:
    """Expect Basic and the AppKey, as in a token request."""
    (request,) = revoke(config_of(SEI_GATEWAY))
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.headers["AppKey"] == "id"


@pytest.mark.parametrize("provider", [OAUTH2, SEI_PLATFORM], ids=["plain", "platform"])
def test_a_provider_without_a_documented_endpoint(provider: Provider) -> None:
    """Expect an error that names the setting, and no guess."""
    with pytest.raises(ConfigurationError, match=r"attrs\.evolve") as caught:
        revoke(config_of(provider))
    assert caught.value.field == "provider.revocation_url"


def _revoke(status: int, body: object = None, *, provider: Provider = PLATFORM) -> None:
    revoke(config_of(provider), reply(body, status=status))


@pytest.mark.parametrize(
    ("provider", "status", "body"),
    [
        pytest.param(STANDARD, 200, b"", id="RFC 7009, no body"),
        pytest.param(STANDARD, 204, b"", id="no content"),
        pytest.param(STANDARD, 200, b"<html>", id="a body, which RFC 7009 has the client ignore"),
        pytest.param(SEI_GATEWAY, 200, {"client_id": "id", "status": "revoked"}, id="gateway"),
        pytest.param(PLATFORM, 200, {"message": "revoked", "token": "abc", "cascade": "true"}, id="platform"),
        pytest.param(PLATFORM, 200, {"message": "revoked", "token": "abc", "cascade": True}, id="a boolean"),
    ],
)
def test_a_success(provider: Provider, status: int, body: object) -> None:
    """Expect the status to count (RFC 7009 §2.2), and on the platform its confirmation for the pair."""
    _revoke(status, body, provider=provider)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b"<html>", "HTML", id="a login page"),
        pytest.param([], "object", id="no object"),
        pytest.param({}, "cascade", id="no word"),
        pytest.param({"message": "revoked", "token": "abc", "cascade": "false"}, "cascade", id="one of the pair lives"),
        pytest.param({"message": "revoked", "token": "abc", "cascade": None}, "cascade", id="null"),
        pytest.param({"message": "revoked", "token": "abc", "cascade": 1}, "cascade", id="another type"),
    ],
)
def test_a_success_of_the_platform_without_confirmation(body: object, problem: str) -> None:
    """Expect an error: one request revokes a pair, so the reply must confirm it."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _revoke(200, body)
    assert problem in caught.value.problem


@pytest.mark.parametrize("status", [200, 400])
def test_the_platforms_error(status: int) -> None:
    """Expect its own error document to be a refusal, even with status 200, without the echoed secret."""
    with pytest.raises(TokenRequestRefused) as caught:
        _revoke(status, {"ErrorCode": "invalid_request", "Error": "Bad abc", "Hint": "Send one"})
    assert (caught.value.status, caught.value.code) == (status, "invalid_request")
    assert caught.value.description == "Bad ***; Send one"
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        pytest.param({"success": False, "message": "no"}, True, id="success"),
        pytest.param({"ok": "false"}, True, id="ok"),
        pytest.param({"status": "error"}, True, id="status"),
        pytest.param({"errcode": 40001, "errmsg": "no"}, True, id="errcode"),
        pytest.param({"errors": [{"code": "E1"}]}, True, id="errors"),
        pytest.param({"code": 0, "message": "ok"}, False, id="a code of no error"),
        pytest.param({"success": True, "errors": [], "errcode": "0"}, False, id="a success that says so"),
        pytest.param({"status": "revoked"}, False, id="a status"),
        pytest.param(b"revoked", False, id="a text"),
    ],
)
def test_an_error_under_200_in_any_form(body: object, refused: bool) -> None:
    """Expect a refusal if the document says so; otherwise the token is revoked (RFC 7009 §2.2)."""
    config = config_of(STANDARD)
    if not refused:
        revoke(config, answer=reply(body))
        return
    with pytest.raises(TokenRequestRefused):
        revoke(config, answer=reply(body))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, InvalidTokenResponse), (401, TokenRequestRefused), (429, TokenEndpointUnavailable)],
)
def test_a_failure(status: int, kind: type[Exception]) -> None:
    """Expect the errors of a token request for every other status."""
    with pytest.raises(kind):
        _revoke(status, b"")
