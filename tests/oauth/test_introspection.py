"""Asking what a token is good for."""

from __future__ import annotations

import json
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic._errors import ConfigurationError, InvalidTokenResponse, TokenError, TokenRequestRefused
from seic._model.provider import Provider, RequestContext
from seic._model.token_info import TokenInfo
from seic._oauth.introspection import build_token_info_request, parse_token_info_reply
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from tests._support.token_replies import reply_of

STANDARD = attrs.evolve(OAUTH2, introspection_url="/introspect")

PLATFORM_REPLY = {
    "access_token": "abc",
    "token_type": "BearerToken",
    "expires_in": 3000,
    "status": "approved",
    "scope": "ilservices",
    "refresh_token": "xyz",
    "refresh_token_expires_in": 2591999,
    "redirect_url": "https://www.redirect.example",
    "email": "me@example.com",
    "app_name": "My app",
}


def _build(provider: Provider, **changes: Any) -> httpx.Request:
    access_token = changes.pop("access_token", "abc")
    settings = {"client_id": "my id", "client_secret": "s", **changes}
    context = RequestContext(provider=provider, token_url="https://api.example/token", **settings)
    return build_token_info_request(context, access_token=access_token)


def _parse(provider: Provider, body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> TokenInfo:
    return parse_token_info_reply(
        reply_of(body, status=status, headers=headers, provider=provider, now=1_000.0, secrets=("abc",))
    )


def test_the_platforms_call() -> None:
    """Expect the token in its header, the client id in the query, and no secret in the URL."""
    request = _build(SEI_PLATFORM)
    assert (request.method, str(request.url)) == ("GET", "https://api.example/v2/oauth/tokeninfo?client_id=my+id")
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.content == b""


def test_introspection() -> None:
    """Expect the token in the form and the client's proof (RFC 7662 §2.1)."""
    request = _build(STANDARD)
    assert (request.method, str(request.url)) == ("POST", "https://api.example/introspect")
    assert request.content == b"token=abc"
    assert request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("provider", [OAUTH2, SEI_GATEWAY], ids=["plain", "gateway"])
def test_a_provider_that_has_none(provider: Provider) -> None:
    """Expect a clear error that names the setting."""
    with pytest.raises(ConfigurationError, match=provider.name) as caught:
        _build(provider)
    assert caught.value.field == "provider.introspection_url"


def test_a_token_that_no_header_carries_is_refused() -> None:
    """Expect no header to be forged through the token, and the token not to be repeated."""
    with pytest.raises(ConfigurationError) as caught:
        _build(SEI_PLATFORM, access_token="abc\r\nX: 1")
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("member", ["scope", "token_type", "client_id", "username", "email", "app_name", "status"])
def test_a_description_that_echoes_a_token(member: str) -> None:
    """Expect what is shown to have neither the token that was asked about nor those of the reply."""
    info = _parse(STANDARD, {"active": True, "refresh_token": "another-token", member: "x abc another-token"})
    assert "x *** ***" in repr(info)
    assert "abc" not in repr(info)
    assert "another-token" not in repr(info)


def test_the_platforms_reply() -> None:
    """Expect each documented member to be read, and neither token to be kept."""
    info = _parse(SEI_PLATFORM, PLATFORM_REPLY, headers={"requesttrackingid": "id-1"})
    assert info == TokenInfo(
        active=True,
        expires_in=3000.0,
        scope="ilservices",
        token_type="BearerToken",
        username="me@example.com",
        app_name="My app",
        status="approved",
        refresh_expires_in=2591999.0,
        tracking_id="id-1",
    )
    assert info.extra == {"redirect_url": "https://www.redirect.example"}
    assert "abc" not in repr(attrs.asdict(info))
    assert "xyz" not in repr(attrs.asdict(info))


@pytest.mark.parametrize(
    ("expires_in", "active"), [(1, True), ("1", True), (None, True), (0, False), ("-1", False)], ids=repr
)
def test_the_platform_describes_live_tokens(expires_in: object, active: bool) -> None:
    """Expect a token to be active unless its life is over."""
    assert _parse(SEI_PLATFORM, {"expires_in": expires_in, "status": "approved"}).active is active


@pytest.mark.parametrize(
    ("status", "active"), [("approved", True), ("Approved", True), ("revoked", False), (None, True)], ids=repr
)
def test_the_platforms_word_for_a_token(status: str | None, active: bool) -> None:
    """Expect a token to be active by the one word for that which is documented, or without any."""
    info = _parse(SEI_PLATFORM, {**PLATFORM_REPLY, "status": status})
    assert (info.active, info.status) == (active, status)


@pytest.mark.parametrize("body", [{}, {"access_token": "abc"}, {"expires_in": "x", "status": []}])
def test_a_success_of_the_platforms_that_describes_nothing(body: object) -> None:
    """Expect no token to be called active for it."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _parse(SEI_PLATFORM, body)
    assert "describes no token" in caught.value.problem


@pytest.mark.parametrize(
    ("scope", "read"),
    [
        pytest.param("a b", "a b", id="a text"),
        pytest.param(["a", "b"], "a b", id="a list"),
        pytest.param([], "", id="an empty list"),
        pytest.param(["a", 1], "", id="a list of other things"),
        pytest.param({"a": 1}, "", id="an object"),
        pytest.param(None, "", id="null"),
    ],
)
@pytest.mark.parametrize(
    ("provider", "rest"), [(STANDARD, {"active": True}), (SEI_PLATFORM, PLATFORM_REPLY)], ids=["plain", "platform"]
)
def test_scopes(provider: Provider, rest: dict[str, object], scope: object, read: str) -> None:
    """Expect a list to be joined as in a token's reply."""
    assert _parse(provider, {**rest, "scope": scope}).scope == read


def test_a_token_that_is_no_access_token() -> None:
    """Expect the word for it to stand as the provider wrote it (RFC 8693 §2.2.1)."""
    assert _parse(STANDARD, {"active": True, "token_type": "N_A"}).token_type == "N_A"


def test_the_introspected_reply() -> None:
    """Expect the RFC's members, and the end as seconds from now."""
    info = _parse(
        STANDARD,
        {"active": True, "scope": "a b", "client_id": "c", "username": "u", "exp": 1_600, "aud": ["x"], "sub": "s"},
    )
    assert info == TokenInfo(active=True, expires_in=600.0, scope="a b", client_id="c", username="u")
    assert info.extra == {"aud": ["x"], "sub": "s"}


def test_an_end_that_has_passed_by_our_clock() -> None:
    """Expect the provider's word on the token, and no seconds below nought."""
    info = _parse(STANDARD, {"active": True, "exp": 999})
    assert (info.active, info.expires_in) == (True, 0.0)


@pytest.mark.parametrize(
    ("value", "active"), [(True, True), (False, False), ("true", True), ("FALSE", False)], ids=repr
)
def test_introspection_says_whether_a_token_lives(value: object, active: bool) -> None:
    """Expect its word, as a boolean or as a gateway's string."""
    assert _parse(STANDARD, {"active": value}).active is active


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({}, "active is missing", id="missing"),
        pytest.param({"active": None}, "active is missing", id="null"),
        pytest.param({"active": 1}, "active must be a boolean, not a number", id="number"),
        pytest.param({"active": "yes"}, "active must be a boolean, not a string", id="word"),
        pytest.param(b"<html>", "HTML", id="HTML"),
        pytest.param({"error": "x"}, "the reply is an error: x", id="error"),
    ],
)
def test_a_success_that_is_no_description(body: object, problem: str) -> None:
    """Expect each defect to be named."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _parse(STANDARD, body)
    assert problem in caught.value.problem


@pytest.mark.parametrize(("provider", "hinted"), [(SEI_PLATFORM, True), (STANDARD, False)], ids=["platform", "plain"])
def test_a_refusal(provider: Provider, hinted: bool) -> None:
    """Expect the platform's 401 to name the dead token as a cause: the token is the caller's proof there."""
    with pytest.raises(TokenRequestRefused) as caught:
        _parse(provider, b"", status=401)
    assert ("is dead" in str(caught.value)) is hinted


@given(
    body=st.binary()
    | st.dictionaries(
        st.sampled_from([*PLATFORM_REPLY, "active", "exp"]),
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just("true"),
    ).map(lambda document: json.dumps(document).encode()),
    status=st.sampled_from([200, 200, 302, 401, 503]),
    provider=st.sampled_from([SEI_PLATFORM, STANDARD]),
)
def test_any_reply_is_a_description_or_a_token_error(body: bytes, status: int, provider: Provider) -> None:
    """Expect no other exception for any reply."""
    try:
        info = _parse(provider, body, status=status)
    except TokenError:
        pass
    else:
        assert info.active in (True, False)
