"""Challenges, `Retry-After`, and 401 replies about the token."""

from __future__ import annotations

import json

import attrs
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seic import OAUTH2, SEI_GATEWAY, ConfigurationError, Provider
from seic._oauth.challenges import MAX_RETRY_AFTER, Challenge, is_token_rejected, parse_challenges, parse_retry_after

# Seven seconds before the date that RFC 9110 §5.6.7 has for its examples.
NOW = 784111770.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 120 ", 120.0, id="space around"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("1.5", 1.5, id="fraction"),
        pytest.param("-1", None, id="negative"),
        pytest.param("+1", None, id="sign"),
        pytest.param("1e3", None, id="exponent"),
        pytest.param("nan", None, id="nan"),
        pytest.param("inf", None, id="infinity"),
        pytest.param("1_0", None, id="underscore"),
        pytest.param("٣", None, id="digits of another script"),
        pytest.param("120, 120", None, id="two headers"),
        pytest.param("31536000", MAX_RETRY_AFTER, id="a year"),
        pytest.param("31536001", MAX_RETRY_AFTER, id="over a year"),
        pytest.param("9" * 1_000, MAX_RETRY_AFTER, id="endless digits"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", 7.0, id="IMF date"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", 7.0, id="RFC 850 date"),
        pytest.param("Sun Nov  6 08:49:37 1994", 7.0, id="asctime date"),
        pytest.param("Sun, 06 Nov 1994 08:49:30 GMT", 0.0, id="now"),
        pytest.param("Sun, 06 Nov 1994 08:49:29 GMT", 0.0, id="past"),
        pytest.param("Sun, 06 Nov 2094 08:49:37 GMT", MAX_RETRY_AFTER, id="far future"),
        pytest.param("Sun, 99 Nov 1994 08:49:37 GMT", None, id="no such day"),
        pytest.param("Sun, 06 Nov 1994 25:49:37 GMT", None, id="no such hour"),
        pytest.param("soon", None, id="word"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT" + " " * 50 + "x", None, id="longer than any date"),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Expect seconds and each form of an HTTP-date, at most a year, and None for malformed values."""
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} -?\d+ \d+:\d+:\d+ (GMT|[+-]\d{4})\Z"))
@example("Mon, 1 Jan 1 00:00:00 +9999")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_retry_after_never_raises(value: str) -> None:
    """Expect a pause within the bounds or None for any string."""
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("values", "challenges"),
    [
        pytest.param([], [], id="no header"),
        pytest.param([""], [], id="empty"),
        pytest.param(["Bearer"], [Challenge("bearer")], id="bare"),
        pytest.param(["bEARER  "], [Challenge("bearer")], id="any case"),
        pytest.param(
            ['Bearer realm="a, b", error="invalid_token",error_description="It \\"expired\\""'],
            [Challenge("bearer", {"realm": "a, b", "error": "invalid_token", "error_description": 'It "expired"'})],
            id="strings with commas and quotes",
        ),
        pytest.param(
            ["Bearer ERROR = invalid_token"], [Challenge("bearer", {"error": "invalid_token"})], id="plain, with space"
        ),
        pytest.param(
            ['Basic realm="x", Bearer error="invalid_token"'],
            [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"error": "invalid_token"})],
            id="two in one header",
        ),
        pytest.param(
            ["Basic", 'Bearer realm="x"'],
            [Challenge("basic"), Challenge("bearer", {"realm": "x"})],
            id="two headers",
        ),
        pytest.param(
            ["Negotiate abc==, Bearer"], [Challenge("negotiate"), Challenge("bearer")], id="a token68 is not a scheme"
        ),
        pytest.param(
            ["Negotiate, Basic, Bearer"], [Challenge(s) for s in ("negotiate", "basic", "bearer")], id="bare list"
        ),
        pytest.param(["Bearer a=1, a=2"], [Challenge("bearer", {"a": "1"})], id="the first of two counts"),
        pytest.param(['Bearer realm="open'], [Challenge("bearer", {"realm": "open"})], id="unclosed string"),
        pytest.param(['a="1", Bearer'], [Challenge("bearer")], id="a parameter of nothing"),
        pytest.param([",,, ;;Bearer,,"], [Challenge("bearer")], id="garbage around"),
        pytest.param(['Bearer error="x\\'], [Challenge("bearer", {"error": "x"})], id="ends in a backslash"),
    ],
)
def test_challenges(values: list[str], challenges: list[Challenge]) -> None:
    """Expect each challenge with its parameters, and garbage to be skipped."""
    assert list(parse_challenges(values)) == challenges


@given(st.lists(st.text() | st.text(alphabet='Bearer="\\, a=1;\t'), max_size=3))
def test_challenges_never_raise(values: list[str]) -> None:
    """Expect schemes in lower case for any string."""
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower() != ""


@pytest.mark.parametrize("unit", ['"', '\\"', 'a="', "a ", "a=", ",", " ", "=", "a\t", 'a="\\', "é"])
def test_challenges_are_read_in_linear_steps(unit: str) -> None:
    """Expect a crafted header to be parsed in linear time; in quadratic time this test would not end."""
    parse_challenges([unit * 500_000])


def _unauthorized(*challenges: str, body: object = None, provider: Provider = SEI_GATEWAY) -> bool:
    return is_token_rejected(
        provider=provider,
        headers=httpx.Headers([("WWW-Authenticate", challenge) for challenge in challenges]),
        body=b"" if body is None else json.dumps(body).encode(),
    )


_GATEWAY = {"message": "m", "trackingId": "t", "transient": "false"}


@pytest.mark.parametrize(
    ("challenges", "body"),
    [
        pytest.param(['Bearer error="invalid_token"'], None, id="invalid_token"),
        pytest.param(['Bearer realm="x", error="invalid_token", error_description="expired"'], None, id="with more"),
        pytest.param(["Bearer"], None, id="bare Bearer"),
        pytest.param(['Bearer realm="x", error=""'], None, id="empty error"),
        pytest.param(['Basic realm="x"', "Bearer"], None, id="Basic and Bearer"),
        pytest.param(['Bearer error="insufficient_scope", Bearer error="invalid_token"'], None, id="one of two"),
        pytest.param([], {"code": "gateway.authentication.failure", **_GATEWAY}, id="the gateway's code"),
        pytest.param([], {"code": "gateway.token.expired", **_GATEWAY}, id="a code that names the token"),
        pytest.param(['Basic realm="x"'], {"code": "invalid_access_token", **_GATEWAY}, id="the code, with Basic"),
        pytest.param([], {"error": "invalid_token"}, id="RFC 6750 in the body"),
        pytest.param([], {"error": {"code": 401, "message": "Invalid access token"}}, id="a message with a number"),
        pytest.param([], {"ErrorCode": "InvalidToken", "Error": "e", "Hint": "h"}, id="the platform's other form"),
        pytest.param(
            [],
            {"fault": {"faultstring": "f", "detail": {"errorcode": "keymanagement.service.access_token_expired"}}},
            id="Apigee",
        ),
        pytest.param([], {"fault": {"faultstring": "Invalid Access Token"}}, id="Apigee without a code"),
        pytest.param([], {"message": "The incoming token has expired"}, id="AWS"),
        pytest.param([], {"statusCode": 401, "message": "Access token is missing or invalid."}, id="Azure"),
        pytest.param([], [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], id="a list"),
        pytest.param([], {"error": "Unauthorized", "message": "jwt expired"}, id="words after the status"),
        pytest.param(['Bearer error="expired_token"'], None, id="a server's own code"),
        pytest.param(['Bearer realm="x", error="token_expired"'], None, id="another"),
        pytest.param(['Bearer error="unauthorized", error_description="The token expired"'], None, id="its words"),
        pytest.param(['Bearer error="expired"'], None, id="expired"),
        pytest.param(['Bearer error="Revoked"'], None, id="revoked"),
        pytest.param([], {"code": "expired", "message": "m"}, id="expired, in the body"),
        pytest.param([], {"code": "E0000011", "message": "Invalid token provided"}, id="a code of digits: Okta"),
        pytest.param([], {"errorCode": "E0000011", "errorSummary": "Invalid token provided"}, id="Okta's own form"),
        pytest.param([], {"code": "ERR-1001", "message": "Access token expired"}, id="a prefix"),
        pytest.param([], {"error": {"code": "AADSTS50173", "message": "The token has expired"}}, id="a longer one"),
        pytest.param([], {"code": "0x80070005", "message": "jwt expired"}, id="hexadecimal"),
        pytest.param([], {"code": "FAILED", "message": "jwt expired"}, id="a code without meaning"),
        pytest.param(['Bearer error="ERR-17", error_description="token expired"'], None, id="in a challenge"),
        pytest.param([], {"errcode": 40014, "errmsg": "invalid access_token"}, id="errmsg"),
        pytest.param([], {"error_msg": "token expired"}, id="error_msg"),
        pytest.param([], {"err": "token expired"}, id="err"),
        pytest.param([], {"status": 401, "statusText": "Token expired"}, id="statusText"),
        pytest.param([], {"detail": ["Token expired"]}, id="a list as detail"),
        pytest.param([], {"detail": [{"msg": "Token expired", "loc": ["header"]}]}, id="objects as detail: FastAPI"),
        pytest.param([], {"errors": ["Token expired"]}, id="strings as errors"),
        pytest.param([], ["Token expired"], id="a list of strings"),
        pytest.param([], {"message": "Bad credentials"}, id="GitHub"),
        pytest.param([], {"message": "Your session has timed out"}, id="a session"),
        pytest.param(['OAuth realm="x", error="invalid_token"'], None, id="a scheme of its own"),
        pytest.param(['Token realm="api", error="token_expired"'], None, id="another scheme"),
        pytest.param([], {"message": "You are not logged in"}, id="a login"),
        pytest.param([], {"error": "login_required"}, id="a login, as a code"),
        pytest.param([], {"ok": False, "error": "not_authed"}, id="Slack without a token"),
        pytest.param([], {"ok": False, "error": "invalid_auth"}, id="Slack with another token"),
    ],
)
def test_a_challenge_that_rejects_the_token(challenges: list[str], body: object) -> None:
    """Expect a Bearer challenge, or a code about token or authentication, to need a new token."""
    assert _unauthorized(*challenges, body=body) is True


@pytest.mark.parametrize(
    ("challenges", "body"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param(['Bearer error="insufficient_scope"'], None, id="insufficient_scope"),
        pytest.param(['Bearer error="invalid_request"'], None, id="invalid_request"),
        pytest.param(['Bearer error="insufficient_token_scope"'], None, id="a scope in other words"),
        pytest.param(['Bearer error="mfa_required"'], None, id="a code of something else"),
        pytest.param(['Bearer error="insufficient_user_authentication"'], None, id="a step up (RFC 9470)"),
        pytest.param([], {"message": "This token has no permission"}, id="a permission of the token"),
        pytest.param(['Bearer error="insufficient_scope"'], {"error": "invalid_token"}, id="the challenge decides"),
        pytest.param(['Basic realm="token"'], None, id="Basic"),
        pytest.param(["Negotiate Bearer"], None, id="Bearer as data of another scheme"),
        pytest.param(['Digest realm="Bearer error=invalid_token"'], None, id="Bearer within a string"),
        pytest.param([], {"code": "gateway.authorization.failure", **_GATEWAY}, id="what the caller may do"),
        pytest.param([], {"code": "account.locked", **_GATEWAY, "message": "no token"}, id="a word with the code"),
        pytest.param([], {"error": "insufficient_scope"}, id="insufficient_scope in the body"),
        pytest.param([], {"error": {"code": 401, "message": "Not yours"}}, id="a message of something else"),
        pytest.param([], {"token": "invalid"}, id="JSON in no known form"),
        pytest.param([], {"code": "E0000006", "message": "You have no permission"}, id="a code of digits"),
        pytest.param([], {"code": "ERR-1002"}, id="a code of digits alone"),
    ],
)
def test_it_does_not_speak_of_the_token(challenges: list[str], body: object) -> None:
    """Expect False otherwise: a new token would not help, and would cost a token request."""
    assert _unauthorized(*challenges, body=body) is False


@pytest.mark.parametrize(
    ("challenges", "body", "expected"),
    [
        pytest.param([], None, True, id="bare"),
        pytest.param([], "no form", True, id="a body in no form"),
        pytest.param([], {"message": "Unauthorized"}, True, id="a message that repeats the status"),
        pytest.param([], {"status": 401, "title": "Unauthorized"}, True, id="a title that repeats the status"),
        pytest.param([], {"message": "Authorization required"}, True, id="the status in other words"),
        pytest.param([], {"message": "Access denied"}, True, id="denied"),
        pytest.param([], {"error": "Not authorized"}, True, id="not authorized"),
        pytest.param(['Digest realm="x", error="stale"'], None, False, id="an error of another scheme"),
        pytest.param([], {"message": "Your account is locked"}, False, id="a message of something else"),
        pytest.param(["Basic"], None, False, id="Basic"),
        pytest.param(['Bearer error="insufficient_scope"'], None, False, id="insufficient_scope"),
        pytest.param([], {"error": "insufficient_scope"}, False, id="insufficient_scope in the body"),
    ],
)
def test_a_bare_status_is_about_the_token(challenges: list[str], body: object, expected: bool) -> None:
    """Expect a 401 without explanation to be about the token, unless the provider is configured otherwise."""
    assert _unauthorized(*challenges, body=body, provider=OAUTH2) is expected
    assert _unauthorized(*challenges, body=body, provider=Provider(token_url="/token")) is expected
    strict = attrs.evolve(OAUTH2, bare_401_means_token=False)
    assert _unauthorized(*challenges, body=body, provider=strict) is False


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"message": "Jeton expiré: token"}'.encode("latin-1"), "application/json; charset=ISO-8859-1"),
        ('{"message": "Jeton expiré: token"}'.encode("latin-1"), "application/json"),
        ('{"message": "Jeton expiré: token"}'.encode("utf-16"), "application/json"),
        ('{"message": "Jeton expiré: token"}'.encode("utf-16-le"), "application/json; charset=utf-16le"),
        ('{"message": "Jeton expiré: token"}'.encode("utf-32"), "application/json; charset=no-such"),
        ("Jeton expiré: token".encode("latin-1"), "text/plain"),
        ("Jeton expiré: token".encode("cp1251", "replace"), "text/plain; charset='windows-1251'"),
        ("Jeton expiré: token".encode("utf-16"), "text/plain"),
    ],
)
def test_an_error_in_another_encoding(body: bytes, content_type: str) -> None:
    """Expect words in the declared charset, in UTF-16, and in Latin-1."""
    headers = httpx.Headers({"Content-Type": content_type})
    assert is_token_rejected(provider=SEI_GATEWAY, headers=headers, body=body) is True


@pytest.mark.parametrize("page", [b"401 Unauthorized", b"<title>401 Authorization Required</title>", b"no entry"])
def test_a_text_does_not_decide(page: bytes) -> None:
    """Expect a page to count as no explanation, and one that names the token as one."""
    headers = httpx.Headers()
    assert is_token_rejected(provider=Provider(token_url="/token"), headers=headers, body=page) is True
    assert is_token_rejected(provider=SEI_GATEWAY, headers=headers, body=page) is False
    assert is_token_rejected(provider=SEI_GATEWAY, headers=headers, body=b"The access token expired") is True


def test_codes_and_schemes_of_a_provider() -> None:
    """Expect codes, members and the scheme that `Provider` names to decide like the usual ones."""
    own = Provider(
        token_url="/token",
        bare_401_means_token=False,
        token_error_codes=frozenset({"4711"}),
        error_code_field="meta.no",
        authorization_scheme="Acme-Auth",
    )
    assert _unauthorized(body={"meta": {"no": 4711}}, provider=own) is True
    assert _unauthorized(body={"meta": {"no": 4712}}, provider=own) is False
    assert _unauthorized("acme-auth realm=x", provider=own) is True
    assert _unauthorized("acme-auth error=nope", provider=own) is False
    assert _unauthorized("acme-auth realm=x", provider=OAUTH2) is False


@pytest.mark.parametrize("scheme", ["", "Two words", "Bearer\r\n", None])
def test_a_scheme_that_cannot_be_sent(scheme: object) -> None:
    """Expect the setting to be named."""
    with pytest.raises(ConfigurationError) as caught:
        Provider(token_url="/token", authorization_scheme=scheme)  # type: ignore[arg-type]
    assert caught.value.field == "provider.authorization_scheme"


@given(body=st.binary(), challenge=st.text(st.characters(max_codepoint=255)))
def test_any_reply_speaks_or_does_not(body: bytes, challenge: str) -> None:
    """Expect True or False for any reply."""
    headers = httpx.Headers([(b"WWW-Authenticate", challenge.encode("latin-1"))])
    assert is_token_rejected(provider=SEI_GATEWAY, headers=headers, body=body) in (True, False)
