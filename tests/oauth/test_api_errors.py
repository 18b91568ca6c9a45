"""Error responses of APIs, in each known form."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import ApiError, FieldError, Provider, raise_for_status

GATEWAY = {
    "code": "accounts.invalid",
    "message": "A field is wrong",
    "trackingId": "body-id",
    "transient": "true",
    "errors": [{"field": "limit", "location": "query", "reason": "too large"}],
}


def _reply(body: object, *, status: int = 400, headers: dict[str, str] | None = None) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, headers=headers, content=content)


def _error(body: object, *, tracking_header: str | None = "x-id", **changes: Any) -> ApiError:
    provider = Provider(token_url="/token", tracking_header=tracking_header)
    with pytest.raises(ApiError) as caught:
        raise_for_status(_reply(body, **changes), provider=provider)
    return caught.value


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
    """Expect the code and the description of each form, and None if it has no `transient`."""
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
        pytest.param({"error": True}, id="an error that is not a string"),
        pytest.param({"code": "abc"}, id="a code of something else"),
        pytest.param({"type": "account", "name": "n"}, id="a type of something else"),
        pytest.param({"message": "m"}, id="a message alone"),
    ],
)
def test_no_known_form(body: object) -> None:
    """Expect the status alone."""
    error = _error(body)
    assert (str(error), error.code) == ("the API answered 400", None)


@pytest.mark.parametrize("status", [200, 399])
def test_only_an_error_status_is_an_error(status: int) -> None:
    """Expect a success to be returned, whatever its body is."""
    reply = _reply(GATEWAY, status=status)
    assert raise_for_status(reply) is reply


def test_the_header_names_the_call_first() -> None:
    """Expect the tracking header before the body's id, if the provider has one."""
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
    for challenge in ("Bearer", 'Basic error="x"'):
        assert _error(b"", status=401, headers={"WWW-Authenticate": challenge}).code is None


def test_logged_in_elsewhere_names_the_remedy_and_its_price() -> None:
    """Expect an explanation of the platform's single session."""
    error = _error({"error": {"code": 403, "message": "logged out", "subcode": "018", "errorid": ""}}, status=403)
    assert "endOtherSessions" in str(error)
    assert "ends the other session" in str(error)


def test_words_are_cleaned() -> None:
    """Expect one line of limited length."""
    error = _error({**GATEWAY, "message": "a\nb" + "x" * 5_000, "errors": [{"field": "a\x00b"}, "odd"] * 200})
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    assert error.errors[0] == FieldError("a b", "", "")
    assert len(error.errors) == 100


@given(body=st.binary(), status=st.integers(100, 599))
def test_any_bytes_are_an_error_or_none(body: bytes, status: int) -> None:
    """Expect no other exception for any reply."""
    with pytest.raises(ApiError) if status >= 400 else contextlib.nullcontext():
        raise_for_status(_reply(body, status=status))
