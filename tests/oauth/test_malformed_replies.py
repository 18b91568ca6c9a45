"""A success without a token, and any other malformed reply, is a typed error."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import InvalidTokenResponse, TokenError
from seic._oauth.messages import MAX_LIFETIME, MIN_LIFETIME, parse_token_reply
from tests._support.token_calls import GATEWAY_REPLY, parse
from tests._support.token_replies import reply_of

_NOT_A_TOKEN = [
    pytest.param({}, "access_token is missing", id="empty object"),
    pytest.param({"access_token": None}, "access_token is missing", id="null token"),
    pytest.param({"access_token": 1}, "access_token must be a string, not a number", id="number token"),
    pytest.param({"access_token": ["a"]}, "access_token must be a string, not a list", id="list token"),
    pytest.param({"access_token": {"a": 1}}, "access_token must be a string, not an object", id="object token"),
    pytest.param({"access_token": True}, "access_token must be a string, not a boolean", id="boolean token"),
    pytest.param({"access_token": ""}, "access_token is empty", id="empty token"),
    pytest.param({"access_token": "a b"}, "access_token must be visible ASCII", id="space in the token"),
    pytest.param({"access_token": "a\r\nX: 1"}, "access_token must be visible ASCII", id="header injection"),
    pytest.param({"access_token": "a\n"}, "access_token must be visible ASCII", id="newline at the end"),
    pytest.param({"access_token": "ä"}, "access_token must be visible ASCII", id="beyond ASCII"),
    pytest.param({"access_token": "\x7f"}, "access_token must be visible ASCII", id="delete"),
    pytest.param({"access_token": "a", "token_type": "mac"}, "token_type must be Bearer, not 'mac'", id="mac"),
    pytest.param({"access_token": "a", "token_type": 1}, "token_type must be a string, not a number", id="number type"),
    pytest.param({"access_token": "a", "token_type": ["x"]}, "token_type must be a string, not a list", id="list type"),
    pytest.param({"access_token": "a", "expires_in": 0}, "expires_in must be positive, not zero", id="zero"),
    pytest.param({"access_token": "a", "expires_in": "0"}, "expires_in must be positive, not zero", id="zero string"),
    pytest.param({"access_token": "a", "expires_in": -1}, "positive, not negative", id="negative"),
    pytest.param({"access_token": "a", "expires_in": "-1"}, "positive, not negative", id="negative string"),
    pytest.param({"access_token": "a", "expires_in": -(10**350)}, "positive, not negative", id="hugely negative"),
    pytest.param({"access_token": "a", "expires_in": True}, "not a boolean", id="boolean life"),
    pytest.param({"access_token": "a", "expires_in": [3599]}, "not a list", id="list life"),
    pytest.param({"access_token": "a", "expires_in": {}}, "not an object", id="object life"),
    pytest.param({"access_token": "a", "expires_in": "soon"}, "a string without a number", id="word life"),
    pytest.param({"access_token": "a", "expires_in": "nan"}, "a string without a number", id="nan string"),
    pytest.param({"access_token": "a", "expires_in": "infinity"}, "a string without a number", id="infinity string"),
    pytest.param({"access_token": "a", "expires_in": "1_000"}, "a string without a number", id="underscore"),
    pytest.param({"access_token": "a", "expires_in": "٣"}, "a string without a number", id="digits of another script"),
    pytest.param({"access_token": "a", "expires_in": "1e3"}, "a string without a number", id="exponent string"),
    pytest.param({"access_token": "a", "expires_in": "9" * 401}, "a string without a number", id="endless digits"),
    pytest.param(b'{"access_token": "a", "expires_in": NaN}', "expires_in is not a finite", id="NaN"),
    pytest.param(b'{"access_token": "a", "expires_in": Infinity}', "expires_in is not a finite", id="infinite"),
    pytest.param({"access_token": "a", "scope": 1}, "scope must be a string, not a number", id="number scope"),
    pytest.param({"access_token": "a", "scope": ["a", 1]}, "scope must be a string, not a list", id="mixed scope"),
    pytest.param({"access_token": "a", "refresh_token": 1}, "refresh_token must be a string", id="number refresh"),
    pytest.param(b"", "the reply is empty", id="empty"),
    pytest.param(b"<html>login</html>", "HTML", id="HTML"),
    pytest.param(b'{"access_token": "a", "access_token": "b"}', "twice", id="two tokens"),
    pytest.param(b'{"access_token": "a', "truncated", id="cut off"),
    pytest.param({"access_token": "a", "error": "x"}, "the reply is an error: x", id="error with a token"),
    pytest.param({"access_token": "a", "error": ["x"]}, "the reply is an error: x", id="odd error"),
]


@pytest.mark.parametrize(("body", "problem"), _NOT_A_TOKEN)
def test_a_success_that_is_no_token(body: bytes | dict[str, Any], problem: str) -> None:
    """Expect a separate message for each malformed reply, with the property, the host and the tracking id."""
    with pytest.raises(InvalidTokenResponse) as caught:
        parse(body, headers={"requesttrackingid": "id-1"})
    assert problem in caught.value.problem
    assert problem in str(caught.value)
    assert "api.example" in str(caught.value)
    assert "id-1" in str(caught.value)
    assert caught.value.tracking_id == "id-1"


def test_each_malformed_property_has_its_own_problem() -> None:
    """Expect different messages for different defects."""
    problems = set()
    for row in _NOT_A_TOKEN:
        with pytest.raises(InvalidTokenResponse) as caught:
            parse(row.values[0])
        problems.add(caught.value.problem)
    assert len(problems) >= 25


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
    """Expect echoed secrets not to be in the error."""
    with pytest.raises(TokenError) as caught:
        parse(body)
    assert "hunter2" not in repr(vars(caught.value)) + str(caught.value) + repr(caught.value.args)


def test_an_exchange_that_brought_no_access_token() -> None:
    """Expect advice in the error (RFC 8693 §2.2.1)."""
    with pytest.raises(InvalidTokenResponse, match="requested_token_type") as caught:
        parse({"access_token": "a", "token_type": "N_A", "issued_token_type": "urn:ietf:params:oauth:token-type:jwt"})
    assert "token_type" in caught.value.problem


def _only_a_token_or_a_token_error(**arguments: Any) -> None:
    try:
        token = parse_token_reply(reply_of(**arguments), obtained_at=0.0)
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
    """Expect no other exception for nearly valid replies, complete or truncated, with any headers."""
    body = json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass")
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    _only_a_token_or_a_token_error(body=body[: len(body) - cut], status=status, headers=httpx.Headers(raw))
