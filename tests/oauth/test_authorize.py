"""Logins of users."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    SEI_PLATFORM,
    ConfigurationError,
    Hosts,
    InvalidTokenResponse,
    Login,
    Provider,
    TokenError,
    TokenRequestRefused,
)

STATE = "67e1ff68-164f-43ad-8f2d-5cbbfda56ec9"


def _begin(provider: Provider, **changes: Any) -> Login:
    provider = attrs.evolve(provider, authorize_url="https://login.example/authorize?tenant=1")
    settings = {"client_id": "my id", "redirect_uri": "https://app.example/back?x=1", **changes}
    return Login.begin(provider=provider, **settings)


def _query(login: Login) -> dict[str, list[str]]:
    assert login.url.startswith("https://login.example/authorize?tenant=1&")
    return parse_qs(urlsplit(login.url).query, strict_parsing=True, keep_blank_values=True)


def _challenge(verifier: str | None) -> str:
    digest = hashlib.sha256((verifier or "").encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_the_platforms_login() -> None:
    """Expect the platform's parameter of the redirect URI, its scope, and no code challenge."""
    login = _begin(SEI_PLATFORM)
    assert login.code_verifier is None
    assert _query(login) == {
        "tenant": ["1"],
        "response_type": ["code"],
        "client_id": ["my id"],
        "state": [login.state],
        "redirect_url": ["https://app.example/back?x=1"],
        "scope": ["ilservices"],
    }


def test_the_standards_login() -> None:
    """Expect RFC 6749 §4.1.1 and RFC 7636 §4.3: of the verifier only the challenge."""
    login = _begin(OAUTH2, scope="a b")
    assert _query(login) == {
        "tenant": ["1"],
        "response_type": ["code"],
        "client_id": ["my id"],
        "state": [login.state],
        "redirect_uri": ["https://app.example/back?x=1"],
        "scope": ["a b"],
        "code_challenge": [_challenge(login.code_verifier)],
        "code_challenge_method": ["S256"],
    }


def test_a_login_that_says_less() -> None:
    """Expect neither redirect URI nor scope if none is set."""
    login = _begin(attrs.evolve(OAUTH2, takes_pkce=False), redirect_uri=None)
    assert _query(login).keys() == {"tenant", "response_type", "client_id", "state"}


def test_a_login_longer_than_a_url_may_be() -> None:
    """Expect an error of seic: httpx limits URLs to 64 KiB."""
    with pytest.raises(ConfigurationError, match=r"provider\.authorize_url: .* longer than 64 KiB"):
        _begin(OAUTH2, redirect_uri=f"https://app.example/{'x' * 65536}")


def test_other_sessions_end_only_when_asked() -> None:
    """Expect the platform's parameter only if it is requested."""
    assert _query(_begin(SEI_PLATFORM, end_other_sessions=True))["endOtherSessions"] == ["true"]
    assert "endOtherSessions" not in _query(_begin(SEI_PLATFORM))


def test_a_provider_that_cannot_end_other_sessions() -> None:
    """Expect an error that names the setting."""
    with pytest.raises(ConfigurationError) as caught:
        _begin(OAUTH2, end_other_sessions=True)
    assert caught.value.field == "provider.end_other_sessions_field"


def _code(callback: str, *, state: str = STATE, provider: Provider = SEI_PLATFORM) -> str:
    code = Login(provider=provider, url="https://login.example/", state=state).finish(callback).code
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize(
    "callback",
    [
        f"https://app.example/back?code=a%2Fb&state={STATE}",
        f"https://app.example/back?x=1&state={STATE}&code=a%2Fb#_=_",
        f"/back?code=a%2Fb&state={STATE}",
        f"code=a%2Fb&state={STATE}",
    ],
    ids=["URL", "URL with more", "path", "query"],
)
def test_the_code_of_a_callback(callback: str) -> None:
    """Expect the code from a URL, a path or a bare query."""
    assert _code(callback) == "a/b"


@pytest.mark.parametrize(
    ("callback", "problem"),
    [
        pytest.param("https://app.example/back", "state", id="no query"),
        pytest.param("https://app.example/back?code=a", "state", id="no state"),
        pytest.param("https://app.example/back?code=a&state=", "state", id="empty state"),
        pytest.param("https://app.example/back?code=a&state=other", "state", id="another state"),
        pytest.param(f"https://app.example/back?code=a&state={STATE}&state={STATE}", "state", id="state twice"),
        pytest.param("https://app.example/back?error=access_denied&state=other", "state", id="another's error"),
        pytest.param(f"https://app.example/back?state={STATE}", "code", id="no code"),
        pytest.param(f"https://app.example/back?code=&state={STATE}", "code", id="empty code"),
        pytest.param(f"https://app.example/back?code=a&code=b&state={STATE}", "code", id="code twice"),
        pytest.param("https://[::1/?code=a", "state", id="no URL"),
        pytest.param("?code=a&state=\ud800", "state", id="half a surrogate pair"),
        pytest.param(f"?code=a&state={STATE.upper()}", "state", id="capitals"),
        pytest.param(f"?code=a&state={STATE[:-1]}", "state", id="a shorter state"),
        pytest.param("?" + "a=1&" * 200 + f"code=a&state={STATE}", "state", id="a flood of parameters"),
    ],
)
def test_a_callback_that_is_no_answer(callback: str, problem: str) -> None:
    """Expect the state to be checked first, and a repeated parameter to count as missing."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _code(callback)
    assert caught.value.problem == problem
    assert STATE not in str(caught.value)


ISSUER = "https://idp.example"
NAMED = attrs.evolve(OAUTH2, issuer=ISSUER)
PROMISED = attrs.evolve(NAMED, issuer_in_callback=True)


@pytest.mark.parametrize(
    ("provider", "iss"),
    [
        pytest.param(PROMISED, "&iss=https%3A%2F%2Fidp.example", id="promised"),
        pytest.param(NAMED, "&iss=https%3A%2F%2Fidp.example", id="not promised"),
        pytest.param(NAMED, "", id="neither promised nor there"),
        pytest.param(OAUTH2, "&iss=https%3A%2F%2Fanother.example", id="nobody to compare with"),
    ],
)
def test_a_callback_of_the_issuer(provider: Provider, iss: str) -> None:
    """Expect the code (RFC 9207 §2.4)."""
    assert _code(f"?code=c&state={STATE}{iss}", provider=provider) == "c"


@pytest.mark.parametrize("answer", ["code=c", "error=access_denied"])
@pytest.mark.parametrize(
    ("provider", "iss"),
    [
        pytest.param(PROMISED, "", id="promised and missing"),
        pytest.param(NAMED, "&iss=https%3A%2F%2Fanother.example", id="another"),
        pytest.param(NAMED, "&iss=https%3A%2F%2Fidp.example%2F", id="a slash more"),
        pytest.param(NAMED, "&iss=HTTPS%3A%2F%2Fidp.example", id="other letters"),
        pytest.param(NAMED, "&iss=", id="empty"),
        pytest.param(NAMED, "&iss=https%3A%2F%2Fidp.example&iss=https%3A%2F%2Fanother.example", id="two"),
    ],
)
def test_a_callback_of_another_issuer(provider: Provider, iss: str, answer: str) -> None:
    """Expect it to be refused before its code or its error is read (RFC 9207 §2.4)."""
    with pytest.raises(InvalidTokenResponse) as caught:
        _code(f"?{answer}&state={STATE}{iss}", provider=provider)
    assert caught.value.problem == "iss"
    assert "another.example" not in str(caught.value)


def test_a_promise_of_an_issuer_that_nobody_names() -> None:
    """Expect the missing setting to be named."""
    provider = attrs.evolve(OAUTH2, issuer_in_callback=True)
    with pytest.raises(ConfigurationError) as caught:
        _code(f"?code=c&state={STATE}&iss=x", provider=provider)
    assert caught.value.field == "provider.issuer"


def test_a_login_compares_the_issuer() -> None:
    """Expect a login to check the issuer."""
    login = Login.begin(
        provider=attrs.evolve(PROMISED, authorize_url=f"{ISSUER}/login"), client_id="c", redirect_uri=None
    )
    with pytest.raises(InvalidTokenResponse) as caught:
        login.finish(f"?code=c&state={login.state}&iss=https%3A%2F%2Fanother.example")
    assert caught.value.problem == "iss"


def test_an_empty_state_matches_nothing() -> None:
    """Expect an empty state to match no callback."""
    with pytest.raises(InvalidTokenResponse):
        _code("https://app.example/back?code=a", state="")


def test_a_login_that_failed() -> None:
    """Expect the provider's code and description, sanitized."""
    with pytest.raises(TokenRequestRefused, match="access_denied: no\\? thanks") as caught:
        _code(f"https://app.example/back?error=access_denied&error_description=no%3F%0Athanks&state={STATE}")
    assert (caught.value.status, caught.value.code) == (None, "access_denied")
    assert caught.value.description == "no? thanks"


@given(st.text())
def test_any_callback_is_a_code_or_an_error(callback: str) -> None:
    """Expect no other exception for any text."""
    for text in (callback, f"{callback}&state={STATE}", f"https://app.example/?state={STATE}&code={callback}"):
        with contextlib.suppress(TokenError):
            assert _code(text)


def test_a_whole_login() -> None:
    """Expect the grant to have the code, the redirect URI, the verifier of the challenge, and the subject."""
    login = _begin(OAUTH2)
    query = _query(login)
    grant = login.finish(f"https://app.example/back?code=c&state={query['state'][0]}", subject="me")
    assert grant.code == "c"
    assert grant.redirect_uri == "https://app.example/back?x=1"
    assert grant.code_verifier is not None
    assert [_challenge(grant.code_verifier)] == query["code_challenge"]
    assert grant.subject == "me"


def test_a_login_at_the_platform() -> None:
    """Expect no verifier, and `endOtherSessions` in the token request."""
    login = _begin(SEI_PLATFORM, end_other_sessions=True)
    grant = login.finish(f"code=c&state={login.state}")
    assert grant.code_verifier is None
    assert grant.fields(SEI_PLATFORM) == {"code": "c", "endOtherSessions": "true"}
    assert grant.subject is not None


@pytest.mark.parametrize("first", ["code=c&state={}", "code=c&state=other", "error=access_denied&state={}"])
def test_a_login_finishes_once(first: str) -> None:
    """Expect a state to work once, whether the first use succeeded or not."""
    login = _begin(SEI_PLATFORM)
    with contextlib.suppress(TokenError):
        login.finish(first.format(login.state))
    with pytest.raises(InvalidTokenResponse, match="used before"):
        login.finish(f"code=c&state={login.state}")


def test_logins_differ_and_keep_their_secrets() -> None:
    """Expect another state and verifier for each, neither in a repr."""
    one, two = _begin(OAUTH2), _begin(OAUTH2)
    assert uuid.UUID(one.state).version == 4
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", one.code_verifier or "")
    assert one.state != two.state
    assert one.code_verifier != two.code_verifier
    assert one.state not in repr(one)
    assert str(one.code_verifier) not in repr(one)


@pytest.mark.parametrize(
    ("where", "url"),
    [
        ({}, "https://api.seic.com/v2/oauth/authorize"),
        ({"environment": "test"}, "https://test.api.seic.com/v2/oauth/authorize"),
        ({"hosts": Hosts(api="idp.example", mtls="mtls.idp.example")}, "https://idp.example/v2/oauth/authorize"),
    ],
    ids=["production", "test", "own hosts"],
)
def test_where_a_person_logs_in(where: dict[str, Any], url: str) -> None:
    """Expect the API host, because a browser has no client certificate."""
    login = Login.begin(provider=SEI_PLATFORM, client_id="id", redirect_uri=None, **where)
    assert login.url.partition("?")[0] == url


@pytest.mark.parametrize(
    ("provider", "where", "field"),
    [
        (SEI_GATEWAY, {}, "provider.authorize_url"),
        (OAUTH2, {}, "provider.authorize_url"),
        (SEI_PLATFORM, {"environment": "moon"}, "environment"),
        (SEI_PLATFORM, {"hosts": Hosts(mtls="mtls.idp.example")}, "hosts.api"),
        (attrs.evolve(OAUTH2, authorize_url="/authorize"), {}, "hosts"),
    ],
)
def test_nowhere_to_log_in(provider: Provider, where: dict[str, Any], field: str) -> None:
    """Expect the missing setting to be named."""
    with pytest.raises(ConfigurationError) as caught:
        Login.begin(provider=provider, client_id="id", redirect_uri=None, **where)
    assert caught.value.field == field
