"""Token introspection, and the platform's tokeninfo."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    SEI_PLATFORM,
    ConfigurationError,
    InvalidTokenResponse,
    Provider,
    TokenError,
    TokenInfo,
    TokenRequestRefused,
)
from tests._support.token_calls import config_of, reply, token_info

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


def _request(provider: Provider, **changes: Any) -> httpx.Request:
    answer = reply({"active": True, "status": "approved"})
    return token_info(config_of(provider, **{"client_id": "my id", **changes}), answer)[1]


def _info(provider: Provider, body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> TokenInfo:
    answer = reply(body, status=status, headers=headers)
    return token_info(config_of(provider, token_timeout=2), answer, wall=1_000.0)[0]


def test_the_platforms_call() -> None:
    """Expect the token in its header, the client id in the query, and no secret in the URL."""
    request = _request(SEI_PLATFORM)
    assert (request.method, str(request.url)) == ("GET", "https://api.example/v2/oauth/tokeninfo?client_id=my+id")
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.content == b""


def test_introspection() -> None:
    """Expect the token in the form, and client authentication (RFC 7662 §2.1)."""
    request = _request(STANDARD)
    assert (request.method, str(request.url)) == ("POST", "https://api.example/introspect")
    assert request.content == b"token=abc"
    assert request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("provider", [OAUTH2, SEI_GATEWAY], ids=["plain", "gateway"])
def test_a_provider_that_has_none(provider: Provider) -> None:
    """Expect a clear error that names the setting."""
    with pytest.raises(ConfigurationError, match=provider.name) as caught:
        _request(provider, client_id="id")
    assert caught.value.field == "provider.introspection_url"


@pytest.mark.parametrize("member", ["scope", "token_type", "client_id", "username", "email", "app_name", "status"])
def test_a_description_that_echoes_a_token(member: str) -> None:
    """Expect no token in the repr, neither the described one nor those of the reply."""
    info = _info(STANDARD, {"active": True, "refresh_token": "another-token", member: "x abc another-token"})
    assert "x *** ***" in repr(info)
    assert "abc" not in repr(info)
    assert "another-token" not in repr(info)


def test_the_platforms_reply() -> None:
    """Expect each documented member to be read, and neither token to be kept."""
    info = _info(SEI_PLATFORM, PLATFORM_REPLY, headers={"requesttrackingid": "id-1"})
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
    assert "abc" not in repr(dataclasses.asdict(info))
    assert "xyz" not in repr(dataclasses.asdict(info))


@pytest.mark.parametrize(
    ("expires_in", "active"), [(1, True), ("1", True), (None, True), (0, False), ("-1", False)], ids=repr
)
def test_the_platform_describes_live_tokens(expires_in: object, active: bool) -> None:
    """Expect a token to be active unless it has expired."""
    assert _info(SEI_PLATFORM, {"expires_in": expires_in, "status": "approved"}).active is active


@pytest.mark.parametrize(
    ("status", "active"), [("approved", True), ("Approved", True), ("revoked", False), (None, True)], ids=repr
)
def test_the_platforms_word_for_a_token(status: str | None, active: bool) -> None:
    """Expect a token to be active with the documented status, or without a status."""
    info = _info(SEI_PLATFORM, {**PLATFORM_REPLY, "status": status})
    assert (info.active, info.status) == (active, status)


@pytest.mark.parametrize("body", [{}, {"access_token": "abc"}, {"expires_in": "x", "status": []}])
def test_a_success_of_the_platforms_that_describes_nothing(body: object) -> None:
    """Expect an error instead of an active token."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _info(SEI_PLATFORM, body)
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
    """Expect a list to be joined as in a token reply."""
    assert _info(provider, {**rest, "scope": scope}).scope == read


def test_a_token_that_is_no_access_token() -> None:
    """Expect the type as the provider wrote it (RFC 8693 §2.2.1)."""
    assert _info(STANDARD, {"active": True, "token_type": "N_A"}).token_type == "N_A"


def test_the_introspected_reply() -> None:
    """Expect the RFC's members, and the end as seconds from now."""
    info = _info(
        STANDARD,
        {"active": True, "scope": "a b", "client_id": "c", "username": "u", "exp": 1_600, "aud": ["x"], "sub": "s"},
    )
    assert info == TokenInfo(active=True, expires_in=600.0, scope="a b", client_id="c", username="u")
    assert info.extra == {"aud": ["x"], "sub": "s"}


def test_an_end_that_has_passed_by_our_clock() -> None:
    """Expect the provider's `active`, and no negative seconds."""
    info = _info(STANDARD, {"active": True, "exp": 999})
    assert (info.active, info.expires_in) == (True, 0.0)


@pytest.mark.parametrize(
    ("value", "active"), [(True, True), (False, False), ("true", True), ("FALSE", False)], ids=repr
)
def test_introspection_says_whether_a_token_lives(value: object, active: bool) -> None:
    """Expect `active` as a boolean or as a string."""
    assert _info(STANDARD, {"active": value}).active is active


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({}, "active is missing", id="missing"),
        pytest.param({"active": None}, "active is missing", id="null"),
        pytest.param({"active": 1}, "active must be a boolean, not a number", id="number"),
        pytest.param({"active": "yes"}, "active must be a boolean, not a string", id="word"),
        pytest.param(b"<html>", "HTML", id="HTML"),
    ],
)
def test_a_success_that_is_no_description(body: object, problem: str) -> None:
    """Expect each defect to be named."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _info(STANDARD, body)
    assert problem in caught.value.problem


def test_an_introspection_that_says_that_it_succeeded() -> None:
    """Expect a code of no error, and a status of the token, not to count as an error."""
    assert _info(STANDARD, {"code": 0, "message": "ok", "active": True}).active
    assert not _info(STANDARD, {"active": False, "status": "failed"}).active


def test_a_refusal_under_200() -> None:
    """Expect an error in the body to be a refusal whatever the status is."""
    with pytest.raises(TokenRequestRefused, match="invalid_client") as caught:
        _info(STANDARD, {"error": "invalid_client"})
    assert caught.value.status == 200


@pytest.mark.parametrize(("provider", "hinted"), [(SEI_PLATFORM, True), (STANDARD, False)], ids=["platform", "plain"])
def test_a_refusal(provider: Provider, hinted: bool) -> None:
    """Expect the platform's 401 to name the token as a possible cause, because it authenticates the call."""
    with pytest.raises(TokenRequestRefused) as caught:
        _info(provider, b"", status=401)
    assert ("not valid any more" in str(caught.value)) is hinted


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
        info = _info(provider, body, status=status)
    except TokenError:
        pass
    else:
        assert info.active in (True, False)
