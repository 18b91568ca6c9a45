"""A refusal is recognised by its body, whatever its status and form, and uses up a refresh token only if it says so."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from seic import AsyncClient, Grant, Password, RefreshToken, SeicError, TokenRequestRefused
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import refresh_tokens_or_grants, refreshing_mock

#: Longer than the first pause after a refusal, and longer than the longest.
A_MINUTE, TEN_MINUTES = 60.0, 600.0

_APIGEE_CLIENT = {"fault": {"faultstring": "f", "detail": {"errorcode": "oauth.v2.InvalidClientIdentifier"}}}


def _client(provider: MockProvider, clock: FakeClock, grant: Grant | None = None) -> AsyncClient:
    config = provider.config() if grant is None else provider.config(grant=grant)
    return AsyncClient(config, transport=provider, clock=clock.clock)


def _reply(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, content=body) if isinstance(body, bytes) else httpx.Response(status, json=body)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 403, 404, 405, 406, 410, 421, 422, 500, 502, 503])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"error": "bad_refresh_token"}, id="GitHub"),
        pytest.param({"error": "invalid_grant"}, id="RFC 6749"),
        pytest.param({"error": "INVALID_GRANT"}, id="in capitals"),
        pytest.param({"error": "refresh_token_expired"}, id="the other way round"),
        pytest.param({"code": "RefreshTokenReused", "message": "m"}, id="camel case"),
        pytest.param({"message": "The refresh token has expired"}, id="in words alone"),
    ],
)
async def test_a_dead_refresh_token_is_sent_once(status: int, body: dict[str, Any]) -> None:
    """It is a refusal under any status, and no later call sends the token again."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.append(_reply(status, body))
    async with _client(provider, clock) as client:
        for expected in (status, None, None):
            with pytest.raises(TokenRequestRefused) as caught:
                await client.token()
            assert (caught.value.status, caught.value.code) == (expected, "login_required")
            clock.advance(TEN_MINUTES)
    assert refresh_tokens_or_grants(provider) == ["r0"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"success": False}, id="success"),
        pytest.param({"success": "false", "message": "no"}, id="success as a string"),
        pytest.param({"ok": False}, id="ok"),
        pytest.param({"status": "error"}, id="status"),
        pytest.param({"status": "fail", "data": {"message": "no"}}, id="JSend"),
        pytest.param({"errcode": 40001, "errmsg": "invalid credential"}, id="errcode"),
        pytest.param({"errors": [{"code": "E1"}]}, id="errors"),
        pytest.param({"errors": ["no"]}, id="errors as strings"),
        pytest.param({"error": {"code": 7, "message": "no"}}, id="an object"),
        pytest.param({"error": ["no"]}, id="a list"),
        pytest.param({"result": "rejected"}, id="a form of its own"),
        pytest.param({"access_token": None, "reason": "no"}, id="a null token"),
    ],
)
async def test_a_success_without_a_token_is_a_refusal(body: dict[str, Any]) -> None:
    """It is refused and paused in any form: in four seconds one request is sent."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.extend(_reply(200, body) for _ in range(9))
    async with _client(provider, clock, Password(username="u", password="hunter2")) as client:
        for _ in range(8):
            with pytest.raises(TokenRequestRefused) as caught:
                await client.token()
            assert caught.value.status == 200
            clock.advance(0.5)
        assert refresh_tokens_or_grants(provider) == ["password"]
        clock.advance(30)
        with pytest.raises(TokenRequestRefused):
            await client.token()
    assert refresh_tokens_or_grants(provider) == ["password"] * 2


@pytest.mark.parametrize("body", [{}, {"token_type": "Bearer", "expires_in": 3600}], ids=["empty", "without the token"])
async def test_a_success_that_lacks_only_the_token_is_paused_too(body: dict[str, Any]) -> None:
    """It says nothing of a refusal, but the same request will get the same answer."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.extend(_reply(200, body) for _ in range(9))
    async with _client(provider, clock, Password(username="u", password="hunter2")) as client:
        for _ in range(8):
            with pytest.raises(SeicError, match="access_token is missing"):
                await client.token()
            clock.advance(0.5)
    assert refresh_tokens_or_grants(provider) == ["password"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(401, {"error": "invalid_client"}, id="RFC 6749"),
        pytest.param(401, {"error": "INVALID_CLIENT"}, id="in capitals"),
        pytest.param(400, {"error": "invalid-client"}, id="with a dash"),
        pytest.param(400, {"error": "invalidClient"}, id="camel case"),
        pytest.param(400, {"Error": "invalid_client"}, id="another member"),
        pytest.param(400, {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}, id="Apigee's older form"),
        pytest.param(401, _APIGEE_CLIENT, id="Apigee"),
        pytest.param(401, {"fault": {"faultstring": "Invalid ApiKey"}}, id="Apigee's words"),
        pytest.param(401, {"message": "Client authentication failed"}, id="words alone"),
        pytest.param(400, {"error": "incorrect_client_credentials"}, id="GitHub"),
        pytest.param(200, {"error": "incorrect_client_credentials"}, id="GitHub's status"),
        pytest.param(401, {"error": "unauthorized_client", "message": "Invalid client secret"}, id="Keycloak"),
        pytest.param(401, {"error": "invalid_request", "message": "client_secret is wrong"}, id="a vague code"),
        pytest.param(500, {"error": "invalid_client"}, id="under 500"),
        pytest.param(404, {"error": "invalidClient"}, id="under 404"),
        pytest.param(403, b"<html><title>Request blocked</title></html>", id="a firewall's page"),
        pytest.param(403, b"Forbidden", id="a text"),
        pytest.param(403, {"message": "Forbidden"}, id="a gateway's words"),
        pytest.param(403, b"", id="nothing"),
        pytest.param(401, b"", id="a bare 401"),
        pytest.param(400, {"error": "use_dpop_nonce"}, id="a nonce"),
        pytest.param(400, {"code": "APP_NOT_FOUND", "message": "no"}, id="an application"),
        pytest.param(401, {"code": 40125, "message": "invalid appsecret"}, id="a code of digits"),
    ],
)
async def test_a_refused_client_does_not_use_up_the_refresh_token(status: int, body: Any) -> None:
    """It is paused, and then the same refresh token gets a token: nobody has to log in."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.append(_reply(status, body))
    async with _client(provider, clock) as client:
        for _ in range(3):
            with pytest.raises(TokenRequestRefused) as caught:
                await client.token()
            assert caught.value.code != "login_required"
            clock.advance(1)
        assert refresh_tokens_or_grants(provider) == ["r0"]
        clock.advance(A_MINUTE)
        await client.token()
    assert refresh_tokens_or_grants(provider) == ["r0", "r0"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"error": "invalid_request", "message": "The refresh token is unknown"}, id="a vague code"),
        pytest.param({"error": "unauthorized_client", "message": "Unknown refresh token"}, id="the client's code"),
        pytest.param({"ErrorCode": "invalid_request", "Error": "Refresh Token expired"}, id="Apigee's older form"),
        pytest.param({"fault": {"detail": {"errorcode": "keymanagement.service.invalid_refresh_token"}}}, id="Apigee"),
        pytest.param({"error": "invalid_grant", "error_description": "issued to another client"}, id="of the client"),
        pytest.param({"error": "token_revoked"}, id="a token"),
        pytest.param({"message": "Token has expired"}, id="a token in words"),
        pytest.param({"code": 40029, "message": "invalid code"}, id="a code in words"),
        pytest.param(b"invalid refresh token", id="a text"),
        pytest.param({"error": "interaction_required"}, id="a step of the user: Azure"),
        pytest.param({"error": "consent_required"}, id="a consent (OpenID Connect Core §3.1.2.6)"),
        pytest.param({"error": "login_required"}, id="a login"),
    ],
)
async def test_a_refused_grant_uses_it_up(body: Any) -> None:
    """The body is about the refresh token, in any words."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.append(_reply(400, body))
    async with _client(provider, clock) as client:
        with pytest.raises(TokenRequestRefused) as caught:
            await client.token()
    assert caught.value.code == "login_required"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"error=bad_refresh_token&error_description=The+refresh+token+is+incorrect", id="a form: GitHub"),
        pytest.param(b"error=invalid_grant", id="a code alone"),
        pytest.param(b"invalid_grant", id="a text"),
        pytest.param(b"<?xml version='1.0'?><error><code>invalid_grant</code></error>", id="XML"),
        pytest.param(b'[{"error": "invalid_grant"}]', id="a list"),
        pytest.param(b'cb({"error": "invalid_grant"});', id="JSONP"),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
async def test_a_refusal_in_no_json_object_uses_it_up(status: int, body: bytes) -> None:
    """The refresh token is sent once."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.append(_reply(status, body))
    async with _client(provider, clock) as client:
        for expected in (status, None, None):
            with pytest.raises(TokenRequestRefused) as caught:
                await client.token()
            assert (caught.value.status, caught.value.code) == (expected, "login_required")
            clock.advance(TEN_MINUTES)
    assert refresh_tokens_or_grants(provider) == ["r0"]


async def test_a_challenge_without_a_body_is_a_refusal() -> None:
    """Its code and words count like those of a body."""
    provider, clock = refreshing_mock(), FakeClock()
    challenge = 'Bearer realm="x", error="invalid_grant", error_description="expired"'
    provider.token_responses.append(httpx.Response(401, headers={"WWW-Authenticate": challenge}))
    async with _client(provider, clock) as client:
        with pytest.raises(TokenRequestRefused, match="expired") as caught:
            await client.token()
    assert caught.value.code == "login_required"


@pytest.mark.parametrize("code", ["slow_down", "quota_exceeded", "DailyLimitReached", "too_many_attempts"])
async def test_a_limit_under_200_does_not_use_it_up(code: str) -> None:
    """It is paused like a refusal, since an account may be locked; then the same refresh token gets a token."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.append(_reply(200, {"error": code}))
    async with _client(provider, clock) as client:
        for _ in range(3):
            with pytest.raises(TokenRequestRefused) as caught:
                await client.token()
            assert caught.value.code == code
            clock.advance(1)
        assert refresh_tokens_or_grants(provider) == ["r0"]
        clock.advance(A_MINUTE)
        await client.token()
    assert refresh_tokens_or_grants(provider) == ["r0", "r0"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"error=invalid_client&error_description=no", "invalid_client"),
        (b"invalid_client", "invalid_client"),
        (b"<error>Invalid client</error>", None),
        (b"Unknown client", None),
    ],
)
async def test_a_refused_client_in_no_json_object_is_paused(body: bytes, code: str | None) -> None:
    """In four seconds one request is sent."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.extend(_reply(200, body) for _ in range(9))
    async with _client(provider, clock, Password(username="u", password="hunter2")) as client:
        for _ in range(8):
            with pytest.raises(TokenRequestRefused) as caught:
                await client.token()
            assert (caught.value.status, caught.value.code) == (200, code)
            clock.advance(0.5)
    assert refresh_tokens_or_grants(provider) == ["password"]


@pytest.mark.parametrize("code", ["invalid_request", "gateway.authentication.failure", "something_new"])
async def test_an_error_that_names_neither(code: str) -> None:
    """A grant that can be repeated takes over at once; if there is none, the refresh token stays usable."""
    provider, clock = refreshing_mock(), FakeClock()
    refused = {"code": code, "message": "no"}
    async with _client(provider, clock, Password(username="u", password="hunter2")) as client:
        await client.token()
        provider.token_responses.append(_reply(400, refused))
        await client.token(force=True)
    assert refresh_tokens_or_grants(provider) == ["password", "r1", "password"]
    provider = refreshing_mock()
    provider.token_responses.append(_reply(400, refused))
    async with _client(provider, clock, RefreshToken(refresh_token="r0")) as client:
        with pytest.raises(TokenRequestRefused) as caught:
            await client.token()
        assert caught.value.code == code
        clock.advance(A_MINUTE)
        await client.token()
    assert refresh_tokens_or_grants(provider) == ["r0", "r0"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(500, {"error": "server_error", "error_description": "refresh token store is down"}, id="passing"),
        pytest.param(500, {"message": "cannot read the refresh token"}, id="no verdict"),
        pytest.param(503, {"error": "token_service_unavailable"}, id="a service"),
        pytest.param(404, b"<title>404 Not Found</title>", id="no endpoint"),
        pytest.param(404, {"message": "Not Found"}, id="no endpoint, in JSON"),
        pytest.param(429, {"error": "invalid_grant"}, id="too many"),
        pytest.param(200, {"error": "server_error"}, id="passing under 200"),
        pytest.param(200, {"error": "rate_limit_exceeded"}, id="a rate limit"),
        pytest.param(200, {"ok": False, "error": "ratelimited"}, id="Slack's rate limit"),
        pytest.param(403, {"error": {"code": "rateLimitExceeded", "message": "m"}}, id="Google's rate limit"),
        pytest.param(200, {"ok": False, "error": "internal_error"}, id="an internal error"),
        pytest.param(200, {"ok": False, "error": "service_unavailable"}, id="unavailable"),
        pytest.param(200, {"ok": False, "error": "request_timeout"}, id="a timeout"),
        pytest.param(200, {"code": "ServerBusy", "message": "m"}, id="busy"),
        pytest.param(400, {"error": "TOO_MANY_REQUESTS"}, id="too many, in words"),
        pytest.param(200, {"errcode": -1, "errmsg": "system error"}, id="in words, with a number"),
    ],
)
async def test_an_outage_is_no_refusal(status: int, body: Any) -> None:
    """The endpoint is asked again within a second of its recovery."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.append(_reply(status, body))
    async with _client(provider, clock) as client:
        provider.token_responses.extend([] if status == 404 else [_reply(status, body)])
        with pytest.raises(SeicError):
            await client.token()
        provider.token_responses.clear()
        clock.advance(1)
        await client.token()
    assert set(refresh_tokens_or_grants(provider)) == {"r0"}


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (401, {"error": "INVALID_CLIENT"}, "client_secret"),
        (400, {"error": "invalidGrant"}, "used up"),
        (400, {"error": "urn:example:error:unsupported-grant-type"}, "does not offer"),
    ],
)
async def test_advice_is_for_a_code_in_any_spelling(status: int, body: dict[str, str], advice: str) -> None:
    """The advice is that of the RFC's code; the error has the provider's spelling."""
    provider, clock = refreshing_mock(), FakeClock()
    provider.token_responses.extend([_reply(status, body)] * 2)
    async with _client(provider, clock, Password(username="u", password="hunter2")) as client:
        with pytest.raises(TokenRequestRefused, match=advice) as caught:
            await client.token()
    assert caught.value.code == body["error"]
