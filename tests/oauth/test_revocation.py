"""Ending a token before its time."""

from __future__ import annotations

import attrs
import httpx
import pytest

from seic._errors import ConfigurationError, InvalidTokenResponse, TokenEndpointUnavailable, TokenRequestRefused
from seic._model.provider import Provider, RequestContext
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._oauth.revocation import build_revocation_request, parse_revocation_reply
from tests._support.token_replies import reply_of

PLATFORM = attrs.evolve(SEI_PLATFORM, revocation_url="/v2/oauth/revoke")
STANDARD = attrs.evolve(OAUTH2, revocation_url="https://idp.example/revoke")


def _build(provider: Provider, *, is_refresh_token: bool = False) -> httpx.Request:
    return build_revocation_request(
        RequestContext(provider=provider, token_url="https://api.example:444/token", client_id="id", client_secret="s"),
        token="abc",
        is_refresh_token=is_refresh_token,
    )


@pytest.mark.parametrize(
    ("provider", "is_refresh_token", "url", "form"),
    [
        pytest.param(
            SEI_GATEWAY,
            False,
            "https://api.example:444/token",
            "grant_type=invalidate_token&access_token=abc",
            id="gateway",
        ),
        pytest.param(
            PLATFORM,
            False,
            "https://api.example:444/v2/oauth/revoke",
            "token=abc&client_id=id&client_secret=s",
            id="platform, access token",
        ),
        pytest.param(
            PLATFORM,
            True,
            "https://api.example:444/v2/oauth/revoke",
            "refresh_token=abc&client_id=id&client_secret=s",
            id="platform, refresh token",
        ),
        pytest.param(STANDARD, False, "https://idp.example/revoke", "token=abc", id="RFC 7009, access token"),
        pytest.param(
            STANDARD,
            True,
            "https://idp.example/revoke",
            "token=abc&token_type_hint=refresh_token",
            id="RFC 7009, refresh token",
        ),
    ],
)
def test_each_dialect(provider: Provider, is_refresh_token: bool, url: str, form: str) -> None:
    """Expect the documented form at the documented place, the token never in the URL."""
    request = _build(provider, is_refresh_token=is_refresh_token)
    assert (request.method, str(request.url), request.content.decode()) == ("POST", url, form)


def test_the_gateway_asks_for_its_two_proofs() -> None:
    """Expect Basic and the AppKey, as on a token call."""
    headers = _build(SEI_GATEWAY).headers
    assert headers["Authorization"].startswith("Basic ")
    assert headers["AppKey"] == "id"


@pytest.mark.parametrize(
    ("provider", "is_refresh_token"),
    [
        pytest.param(OAUTH2, False, id="plain"),
        pytest.param(SEI_PLATFORM, False, id="platform, whose path no document names"),
        pytest.param(SEI_GATEWAY, True, id="gateway, refresh token"),
    ],
)
def test_what_no_document_names_is_asked_for(provider: Provider, is_refresh_token: bool) -> None:
    """Expect an error that names the setting, and no guess."""
    with pytest.raises(ConfigurationError, match=r"attrs\.evolve") as caught:
        _build(provider, is_refresh_token=is_refresh_token)
    assert caught.value.field == "provider.revocation_url"


def _parse(status: int, body: object = None, *, provider: Provider = PLATFORM) -> None:
    parse_revocation_reply(reply_of(body, status=status, provider=provider))


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
    """Expect the status to count (RFC 7009 §2.2), and on the platform its word that the pair died."""
    _parse(status, body, provider=provider)


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
def test_a_success_of_the_platforms_that_says_too_little(body: object, problem: str) -> None:
    """Expect it not to be believed: one call is made for a pair, since either token takes the other along."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _parse(200, body)
    assert problem in caught.value.problem


@pytest.mark.parametrize("status", [200, 400])
def test_the_platforms_error(status: int) -> None:
    """Expect its own form to be a refusal, even under a success's status, without what it echoes."""
    with pytest.raises(TokenRequestRefused) as caught:
        _parse(status, {"ErrorCode": "invalid_request", "Error": "Bad hunter2", "Hint": "Send one"})
    assert (caught.value.status, caught.value.code) == (status, "invalid_request")
    assert caught.value.description == "Bad ***; Send one"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, InvalidTokenResponse), (401, TokenRequestRefused), (429, TokenEndpointUnavailable)],
)
def test_a_failure(status: int, kind: type[Exception]) -> None:
    """Expect the errors of a token call for every other status."""
    with pytest.raises(kind):
        _parse(status, b"")
