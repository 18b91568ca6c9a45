"""Error responses of the token endpoint, as errors with advice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    SEI_PLATFORM,
    InvalidTokenResponse,
    Provider,
    SeicError,
    TokenEndpointUnavailable,
    TokenRequestRefused,
)
from seic._oauth.messages import parse_token_reply
from tests._support.token_replies import reply_of

REFUSED = {
    "code": "gateway.authentication.failure",
    "message": "The credentials are wrong",
    "trackingId": "body-id",
    "transient": "false",
    "errors": [{"field": "", "location": "", "reason": ""}],
}


def _error(
    status: int,
    body: bytes | dict[str, Any] = b"",
    *,
    headers: dict[str, str] | None = None,
    provider: Provider = SEI_GATEWAY,
    hint: str | None = None,
    secrets: Collection[str] = ("hunter2",),
) -> SeicError:
    with pytest.raises(SeicError) as caught:
        parse_token_reply(
            reply_of(body, status=status, headers=headers, provider=provider, now=784111770.0, secrets=secrets),
            obtained_at=0.0,
            hint=hint,
        )
    return caught.value


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_unavailable(status: int) -> None:
    """Expect another error class than for a refusal, with the status and the host."""
    error = _error(status)
    assert isinstance(error, TokenEndpointUnavailable)
    assert (error.status, error.retry_after, error.tracking_id) == (status, None, None)
    assert "api.example" in error.message
    assert "try again later" in error.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12", 12.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("soon", None),
    ],
)
def test_unavailable_names_the_pause(value: str, seconds: float | None) -> None:
    """Expect a `Retry-After` in seconds, or as a date; a malformed one is ignored."""
    error = _error(503, headers={"Retry-After": value})
    assert isinstance(error, TokenEndpointUnavailable)
    assert error.retry_after == seconds
    assert ("try again in" in error.message) == (seconds is not None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"error": "bad_refresh_token", "error_description": "old"}, "bad_refresh_token", id="GitHub"),
        pytest.param({"error": "invalid_client"}, "invalid_client", id="RFC 6749"),
        pytest.param({"ok": False, "error": "invalid_auth"}, "invalid_auth", id="Slack"),
        pytest.param({"error": {"code": 5, "message": "m"}}, "5", id="the platform's error"),
        pytest.param({"code": "c", "message": "m"}, "c", id="the gateway's error"),
        pytest.param({"ErrorCode": "c", "Error": "e", "Hint": "h"}, "c", id="revocation's"),
        pytest.param({"meta": {"no": 7}}, "7", id="a member that the provider names"),
        pytest.param({"fault": {"faultstring": "f", "detail": {"errorcode": "e"}}}, "e", id="Apigee"),
        pytest.param({"errors": [{"code": "c", "message": "m"}]}, "c", id="a list"),
        pytest.param({"error": True, "message": "no"}, None, id="a flag"),
        pytest.param({"access_token": "", "error": "e"}, "e", id="an empty token"),
    ],
)
@pytest.mark.parametrize("status", [200, 201])
def test_a_refusal_under_a_success(status: int, body: dict[str, Any], code: str | None) -> None:
    """Expect an error in the body to be a refusal whatever the status is, with the body's words."""
    error = _error(status, body, provider=Provider(token_url="/token", error_code_field="meta.no"))
    assert isinstance(error, TokenRequestRefused)
    assert (error.status, error.code) == (status, code)
    assert "check" in error.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"error": "temporarily_unavailable"}),
        (400, {"error": "server_error"}),
        (200, {"error": {"code": 503, "message": "down"}}),
        (200, {"code": 429, "message": "slow down"}),
    ],
)
def test_an_error_that_passes(status: int, body: dict[str, Any]) -> None:
    """Expect an error that says that it passes to be no refusal, whatever the status is."""
    error = _error(status, body)
    assert isinstance(error, TokenEndpointUnavailable)
    assert error.status == status


@pytest.mark.parametrize("status", [302, 404, 500, 503])
@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client"])
def test_a_refusal_under_another_status(status: int, code: str) -> None:
    """Expect the RFC's codes to be a refusal under a server error, too."""
    error = _error(status, {"error": code})
    assert isinstance(error, TokenRequestRefused)
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize("status", [404, 405, 410, 421])
def test_a_missing_endpoint_is_named(status: int) -> None:
    """Expect the URL that was called, without its query, and the setting."""
    error = _error(status)
    assert "https://api.example/v2/oauthtoken;" in error.message
    assert "provider.token_url" in error.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "Forbidden"}, "Forbidden"),
        (
            {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.InvalidApiKey"}}},
            "Invalid ApiKey",
        ),
        (b"blocked by the firewall", "blocked by the firewall"),
        (b"<title>Access denied</title>", "Access denied"),
    ],
)
@pytest.mark.parametrize("status", [403, 503])
def test_the_servers_words_in_any_form(status: int, body: bytes | dict[str, Any], words: str) -> None:
    """Expect the words of any form of error in the message."""
    assert words in _error(status, body).message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 409, 428, 430, 499])
def test_refused(status: int) -> None:
    """Expect every other 4xx to be a refusal that names host and status and what to check."""
    error = _error(status)
    assert isinstance(error, TokenRequestRefused)
    assert (error.status, error.code, error.description, error.transient) == (status, None, None, False)
    assert "api.example" in error.message
    assert "check" in error.message


def test_refused_in_the_gateways_words() -> None:
    """Expect code, message and tracking id of the gateway, and advice."""
    error = _error(401, REFUSED)
    assert isinstance(error, TokenRequestRefused)
    assert error.code == "gateway.authentication.failure"
    assert error.description == "The credentials are wrong"
    assert error.tracking_id == "body-id"
    for words in ("gateway.authentication.failure", "The credentials are wrong", "body-id", "AppSecret"):
        assert words in error.message


@pytest.mark.parametrize(
    ("headers", "provider", "tracking_id"),
    [
        pytest.param({"requesttrackingid": "header-id"}, SEI_GATEWAY, "header-id", id="header before body"),
        pytest.param({"RequestTrackingID": "header-id"}, SEI_GATEWAY, "header-id", id="in any case"),
        pytest.param({}, SEI_GATEWAY, "body-id", id="body"),
        pytest.param({"requesttrackingid": "header-id"}, OAUTH2, "body-id", id="a header the provider does not know"),
        pytest.param({"requesttrackingid": "a\x1b[1mb"}, SEI_GATEWAY, "body-id", id="a header that is not an id"),
    ],
)
def test_the_tracking_id(headers: dict[str, str], provider: Provider, tracking_id: str) -> None:
    """Expect the provider's header, else the body's member."""
    error = _error(401, REFUSED, headers=headers, provider=provider)
    assert isinstance(error, TokenRequestRefused)
    assert error.tracking_id == tracking_id


@pytest.mark.parametrize("status", [302, 404, 503])
def test_every_error_carries_the_tracking_id(status: int) -> None:
    """Expect the id on each kind of error and in its message."""
    error = _error(status, headers={"requesttrackingid": "header-id"})
    assert getattr(error, "tracking_id", None) == "header-id"
    assert "header-id" in error.message


@pytest.mark.parametrize(
    ("transient", "expected"),
    [
        ("true", True),
        ("True", True),
        (True, True),
        ("false", False),
        (False, False),
        (None, False),
        ("yes", False),
        (1, False),
    ],
    ids=repr,
)
def test_transient(transient: object, expected: bool) -> None:
    """Expect the gateway's `transient`, a string or a boolean, and a refusal to be final otherwise."""
    error = _error(400, {**REFUSED, "transient": transient})
    assert isinstance(error, TokenRequestRefused)
    assert error.transient is expected


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ({"error": "invalid_client"}, "client_secret"),
        ({"error": "invalid_grant"}, "password"),
        ({"error": "unauthorized_client"}, "not registered"),
        ({"error": "unsupported_grant_type"}, "does not offer"),
        ({"error": "invalid_scope"}, "scope"),
        ({"error": "something_new"}, "check the grant"),
    ],
)
def test_advice_follows_the_code(body: dict[str, str], advice: str) -> None:
    """Expect advice for each code of RFC 6749 §5.2."""
    error = _error(400, body)
    assert isinstance(error, TokenRequestRefused)
    assert error.code == body["error"]
    assert advice in error.message


@pytest.mark.parametrize(
    ("status", "body", "hinted"),
    [
        pytest.param(401, b"", True, id="401"),
        pytest.param(400, {"error": "invalid_client"}, True, id="invalid_client"),
        pytest.param(400, {"code": "gateway.authentication.failure", "message": "no"}, True, id="the gateway's word"),
        pytest.param(400, {"error": "invalid_grant"}, False, id="another cause"),
        pytest.param(403, b"", True, id="403"),
        pytest.param(503, b"", False, id="unavailable"),
    ],
)
def test_a_hint_is_for_refused_credentials(status: int, body: bytes | dict[str, str], hinted: bool) -> None:
    """Expect the caller's hint if the client's credentials may be wrong, and only then."""
    assert ("perhaps raw" in _error(status, body, hint="perhaps raw").message) is hinted


@pytest.mark.parametrize(("provider", "named"), [(SEI_PLATFORM, True), (OAUTH2, False)], ids=["platform", "plain"])
def test_the_life_of_a_code_is_named(provider: Provider, named: bool) -> None:
    """Expect a refused grant to name the lifetime of a code, if it is known."""
    message = _error(400, {"error": "invalid_grant"}, provider=provider).message
    assert ("a code lives 20 s" in message) is named


def test_logged_in_elsewhere_names_the_remedy_and_its_price() -> None:
    """Expect an explanation of the platform's single session, and of the effect of ending the other one."""
    error = _error(403, {"error": {"code": 403, "message": "logged out", "subcode": "018", "errorid": "e-1"}})
    assert isinstance(error, TokenRequestRefused)
    assert error.tracking_id == "e-1"
    assert "endOtherSessions" in error.message
    assert "ends the other session" in error.message


@pytest.mark.parametrize(
    ("location", "target"),
    [
        pytest.param("https://u:pw@idp.example:444/login?session=abc#f", "a redirect to idp.example;", id="elsewhere"),
        pytest.param("/login?session=abc", "a redirect to another path of api.example;", id="a path"),
        pytest.param("https://[::1", "a redirect to an unreadable location;", id="unreadable"),
        pytest.param("https://xn--999999999/", "a redirect to xn--999999999;", id="no IDNA name"),
        pytest.param("https://hunter2.example/", "a redirect to ***.example;", id="a secret as a host"),
        pytest.param(None, "names no location", id="nowhere"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(status: int, location: str | None, target: str) -> None:
    """Expect the host of the target, without path, query and user, and no second request."""
    error = _error(status, headers={} if location is None else {"Location": location})
    assert isinstance(error, InvalidTokenResponse)
    assert target in error.message
    assert "never followed" in error.message
    for leak in ("session", "abc", "pw", "login"):
        assert leak not in error.message


@pytest.mark.parametrize("status", [0, 100, 199, 600, 999])
def test_a_status_that_ends_nothing(status: int) -> None:
    """Expect a status that is not final to be an error."""
    error = _error(status)
    assert isinstance(error, InvalidTokenResponse)
    assert "is not final" in error.problem


@pytest.mark.parametrize("status", [400, 503])
def test_the_providers_words_are_cleaned(status: int) -> None:
    """Expect no secret, no line break and no long text in an error's message and attributes."""
    error = _error(status, {"error": "c\nhunter2", "error_description": "was hunter2\n" + "x" * 5_000})
    shown = repr(vars(error)) + str(error)
    assert "hunter2" not in shown
    assert "\\n" not in shown
    assert "was *** xxx" in error.message
    assert len(error.message) < 900


@pytest.mark.parametrize("status", [401, 503])
@pytest.mark.parametrize(
    "body", [b"<html>hunter2</html>", b"\xff\xfe", b"[" * 100_000, b"[]", b'{"error": {"code": []}}']
)
def test_a_body_in_no_known_form_is_not_quoted(status: int, body: bytes) -> None:
    """Expect an error page to be an error by its status alone."""
    error = _error(status, body)
    assert getattr(error, "status", None) == status
    assert "hunter2" not in error.message


_OUR_WORDS: list[Any] = [
    pytest.param(200, b"", id="empty"),
    pytest.param(200, b"<html>", id="HTML"),
    pytest.param(200, b"[1]", id="no object"),
    pytest.param(200, b'{"a":1,"a":1}', id="ambiguous"),
    pytest.param(200, b'{"two words": NaN}', id="no number"),
    pytest.param(200, b'{"access_token": 7}', id="of another type"),
    pytest.param(200, b'{"access_token": "t", "expires_in": -1}', id="negative"),
    pytest.param(302, b"", id="redirect"),
    pytest.param(400, b'{"error": "invalid_grant"}', id="refused"),
    pytest.param(401, b'{"error": "invalid_client"}', id="client refused"),
    pytest.param(400, b'{"error": "authorization_pending"}', id="pending"),
    pytest.param(503, b"", id="down"),
]


@pytest.mark.parametrize(("status", "body"), _OUR_WORDS)
@given(secret=st.sampled_from(["a", "e", "the", "token", "grant", "_", " ", "reply"]) | st.text(min_size=1, max_size=3))
def test_a_short_secret_garbles_no_words_of_ours(status: int, body: bytes, secret: str) -> None:
    """Expect only the provider's text to be redacted, not our message or codes of the RFCs."""
    error, plain = (_error(status, body, secrets=secrets) for secrets in ((secret,), ()))
    assert error.message == plain.message
    for field in ("code", "problem"):
        assert getattr(error, field, None) == getattr(plain, field, None)


def test_a_short_secret_in_words_from_outside_is_masked() -> None:
    """Expect the provider's text to be redacted, names of properties and its own codes included."""
    described = _error(400, {"error": "own_a", "error_description": "a b"}, secrets=("a",))
    assert isinstance(described, TokenRequestRefused)
    assert (described.code, described.description) == ("own_***", "*** b")
    named = _error(200, b'{"expires_in": Infinity}', secrets=("expires_in",))
    assert isinstance(named, InvalidTokenResponse)
    assert named.problem == "*** is not a finite number"
