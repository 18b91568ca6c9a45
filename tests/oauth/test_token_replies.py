"""The fields of a token from a token reply."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import pytest

from seic import InvalidTokenResponse, Provider
from tests._support.token_calls import GATEWAY_REPLY, config_of, parse, reply, request_token

MAX_LIFETIME = 365 * 86400.0


def test_the_gateways_reply() -> None:
    """Expect the strings of the documented reply as numbers and times, and the other members in `extra`."""
    token = parse(GATEWAY_REPLY, headers={"requesttrackingid": "67e1ff68"})
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
    """Expect the refresh token and its lifetime."""
    token = parse(
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
    """Expect an access token alone to be enough: Bearer, of unknown lifetime, without scope."""
    token = parse({"access_token": "a"})
    assert (token.token_type, token.expires_in, token.scope, token.extra) == ("Bearer", None, "", {})


@pytest.mark.parametrize("content_type", ["text/html", "application/json; charset=utf-16", "", "image/png"])
def test_the_content_type_is_not_asked(content_type: str) -> None:
    """Expect valid JSON to be accepted with any content type."""
    assert parse({"access_token": "a"}, headers={"Content-Type": content_type}).access_token == "a"


_GOOD = b'{"access_token": "a", "token_type": "Bearer", "expires_in": 3600, "scope": "read"'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xef\xbb\xbf" + _GOOD + b"}", id="a mark"),
        pytest.param(_GOOD + b"}\0\0\0", id="NULs at the end"),
        pytest.param(_GOOD + b', "x": NaN}', id="NaN elsewhere"),
        pytest.param(_GOOD + b', "x": ["\\ud800"]}', id="half of a pair elsewhere"),
        pytest.param(_GOOD + b', "access_token": "a"}', id="an equal property twice"),
        pytest.param(_GOOD + b', "name": "M\xfcller"}', id="Latin-1 elsewhere"),
        pytest.param((_GOOD + b"}").decode().encode("utf-16"), id="UTF-16"),
        pytest.param(_GOOD.replace(b"3600", b'"3600 "') + b"}", id="a number as a string with a blank"),
        pytest.param(_GOOD.replace(b"3600", b"3600.0") + b"}", id="a fraction"),
        pytest.param(_GOOD.replace(b"3600", b"36e2") + b"}", id="an exponent"),
        pytest.param(_GOOD.replace(b"Bearer", b"bearer ") + b"}", id="a blank after the type"),
        pytest.param(_GOOD.replace(b'"Bearer"', b'""') + b"}", id="an empty type"),
        pytest.param(_GOOD.replace(b'"read"', b'["read"]') + b"}", id="a list as scope"),
        pytest.param(_GOOD + b', "refresh_token": "", "issued_at": "", "refresh_token_expires_in": ""}', id="blanks"),
        pytest.param(_GOOD + b', "error": null}', id="no error"),
        pytest.param(_GOOD + b', "error": "", "error_description": ""}', id="an empty error"),
        pytest.param(_GOOD + b', "errcode": 0, "errmsg": "ok", "success": true}', id="a success that says so"),
        pytest.param(_GOOD + b', "code": 200, "message": "success", "errors": []}', id="a success with a code"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json;charset=utf8", "application/json; charset=UTF_8", "x"])
def test_flaws_that_leave_no_doubt(body: bytes, content_type: str) -> None:
    """Expect a token with all its fields."""
    token = parse(body, headers={"Content-Type": content_type})
    assert (token.access_token, token.token_type.lower(), token.expires_in) == ("a", "bearer", 3600)
    assert (token.scope, token.refresh_token) == ("read", None)
    json.dumps(token.to_dict())


def test_a_blank_lifetime() -> None:
    """Expect it to be unknown."""
    assert parse({"access_token": "a", "expires_in": " "}).expires_in is None


@pytest.mark.parametrize("status", [200, 201, 299])
def test_any_success_may_carry_a_token(status: int) -> None:
    """Expect every 2xx to be read."""
    assert parse({"access_token": "a"}, status=status).access_token == "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("~!Az09+/=-._", "~!Az09+/=-._", id="visible ASCII"),
        pytest.param("x" * 100_000, "x" * 100_000, id="long"),
    ],
)
def test_legal_access_tokens(value: str, expected: str) -> None:
    """Expect every visible ASCII character to be legal."""
    assert parse({"access_token": value}).access_token == expected


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER", "BearerToken", "bearertoken", None])
def test_token_types_that_are_bearer(word: str | None) -> None:
    """Expect both spellings in any case, and null, to be Bearer."""
    assert parse({"access_token": "a", "token_type": word}).token_type == (word or "Bearer")


def test_a_token_type_that_the_provider_names() -> None:
    """Expect a word of the provider's own to be used as Bearer, and to be an error elsewhere, with the setting."""
    body = {"access_token": "a", "token_type": "jwt"}
    own = Provider(token_url="/token", bearer_token_types=frozenset({"JWT"}))
    assert request_token(config_of(own), reply(body)).token_type == "jwt"
    with pytest.raises(InvalidTokenResponse, match="bearer_token_types"):
        parse(body)


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
    """Expect numbers and numeric strings, null as unknown, and clamped limits."""
    assert parse({"access_token": "a", "expires_in": value}).expires_in == seconds


@pytest.mark.parametrize("number", ["1e25", "1e400", "9" * 401])
def test_a_number_of_json_however_large_is_a_year(number: str) -> None:
    """Expect the maximum, whether or not a float can hold the number."""
    body = f'{{"access_token": "a", "expires_in": {number}}}'.encode()
    assert parse(body).expires_in == MAX_LIFETIME


def test_a_missing_expires_in_is_unknown() -> None:
    """Expect None, not zero."""
    assert parse({"access_token": "a"}).expires_in is None


@pytest.mark.parametrize(
    "value",
    ["soon", "", None, True, [], {}, -1, 0, "0", 1529525648, "1529525648", 10**350, 1e300, "-1529525648451"],
    ids=lambda value: repr(value)[:20],
)
def test_an_issued_at_without_sense_is_left_out(value: object) -> None:
    """Expect malformed values, seconds, and impossible times to be ignored: the field is for information."""
    assert parse({"access_token": "a", "issued_at": value}).issued_at is None


@pytest.mark.parametrize("value", [1529525648451, "1529525648451", 1529525648451.0], ids=repr)
def test_issued_at_in_milliseconds(value: object) -> None:
    """Expect the same value from a string and a number."""
    issued_at = parse({"access_token": "a", "issued_at": value}).issued_at
    assert issued_at == dt.datetime(2018, 6, 20, 20, 14, 8, 451000, tzinfo=dt.UTC)


@pytest.mark.parametrize("value", ["0", 0, -1, "soon", None, True, [], {}], ids=repr)
def test_a_refresh_lifetime_without_sense_is_left_out(value: object) -> None:
    """Expect an invalid lifetime to be left out, and the token to be accepted."""
    token = parse({"access_token": "a", "refresh_token": "r", "refresh_token_expires_in": value})
    assert (token.refresh_token, token.refresh_expires_in) == ("r", None)


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_refresh_token_is_none(value: object) -> None:
    """Expect an empty string and null to mean that there is none, and no lifetime without a token."""
    token = parse({"access_token": "a", "refresh_token": value, "refresh_token_expires_in": 60})
    assert (token.refresh_token, token.refresh_expires_in) == (None, None)


@pytest.mark.parametrize(("value", "scope"), [("a b", "a b"), (["a", "b"], "a b"), (None, ""), ([], "")])
def test_scopes_that_are_understood(value: object, scope: str) -> None:
    """Expect the RFC's string, and a list, which some servers send."""
    assert parse({"access_token": "a", "scope": value}).scope == scope


@pytest.mark.parametrize("value", ["", None, False, 0, {}, []], ids=repr)
def test_an_empty_error_is_no_error(value: object) -> None:
    """Expect a success with an empty error to be a success."""
    assert parse({"access_token": "a", "error": value}).access_token == "a"


def test_a_code_next_to_a_token_is_not_an_error() -> None:
    """Expect a reply with a token and a success code to be a token."""
    assert parse({"access_token": "a", "code": 0, "message": "success"}).access_token == "a"


def _jwt(claims: dict[str, Any]) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"])


@pytest.mark.parametrize(
    ("expires_in", "claims", "expected"),
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
def test_the_lifetime_of_a_jwt_counts_if_it_is_shorter(
    expires_in: int | None, claims: dict[str, Any], expected: float | None
) -> None:
    """Expect a JWT's own lifetime to count if it is shorter, or the only one."""
    assert parse({"access_token": _jwt(claims), "expires_in": expires_in}).expires_in == expected
