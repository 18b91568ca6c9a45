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
    ],
)
def test_no_known_form(body: object) -> None:
    """Expect the status alone."""
    error = _error(body)
    assert (str(error), error.code) == ("the API answered 400", None)


APIGEE = {
    "fault": {
        "faultstring": "Access Token expired",
        "detail": {"errorcode": "keymanagement.service.access_token_expired"},
    }
}


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        pytest.param(
            APIGEE,
            "keymanagement.service.access_token_expired",
            "(keymanagement.service.access_token_expired: Access Token expired)",
            id="Apigee",
        ),
        pytest.param({"message": "Forbidden"}, None, "(Forbidden)", id="a message alone: AWS, Kong"),
        pytest.param({"Message": "No rights"}, None, "(No rights)", id="a message in capitals"),
        pytest.param({"statusCode": 400, "message": "m"}, None, "(m)", id="Azure API Management"),
        pytest.param({"errorCode": "E0000011", "errorSummary": "Bad"}, "E0000011", "(E0000011: Bad)", id="Okta"),
        pytest.param(
            [{"message": "Session expired", "errorCode": "INVALID_SESSION_ID"}],
            "INVALID_SESSION_ID",
            "(INVALID_SESSION_ID: Session expired)",
            id="a list: Salesforce",
        ),
        pytest.param(
            {"errors": [{"code": "too_long", "title": "Bad name"}]}, "too_long", "(too_long: Bad name)", id="JSON:API"
        ),
        pytest.param({"error": "bad", "message": "A field"}, "bad", "(bad: A field)", id="a message with a code"),
        pytest.param(
            {"status": 400, "error": "Bad Request", "path": "/x"}, "Bad Request", "(Bad Request)", id="Spring"
        ),
        pytest.param({"title": "Bad"}, None, "(Bad)", id="a title"),
        pytest.param({"errcode": 40001, "errmsg": "bad secret"}, "40001", "(40001: bad secret)", id="WeChat"),
        pytest.param({"error_msg": "no"}, None, "(no)", id="error_msg"),
        pytest.param({"err": "not yours"}, None, "(not yours)", id="err"),
        pytest.param({"statusText": "Bad"}, None, "(Bad)", id="statusText"),
        pytest.param({"detail": ["One", "Two"]}, None, "(One; Two)", id="a list as detail"),
        pytest.param({"detail": [{"msg": "Field required"}]}, None, "(Field required)", id="FastAPI"),
        pytest.param({"errors": ["One", {"x": 1}, "Two"]}, None, "(One; Two)", id="strings as errors"),
        pytest.param(["One", "Two"], None, "(One; Two)", id="a list of strings"),
        pytest.param('{"message": "zu groß"}'.encode("latin-1"), None, "(zu groß)", id="Latin-1"),
        pytest.param('{"message": "zu groß"}'.encode("utf-16"), None, "(zu groß)", id="UTF-16"),
        pytest.param("zu groß".encode("latin-1"), None, "(zu groß)", id="Latin-1 as a text"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(GATEWAY).encode(), "accounts.invalid", "A field", id="a mark"),
        pytest.param(b"no such account\n", None, "(no such account)", id="plain text"),
        pytest.param(
            b"<html><head><title>400 Bad&amp;Request</title></head><body>x</body></html>",
            None,
            "(400 Bad&Request)",
            id="a page's title",
        ),
        pytest.param(b"<h1>No <b>entry</b></h1>", None, "(No entry)", id="a page without a title"),
        pytest.param(b"<Error><Code>X</Code><Message>Gone</Message></Error>", None, "(X Gone)", id="XML"),
    ],
)
def test_the_words_of_any_other_document(body: object, code: str | None, words: str) -> None:
    """Expect the server's code and words whatever the form of its error."""
    error = _error(body)
    assert (error.code, words in str(error)) == (code, True), str(error)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff\xfe\x00binary", id="binary"),
        pytest.param(b"x" * 70_000, id="a long text"),
        pytest.param(b'{"message": "cut o', id="damaged JSON"),
    ],
)
def test_no_words(body: bytes) -> None:
    """Expect the status alone if the body is not for people."""
    assert str(_error(body)) == "the API answered 400"


def test_members_that_the_provider_names() -> None:
    """Expect code and description from the members that `Provider` names."""
    provider = Provider(token_url="/token", error_code_field="result.0.id", error_description_field="result.0.info.de")
    body = {"message": "other", "result": [{"id": 42, "info": {"de": "Zu viel"}}]}
    with pytest.raises(ApiError, match="42: Zu viel") as caught:
        raise_for_status(_reply(body), provider=provider)
    assert caught.value.code == "42"
    with pytest.raises(ApiError, match="other"):
        raise_for_status(_reply({"message": "other", "result": [{}]}), provider=provider)


@pytest.mark.parametrize("form", ["token {} is dead", "<p>token {} is dead", '{{"message": "token {} is dead"}}'])
def test_an_echo_in_any_form(form: str) -> None:
    """Expect the token to be removed from a text, a page and a message."""
    secret = "abc<b>&amp;'12345678"
    request = httpx.Request("GET", "https://api.example/", headers={"Authorization": f"Bearer {secret}"})
    reply = httpx.Response(403, content=form.format(secret).encode(), request=request)
    with pytest.raises(ApiError, match="is dead") as caught:
        raise_for_status(reply)
    assert "12345678" not in str(caught.value)


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
