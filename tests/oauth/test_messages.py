"""The calls of the token endpoint: requests built, replies parsed."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic._errors import ConfigurationError, InvalidTokenResponse, TokenError
from seic._model.grants import ClientCredentials
from seic._model.provider import Provider
from seic._model.token import Token
from seic._oauth.client_auth import ClientSecretPost
from seic._oauth.messages import (
    MAX_LIFETIME,
    MAX_REPLY_BYTES,
    MIN_LIFETIME,
    build_token_request,
    parse_token_reply,
)
from seic._oauth.providers import OAUTH2, SEI_GATEWAY

GATEWAY_REPLY = {
    "refresh_token_expires_in": "0",
    "api_product_list": "[Investors]",
    "api_product_list_json": ["Investors"],
    "organization_name": "sei",
    "developer.email": "jdoe@seic.com",
    "token_type": "BearerToken",
    "issued_at": "1529525648451",
    "client_id": "ADsgdnnkjnfdIKJN",
    "access_token": "QxHKdx0nk2i",
    "application_name": "21c2fcd4-03ed-48815cf168",
    "scope": "",
    "expires_in": "3599",
    "refresh_count": "0",
    "status": "approved",
}


def _parse(body: bytes | dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Token:
    return parse_token_reply(
        provider=SEI_GATEWAY,
        status=status,
        headers=httpx.Headers(headers or {}),
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        obtained_at=1_000.0,
        host="api.example",
        now=1_001.0,
        secrets=("hunter2",),
    )


def _build(**changes: Any) -> httpx.Request:
    arguments = {
        "provider": SEI_GATEWAY,
        "token_url": "https://api.example/v2/oauthtoken",
        "client_id": "AppKey",
        "client_secret": "AppSecret",
        "grant": ClientCredentials(username="svc", password="hunter2"),
    }
    return build_token_request(**{**arguments, **changes})


def test_a_url_keeps_its_query_and_gains_nothing() -> None:
    """Expect a query of the endpoint's own to stay (RFC 6749 §3.2) and no parameter to join it."""
    request = _build(token_url="https://api.example/token?tenant=1")
    assert str(request.url) == "https://api.example/token?tenant=1"


def test_form_values_arrive_as_they_are() -> None:
    """Expect reserved and other characters to survive the form."""
    password = "a+b c&d=é%\n"
    request = _build(grant=ClientCredentials(username="ü", password=password))
    assert dict(parse_qsl(request.content.decode())) == {
        "grant_type": "client_credentials",
        "username": "ü",
        "password": password,
    }


@pytest.mark.parametrize("client_id", ["App\r\nX-Evil: 1", "App Key", "Schlüssel", "", "\ud800"])
def test_a_client_id_that_no_header_carries_is_refused(client_id: str) -> None:
    """Expect no way to write a header of one's own through the client id."""
    with pytest.raises(ConfigurationError) as caught:
        _build(client_id=client_id)
    assert caught.value.field == "client_id"


@pytest.mark.parametrize("provider", [SEI_GATEWAY, OAUTH2])
def test_a_missing_secret_is_named_before_anything_is_built(provider: Provider) -> None:
    """Expect a missing client secret to be an error of the configuration."""
    with pytest.raises(ConfigurationError) as caught:
        _build(provider=provider, client_secret=None, grant=ClientCredentials(username="a", password="b"))
    assert caught.value.field == "client_secret"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"grant": ClientCredentials(username="u", password="hunter2\ud800")}, "grant", id="grant"),
        pytest.param(
            {
                "provider": Provider(token_url="/t", client_authentication=ClientSecretPost()),
                "grant": ClientCredentials(),
                "client_secret": "hunter2\ud800",
            },
            "client_secret",
            id="client secret in the form",
        ),
    ],
)
def test_a_value_that_is_no_text_is_not_repeated(changes: dict[str, Any], field: str) -> None:
    """Expect half a surrogate pair to be refused by the field's name, the value nowhere in the error's chain."""
    with pytest.raises(ConfigurationError) as caught:
        _build(**changes)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_gateways_reply() -> None:
    """Expect the documented reply, all strings, to be read into numbers and times, and the rest kept."""
    token = _parse(GATEWAY_REPLY, headers={"requesttrackingid": "67e1ff68"})
    assert token.access_token == "QxHKdx0nk2i"
    assert token.token_type == "BearerToken"
    assert token.expires_in == 3599
    assert token.obtained_at == 1_000.0
    assert token.issued_at == dt.datetime(2018, 6, 20, 20, 14, 8, 451000, tzinfo=dt.UTC)
    assert token.scope == ""
    assert token.refresh_token is None
    assert token.refresh_expires_in is None
    assert token.tracking_id == "67e1ff68"
    assert token.extra["api_product_list_json"] == ["Investors"]
    assert token.extra["developer.email"] == "jdoe@seic.com"
    assert "access_token" not in token.extra


def test_the_platforms_reply() -> None:
    """Expect the refresh token and its lifetime to be read."""
    token = _parse(
        {
            "access_token": "a",
            "token_type": "BearerToken",
            "expires_in": 3599,
            "refresh_token": "r",
            "refresh_token_expires_in": 2591999,
            "redirect_url": "https://www.redirect.example",
        }
    )
    assert (token.expires_in, token.refresh_token, token.refresh_expires_in) == (3599, "r", 2591999)
    assert token.extra == {"redirect_url": "https://www.redirect.example"}


def test_a_minimal_reply() -> None:
    """Expect an access token alone to be enough: Bearer, of unknown life, without scope."""
    token = _parse({"access_token": "a"})
    assert (token.token_type, token.expires_in, token.scope, token.extra) == ("Bearer", None, "", {})


@pytest.mark.parametrize("content_type", ["text/html", "application/json; charset=utf-16", "", "image/png"])
def test_the_content_type_is_not_asked(content_type: str) -> None:
    """Expect sound JSON to be taken whatever it is labelled."""
    assert _parse({"access_token": "a"}, headers={"Content-Type": content_type}).access_token == "a"


@pytest.mark.parametrize("status", [200, 201, 299])
def test_any_success_may_carry_a_token(status: int) -> None:
    """Expect every 2xx to be read."""
    assert _parse({"access_token": "a"}, status=status).access_token == "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("~!Az09+/=-._", "~!Az09+/=-._", id="visible ASCII"),
        pytest.param("x" * 100_000, "x" * 100_000, id="long"),
    ],
)
def test_legal_access_tokens(value: str, expected: str) -> None:
    """Expect every visible ASCII character to be legal."""
    assert _parse({"access_token": value}).access_token == expected


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER", "BearerToken", "bearertoken", None])
def test_token_types_that_are_bearer(word: str | None) -> None:
    """Expect both spellings in any case, and null, to be Bearer."""
    assert _parse({"access_token": "a", "token_type": word}).token_type == (word or "Bearer")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(3599, 3599.0, id="whole"),
        pytest.param(1.5, 1.5, id="fraction"),
        pytest.param(1, 1.0, id="a second"),
        pytest.param(0.999, 1.0, id="less than a second"),
        pytest.param("0.001", 1.0, id="next to nothing, as a string"),
        pytest.param(5e-324, 1.0, id="the least above nothing"),
        pytest.param("3599", 3599.0, id="string"),
        pytest.param(" 3599 ", 3599.0, id="string with space"),
        pytest.param("+1.5", 1.5, id="string with sign and fraction"),
        pytest.param(None, None, id="null is unknown"),
        pytest.param(MAX_LIFETIME, MAX_LIFETIME, id="a year"),
        pytest.param(MAX_LIFETIME + 1, MAX_LIFETIME, id="over a year"),
        pytest.param(2**63, MAX_LIFETIME, id="huge"),
        pytest.param(10**350, MAX_LIFETIME, id="beyond floats"),
        pytest.param("9" * 350, MAX_LIFETIME, id="string beyond floats"),
    ],
)
def test_expires_in_that_is_understood(value: object, seconds: float | None) -> None:
    """Expect numbers and numeric strings alike, null as unknown, the huge cut, and the tiny raised."""
    assert _parse({"access_token": "a", "expires_in": value}).expires_in == seconds


@pytest.mark.parametrize("number", ["1e25", "1e400", "9" * 401])
def test_a_number_of_json_however_large_is_a_year(number: str) -> None:
    """Expect one outcome, whether or not a float can hold it."""
    body = f'{{"access_token": "a", "expires_in": {number}}}'.encode()
    assert _parse(body).expires_in == MAX_LIFETIME


def test_a_missing_expires_in_is_unknown() -> None:
    """Expect no guess, and above all not zero."""
    assert _parse({"access_token": "a"}).expires_in is None


@pytest.mark.parametrize(
    "value",
    ["soon", "", None, True, [], {}, -1, 0, "0", 1529525648, "1529525648", 10**350, 1e300, "-1529525648451"],
    ids=lambda value: repr(value)[:20],
)
def test_an_issued_at_without_sense_is_left_out(value: object) -> None:
    """Expect nonsense, seconds, and times before and beyond all tokens to be ignored: it serves people only."""
    assert _parse({"access_token": "a", "issued_at": value}).issued_at is None


@pytest.mark.parametrize("value", [1529525648451, "1529525648451", 1529525648451.0], ids=repr)
def test_issued_at_in_milliseconds(value: object) -> None:
    """Expect a string and a number to be read alike."""
    issued_at = _parse({"access_token": "a", "issued_at": value}).issued_at
    assert issued_at == dt.datetime(2018, 6, 20, 20, 14, 8, 451000, tzinfo=dt.UTC)


@pytest.mark.parametrize("value", ["0", 0, -1, "soon", None, True, [], {}], ids=repr)
def test_a_refresh_lifetime_without_sense_is_left_out(value: object) -> None:
    """Expect a lifetime that is none to cost nothing but itself."""
    token = _parse({"access_token": "a", "refresh_token": "r", "refresh_token_expires_in": value})
    assert (token.refresh_token, token.refresh_expires_in) == ("r", None)


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_refresh_token_is_none(value: object) -> None:
    """Expect an empty string and null to mean that there is none, and no lifetime without a token."""
    token = _parse({"access_token": "a", "refresh_token": value, "refresh_token_expires_in": 60})
    assert (token.refresh_token, token.refresh_expires_in) == (None, None)


@pytest.mark.parametrize(("value", "scope"), [("a b", "a b"), (["a", "b"], "a b"), (None, ""), ([], "")])
def test_scopes_that_are_understood(value: object, scope: str) -> None:
    """Expect the RFC's string, and the list that some servers send."""
    assert _parse({"access_token": "a", "scope": value}).scope == scope


@pytest.mark.parametrize("value", ["", None, False, 0, {}, []], ids=repr)
def test_an_empty_error_is_no_error(value: object) -> None:
    """Expect a success that says "error: none" to be a success."""
    assert _parse({"access_token": "a", "error": value}).access_token == "a"


def test_a_code_beside_a_token_is_no_error() -> None:
    """Expect a reply that reports its success in the form of an error to be a token."""
    assert _parse({"access_token": "a", "code": 0, "message": "success"}).access_token == "a"


_NOT_A_TOKEN = [
    pytest.param({}, "access_token is missing", id="empty object"),
    pytest.param({"access_token": None}, "access_token is missing", id="null token"),
    pytest.param({"access_token": 1}, "access_token must be a string, not a number", id="number token"),
    pytest.param({"access_token": ["a"]}, "access_token must be a string, not a list", id="list token"),
    pytest.param({"access_token": {"a": 1}}, "access_token must be a string, not an object", id="object token"),
    pytest.param({"access_token": True}, "access_token must be a string, not a boolean", id="boolean token"),
    pytest.param({"access_token": ""}, "access_token is empty", id="empty token"),
    pytest.param({"access_token": "a b"}, "access_token has characters", id="space in the token"),
    pytest.param({"access_token": "a\r\nX: 1"}, "access_token has characters", id="header injection"),
    pytest.param({"access_token": "a\n"}, "access_token has characters", id="newline at the end"),
    pytest.param({"access_token": "ä"}, "access_token has characters", id="beyond ASCII"),
    pytest.param({"access_token": "\x7f"}, "access_token has characters", id="delete"),
    pytest.param({"access_token": "a", "token_type": "mac"}, "token_type must be Bearer, not 'mac'", id="mac"),
    pytest.param({"access_token": "a", "token_type": ""}, "token_type must be Bearer", id="empty type"),
    pytest.param({"access_token": "a", "token_type": 1}, "token_type must be a string, not a number", id="number type"),
    pytest.param({"access_token": "a", "expires_in": 0}, "expires_in must be positive, not zero", id="zero"),
    pytest.param({"access_token": "a", "expires_in": "0"}, "expires_in must be positive, not zero", id="zero string"),
    pytest.param({"access_token": "a", "expires_in": -1}, "positive, not negative", id="negative"),
    pytest.param({"access_token": "a", "expires_in": "-1"}, "positive, not negative", id="negative string"),
    pytest.param({"access_token": "a", "expires_in": -(10**350)}, "positive, not negative", id="hugely negative"),
    pytest.param({"access_token": "a", "expires_in": True}, "not a boolean", id="boolean life"),
    pytest.param({"access_token": "a", "expires_in": [3599]}, "not a list", id="list life"),
    pytest.param({"access_token": "a", "expires_in": {}}, "not an object", id="object life"),
    pytest.param({"access_token": "a", "expires_in": ""}, "a string that is no number", id="empty life"),
    pytest.param({"access_token": "a", "expires_in": "soon"}, "a string that is no number", id="word life"),
    pytest.param({"access_token": "a", "expires_in": "nan"}, "a string that is no number", id="nan string"),
    pytest.param({"access_token": "a", "expires_in": "infinity"}, "a string that is no number", id="infinity string"),
    pytest.param({"access_token": "a", "expires_in": "1_000"}, "a string that is no number", id="underscore"),
    pytest.param({"access_token": "a", "expires_in": "٣"}, "a string that is no number", id="digits of another script"),
    pytest.param({"access_token": "a", "expires_in": "1e3"}, "a string that is no number", id="exponent string"),
    pytest.param({"access_token": "a", "expires_in": "9" * 401}, "a string that is no number", id="endless digits"),
    pytest.param(b'{"access_token": "a", "expires_in": NaN}', "expires_in is not a finite", id="NaN"),
    pytest.param(b'{"access_token": "a", "expires_in": Infinity}', "expires_in is not a finite", id="infinite"),
    pytest.param({"access_token": "a", "scope": 1}, "scope must be a string, not a number", id="number scope"),
    pytest.param({"access_token": "a", "scope": ["a", 1]}, "scope must be a string, not a list", id="mixed scope"),
    pytest.param({"access_token": "a", "refresh_token": 1}, "refresh_token must be a string", id="number refresh"),
    pytest.param(b"", "the reply is empty", id="empty"),
    pytest.param(b"<html>login</html>", "HTML", id="HTML"),
    pytest.param(b'{"access_token": "a", "access_token": "b"}', "twice", id="two tokens"),
    pytest.param(b'{"access_token": "a', "cut off", id="cut off"),
    pytest.param(b" " * MAX_REPLY_BYTES + b"{}", "longer than", id="too long"),
    pytest.param({"error": "invalid_client"}, "the reply is an error: invalid_client", id="error"),
    pytest.param({"access_token": "a", "error": "x"}, "the reply is an error: x", id="error beside a token"),
    pytest.param({"access_token": "a", "error": ["x"]}, "the reply is an error: without words", id="odd error"),
    pytest.param({"error": {"code": 5, "message": "m"}}, "the reply is an error: 5: m", id="the platform's error"),
    pytest.param({"code": "c", "message": "m"}, "the reply is an error: c: m", id="the gateway's error"),
    pytest.param({"ErrorCode": "c", "Error": "e", "Hint": "h"}, "the reply is an error: c: e; h", id="revocation's"),
]


@pytest.mark.parametrize(("body", "problem"), _NOT_A_TOKEN)
def test_a_success_that_is_no_token(body: bytes | dict[str, Any], problem: str) -> None:
    """Expect each malformed reply to have a message of its own that names the property, the host and the call."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _parse(body, headers={"requesttrackingid": "id-1"})
    assert problem in caught.value.problem
    assert problem in str(caught.value)
    assert "api.example" in str(caught.value)
    assert "id-1" in str(caught.value)
    assert caught.value.tracking_id == "id-1"


def test_each_malformed_property_has_its_own_problem() -> None:
    """Expect no two kinds of defect to share words, beside those that are the same defect in two spellings."""
    problems = set()
    for row in _NOT_A_TOKEN:
        with pytest.raises(InvalidTokenResponse) as caught:
            _parse(row.values[0])  # type: ignore[arg-type]
        problems.add(caught.value.problem)
    assert len(problems) >= 30


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"access_token": "a", "token_type": "hunter2"}, id="as a token type"),
        pytest.param({"error": "hunter2", "error_description": "the password hunter2 is wrong"}, id="as an error"),
        pytest.param(b'{"hunter2": NaN}', id="as a name"),
        pytest.param({"code": "c", "message": "m", "trackingId": "hunter2"}, id="as a tracking id"),
    ],
)
def test_an_echoed_secret_is_not_repeated(body: bytes | dict[str, Any]) -> None:
    """Expect a server that repeats what it was sent not to bring it into an error."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _parse(body)
    assert "hunter2" not in repr(vars(caught.value)) + str(caught.value) + repr(caught.value.args)


def test_an_exchange_that_brought_no_access_token() -> None:
    """Expect the error to say what to ask for (RFC 8693 §2.2.1)."""
    with pytest.raises(InvalidTokenResponse, match="requested_token_type") as caught:
        _parse({"access_token": "a", "token_type": "N_A", "issued_token_type": "urn:ietf:params:oauth:token-type:jwt"})
    assert "token_type" in caught.value.problem


def _jwt(claims: dict[str, Any]) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"])


@pytest.mark.parametrize(
    ("stated", "claims", "expected"),
    [
        pytest.param(3600, {"iat": 1000, "exp": 2800}, 1800.0, id="the shorter counts"),
        pytest.param(3600, {"iat": 1000, "exp": 9999}, 3600.0, id="the longer does not"),
        pytest.param(None, {"iat": 1000, "exp": 2800}, 1800.0, id="the only one counts"),
        pytest.param(3600, {"exp": 2800}, 3600.0, id="an end without a beginning is for our clock, which may be wrong"),
        pytest.param(None, {"exp": 2800}, 1800.0, id="the only end counts by our clock"),
        pytest.param(None, {"exp": 1030}, None, id="unless it is over by it"),
        pytest.param(None, {"iat": 1000, "exp": 10**12}, MAX_LIFETIME, id="a year at most"),
        pytest.param(3600, {"iat": 1000, "exp": 1000.25}, 1.0, id="a second at least"),
    ],
)
def test_a_jwt_gives_a_second_opinion(stated: int | None, claims: dict[str, Any], expected: float | None) -> None:
    """Expect a JWT's own life to count where it is shorter, or the only one that is named."""
    assert _parse({"access_token": _jwt(claims), "expires_in": stated}).expires_in == expected


def _only_a_token_or_a_token_error(**arguments: Any) -> None:
    try:
        token = parse_token_reply(
            **{
                "provider": SEI_GATEWAY,
                "status": 200,
                "headers": httpx.Headers(),
                "obtained_at": 0.0,
                "host": "api.example",
                "now": 0.0,
                **arguments,
            }
        )
    except TokenError:
        pass
    else:
        assert token.access_token.isascii()
        assert token.access_token.isprintable()
        assert token.expires_in is None or MIN_LIFETIME <= token.expires_in <= MAX_LIFETIME
        assert token.expires_at is None or token.expires_at.year < 1972
        repr(token)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = [*GATEWAY_REPLY, "refresh_token", "error", "error_description", "message", "code", "errors", "trackingId"]
_VALUES = _JSON | st.sampled_from(["Bearer", "3599", "0", "abc", "invalid_grant", "true"])


@given(body=st.binary(), status=st.integers(min_value=100, max_value=599))
def test_any_bytes_are_a_token_or_a_token_error(body: bytes, status: int) -> None:
    """Expect no other exception for any bytes under any status."""
    _only_a_token_or_a_token_error(body=body, status=status)


@given(document=_JSON, encoding=st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig", "utf-7"]))
def test_any_json_is_a_token_or_a_token_error(document: object, encoding: str) -> None:
    """Expect no other exception for any JSON in any encoding."""
    _only_a_token_or_a_token_error(body=json.dumps(document).encode(encoding))


@given(
    document=st.dictionaries(st.sampled_from(_NAMES), _VALUES),
    cut=st.integers(min_value=0, max_value=60),
    status=st.sampled_from([200, 200, 201, 302, 400, 401, 403, 429, 503]),
    headers=st.dictionaries(
        st.sampled_from(["Location", "Retry-After", "requesttrackingid", "Content-Type"]),
        st.text(st.characters(max_codepoint=255)),
    ),
)
def test_any_reply_is_a_token_or_a_token_error(
    document: dict[str, object], cut: int, status: int, headers: dict[str, str]
) -> None:
    """Expect no other exception for replies that are nearly right, whole or cut off, under any headers."""
    body = json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass")
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    _only_a_token_or_a_token_error(body=body[: len(body) - cut], status=status, headers=httpx.Headers(raw))
