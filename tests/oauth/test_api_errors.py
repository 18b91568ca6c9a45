"""An API's refusal, in each of the known forms."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import ApiError, FieldError
from seic._oauth.api_errors import parse_api_error

GATEWAY = {
    "code": "accounts.invalid",
    "message": "A field is wrong",
    "trackingId": "body-id",
    "transient": "true",
    "errors": [{"field": "limit", "location": "query", "reason": "too large"}],
}


def _parse(
    body: object, *, status: int = 400, headers: dict[str, str] | None = None, tracking_header: str | None = "x-id"
) -> ApiError | None:
    return parse_api_error(
        tracking_header=tracking_header,
        status=status,
        headers=httpx.Headers(headers or {}),
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        now=0.0,
    )


def _error(body: object, **changes: object) -> ApiError:
    error = _parse(body, **changes)  # type: ignore[arg-type]
    assert error is not None
    return error


def test_the_gateways_form() -> None:
    """Expect code, message, tracking id, transience and the fields."""
    error = _error(GATEWAY, status=400)
    assert error.status == 400
    assert error.code == "accounts.invalid"
    assert error.tracking_id == "body-id"
    assert error.transient is True
    assert error.errors == (FieldError("limit", "query", "too large"),)
    assert str(error) == "the API answered 400 (accounts.invalid: A field is wrong) (tracking id body-id)"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        pytest.param({"error": {"code": 404, "message": "gone"}}, "404", "404: gone", id="platform"),
        pytest.param({"ErrorCode": "E1", "Error": "bad", "Hint": "do"}, "E1", "E1: bad; do", id="platform revocation"),
        pytest.param({"Error": "bad"}, None, "bad", id="platform revocation, a part"),
        pytest.param({"error": "e", "error_description": "d"}, "e", "e: d", id="RFC 6749"),
        pytest.param({"error": "e"}, "e", "(e)", id="RFC 6749, the code alone"),
        pytest.param(
            {"type": "https://x/probs/a", "title": "T", "detail": "D", "status": 400},
            "https://x/probs/a",
            "https://x/probs/a: T: D",
            id="RFC 9457",
        ),
        pytest.param({"type": "about:blank", "title": "Bad"}, None, "(Bad)", id="RFC 9457, about:blank"),
        pytest.param({"type": "https://x/p", "status": 400}, "https://x/p", "https://x/p", id="RFC 9457, no title"),
        pytest.param({"code": 17, "message": "m"}, "17", "17: m", id="a number as a code"),
    ],
)
def test_every_other_form(body: object, code: str | None, words: str) -> None:
    """Expect each form to give its code and its words, and None where it does not speak of transience."""
    error = _error(body)
    assert error.code == code
    assert words in str(error)
    assert error.transient is None
    assert error.errors == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param([], id="a list"),
        pytest.param({}, id="an empty object"),
        pytest.param({"error": None}, id="an empty error"),
        pytest.param({"error": True}, id="an error that is no word"),
        pytest.param({"code": "abc"}, id="a code of something else"),
        pytest.param({"type": "account", "name": "n"}, id="a type of something else"),
        pytest.param({"message": "m"}, id="a message alone"),
    ],
)
def test_no_known_form(body: object) -> None:
    """Expect None, so that the caller sees the reply itself."""
    assert _parse(body) is None


@pytest.mark.parametrize(("status", "found"), [(200, False), (399, False), (400, True), (503, True)])
def test_only_an_error_status_is_an_error(status: int, found: bool) -> None:
    """Expect a success never to be read as an error."""
    assert (_parse(GATEWAY, status=status) is not None) is found


def test_the_header_names_the_call_first() -> None:
    """Expect the tracking header before the body's id, and only where the provider has one."""
    assert _error(GATEWAY, headers={"X-Id": "header-id"}).tracking_id == "header-id"
    assert _error(GATEWAY, headers={"X-Id": "header-id"}, tracking_header=None).tracking_id == "body-id"


def test_retry_after_is_read() -> None:
    """Expect the pause that the API asked for."""
    assert _error(GATEWAY, status=429, headers={"Retry-After": "7"}).retry_after == 7.0
    assert _error(GATEWAY, status=429).retry_after is None


def test_a_challenge_speaks_where_the_body_is_silent() -> None:
    """Expect RFC 6750's error from the header, and the body's before it."""
    headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope", error_description="more"'}
    assert "insufficient_scope: more" in str(_error(b"", status=403, headers=headers))
    assert _error(GATEWAY, status=403, headers=headers).code == "accounts.invalid"
    assert _parse(b"", status=401, headers={"WWW-Authenticate": "Bearer"}) is None
    assert _parse(b"", status=401, headers={"WWW-Authenticate": 'Basic error="x"'}) is None


def test_logged_in_elsewhere_names_the_remedy_and_its_price() -> None:
    """Expect the single session of the platform to be explained."""
    error = _error({"error": {"code": 403, "message": "logged out", "subcode": "018", "errorid": ""}}, status=403)
    assert "endOtherSessions" in str(error)
    assert "ends the other session" in str(error)


def test_words_are_cleaned() -> None:
    """Expect no forged line and no flood."""
    error = _error({**GATEWAY, "message": "a\nb" + "x" * 5_000, "errors": [{"field": "a\x00b"}, "odd"] * 200})
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    assert error.errors[0] == FieldError("a b", "", "")
    assert len(error.errors) == 100


@given(body=st.binary(), status=st.integers(100, 599))
def test_any_bytes_are_an_error_or_none(body: bytes, status: int) -> None:
    """Expect nothing to be raised for any reply."""
    assert isinstance(_parse(body, status=status), ApiError | None)
