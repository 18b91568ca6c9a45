"""The platform's login page."""

from __future__ import annotations

import re
import urllib.parse
import uuid

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.platform_client import (
    AUTHORIZE,
    CALLBACK,
    LOGIN,
    authorize,
    exchange,
    log_in,
    open_page,
    returned,
)
from tests._support.sandbox_client import api_client


def assert_error_page(reply: httpx.Response, status: int = 400) -> None:
    """Check that the response is an error page and not a redirect."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Location" not in reply.headers
    assert "Login failed" in reply.text


# Redirects


def test_login_returns_a_code_and_the_state(sandbox: Sandbox, api: httpx.Client) -> None:
    """`authorize` redirects to the page, and the page's form to the application."""
    state = str(uuid.uuid4())
    page = open_page(api, sandbox, state=state)
    reply = page.submit(email=sandbox.email, password=sandbox.password)
    assert reply.status_code == 303
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    answer = returned(reply)
    assert answer.pop("code")
    assert answer == {"state": state}
    assert sandbox.counts.login_requests == 3


def test_each_code_is_different(sandbox: Sandbox, api: httpx.Client) -> None:
    """Two logins in one browser are independent."""
    codes = [log_in(api, sandbox) for _ in range(2)]
    assert codes[0] != codes[1]
    assert [exchange(api, sandbox, code).status_code for code in codes] == [200, 200]


def test_two_logins_in_one_browser_do_not_interfere(sandbox: Sandbox, api: httpx.Client) -> None:
    """Two tabs, submitted in the other order."""
    first, second = open_page(api, sandbox), open_page(api, sandbox)
    for page in (second, first):
        assert "code" in returned(page.submit(email=sandbox.email, password=sandbox.password))


def test_login_can_be_cancelled(sandbox: Sandbox, api: httpx.Client) -> None:
    """The application gets the error, and the login ends."""
    state = str(uuid.uuid4())
    page = open_page(api, sandbox, state=state)
    answer = returned(page.submit(action="cancel"))
    assert (answer["error"], answer["state"]) == ("access_denied", state)
    assert_error_page(page.submit(email=sandbox.email, password=sandbox.password))


def test_query_of_the_redirect_url_is_kept(sandbox: Sandbox, api: httpx.Client) -> None:
    """Code and state are added."""
    page = open_page(api, sandbox, redirect_url=f"{CALLBACK}?tenant=a%20b")
    answer = returned(page.submit(email=sandbox.email, password=sandbox.password))
    assert answer["tenant"] == "a b"
    assert "code" in answer


@pytest.mark.parametrize("field", ["redirect_url", "redirect_uri"])
def test_redirect_url_has_two_names(field: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """The documents have both."""
    other = "redirect_uri" if field == "redirect_url" else "redirect_url"
    assert log_in(api, sandbox, **{field: CALLBACK, other: None})


# Errors that are sent to the application


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"state": None}, "invalid_request", id="no state"),
        pytest.param({"state": ""}, "invalid_request", id="empty state"),
        pytest.param({"state": "abc"}, "invalid_request", id="state is not a UUID"),
        pytest.param({"state": f"{{{uuid.UUID(int=1)}}}"}, "invalid_request", id="UUID in another form"),
        pytest.param({"scope": "openid"}, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": ""}, "invalid_scope", id="empty scope"),
        pytest.param({"scope": "ilservices openid"}, "invalid_scope", id="one scope too many"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit grant"),
        pytest.param({"endOtherSessions": "1"}, "invalid_request", id="endOtherSessions is not a boolean"),
        pytest.param({"code_challenge": "a" * 43}, "invalid_request", id="challenge without method"),
        pytest.param({"code_challenge_method": "S256"}, "invalid_request", id="method without challenge"),
        pytest.param(
            {"code_challenge": "a" * 43, "code_challenge_method": "plain"}, "invalid_request", id="plain challenge"
        ),
        pytest.param(
            {"code_challenge": "a" * 42, "code_challenge_method": "S256"}, "invalid_request", id="short challenge"
        ),
    ],
)
def test_errors_are_sent_to_the_application(
    changes: dict[str, str | None], error: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """By a redirect, with its state, before the login page is shown."""
    reply = authorize(api, sandbox, **changes)
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    answer = returned(reply)
    assert answer["error"] == error
    assert answer.get("state", "") == (changes["state"] or "" if "state" in changes else answer["state"])


@pytest.mark.parametrize("changes", [{"scope": None}, {"response_type": "code"}, {"endOtherSessions": "false"}])
def test_optional_parameters(changes: dict[str, str | None], sandbox: Sandbox, api: httpx.Client) -> None:
    """The only scope, the only response type and the default."""
    assert log_in(api, sandbox, **changes)


# Errors that are shown on a page


@pytest.mark.parametrize(
    "redirect_url",
    [
        pytest.param("https://evil.example/callback", id="another host"),
        pytest.param("http://evil.example:1/callback", id="another host, http"),
        pytest.param("http://localhost.evil.example/", id="loopback as a prefix"),
        pytest.param("http://127.0.0.1@evil.example/", id="loopback as a user"),
        pytest.param("http://evil.example\\@127.0.0.1/", id="backslash"),
        pytest.param("http://127.0.0.1\\.evil.example/", id="backslash in the host"),
        pytest.param("http://user@127.0.0.1/", id="a user"),
        pytest.param("http://127.0.0.1/#fragment", id="a fragment"),
        pytest.param("http://127.0.0.1:99999/", id="invalid port"),
        pytest.param("http://[::1/", id="invalid address"),
        pytest.param("http://127.0.0.1/\r\nSet-Cookie: a=b", id="a header"),
        pytest.param("https://127.0.0.1/", id="https needs registration"),
        pytest.param("//127.0.0.1/", id="no scheme"),
        pytest.param("/callback", id="a path"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("data:text/html,x", id="a document"),
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
    ],
)
def test_unknown_redirect_url_is_refused(redirect_url: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """There is no redirect to it, not even with an error."""
    assert_error_page(authorize(api, sandbox, redirect_url=redirect_url))
    assert_error_page(authorize(api, sandbox, redirect_url=redirect_url, state="no state"))


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"])
def test_loopback_redirect_url_may_have_any_port(host: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """RFC 8252 §7.3."""
    page = open_page(api, sandbox, redirect_url=f"http://{host}/cb")
    reply = page.submit(email=sandbox.email, password=sandbox.password)
    assert reply.headers["Location"].startswith(f"http://{host}/cb?code=")


@pytest.mark.parametrize(
    ("redirect_url", "taken"),
    [
        ("https://app.example/cb", True),
        ("https://app.example/cb?x", False),
        ("https://app.example/cb/", False),
        ("https://app.example/", False),
        ("https://APP.example/cb", False),
        (None, True),
    ],
)
def test_registered_redirect_urls_must_match_exactly(redirect_url: str | None, taken: bool) -> None:
    """Without a redirect URL, the first registered one is used."""
    registered = ["https://app.example/cb", "https://other.example/cb"]
    with Sandbox(redirect_urls=registered) as sandbox, api_client(sandbox) as client:
        if not taken:
            assert_error_page(authorize(client, sandbox, redirect_url=redirect_url))
            return
        page = open_page(client, sandbox, redirect_url=redirect_url)
        reply = page.submit(email=sandbox.email, password=sandbox.password)
        assert reply.headers["Location"].startswith("https://app.example/cb?code=")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "0123456789abcdef"}, id="unknown application"),
        pytest.param({"client_id": None}, id="no application"),
        pytest.param({"redirect_uri": CALLBACK}, id="both names of the redirect"),
        pytest.param({"client_secret": "x"}, id="a secret in the URL"),
        pytest.param({"password": "x"}, id="a password in the URL"),
    ],
)
def test_unknown_application_is_refused(changes: dict[str, str | None], sandbox: Sandbox, api: httpx.Client) -> None:
    """With an error page."""
    assert_error_page(authorize(api, sandbox, **changes))


def test_repeated_parameter_is_refused(sandbox: Sandbox, api: httpx.Client) -> None:
    """Even if one of the values is valid."""
    query = f"client_id={sandbox.client_id}&redirect_url={CALLBACK}&redirect_url=https://evil.example"
    assert_error_page(api.get(f"{AUTHORIZE}?{query}"))


def test_login_starts_with_a_get(sandbox: Sandbox, api: httpx.Client) -> None:
    """And its form is a POST."""
    assert_error_page(api.post(AUTHORIZE), 404)
    assert_error_page(api.put(LOGIN), 404)


# The page and its form


@pytest.mark.parametrize(
    "typed",
    [
        {"email": "nobody@example.com"},
        {"password": "wrong"},
        {"email": None},
        {"password": None},
        {"password": ""},
    ],
)
def test_wrong_credentials_show_the_page_again(
    typed: dict[str, str | None], sandbox: Sandbox, api: httpx.Client
) -> None:
    """The page does not tell which is wrong, and the login continues."""
    page = open_page(api, sandbox)
    right: dict[str, str | None] = {"email": sandbox.email, "password": sandbox.password}
    reply = page.submit(**{**right, **typed})
    assert reply.status_code == 403
    assert 'role="alert"' in reply.text
    assert "The email address or the password is wrong." in reply.text
    assert sandbox.password not in reply.text
    assert "code" in returned(page.submit(**right))


def test_email_is_escaped(sandbox: Sandbox, api: httpx.Client) -> None:
    """A script in the email stays text; the password is not shown."""
    reply = open_page(api, sandbox).submit(email='"><script>alert(1)</script>', password="typed-password")
    assert "<script>" not in reply.text
    assert 'value="&quot;&gt;&lt;script&gt;' in reply.text
    assert "typed-password" not in reply.text


@pytest.mark.parametrize("field", ["csrf", "login"])
@pytest.mark.parametrize("value", [None, "", "forged"])
def test_form_of_another_page_is_refused(field: str, value: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """Even with valid credentials."""
    page = open_page(api, sandbox)
    reply = page.submit(**{"email": sandbox.email, "password": sandbox.password, field: value})
    assert_error_page(reply)


def test_csrf_token_is_valid_for_one_login(sandbox: Sandbox, api: httpx.Client) -> None:
    """Not for another login in the same browser."""
    first, second = open_page(api, sandbox), open_page(api, sandbox)
    reply = first.submit(email=sandbox.email, password=sandbox.password, csrf=second.fields["csrf"])
    assert_error_page(reply)


def test_login_needs_the_cookie_of_its_browser(sandbox: Sandbox, api: httpx.Client) -> None:
    """All hidden fields of the page are not enough."""
    page = open_page(api, sandbox)
    with api_client(sandbox) as other:
        assert_error_page(other.get(LOGIN, params={"login": page.fields["login"]}))
        form = {**page.fields, "email": sandbox.email, "password": sandbox.password}
        assert_error_page(other.post(LOGIN, data=form))
        open_page(other, sandbox)
        assert_error_page(other.post(LOGIN, data=form))


def test_unknown_cookie_is_replaced(sandbox: Sandbox, api: httpx.Client) -> None:
    """An attacker cannot plant a cookie."""
    name, _, given = authorize(api, sandbox).headers["Set-Cookie"].partition(";")[0].partition("=")
    for value, kept in ((given, True), ("planted", False)):
        api.cookies.clear()
        api.headers["Cookie"] = f"{name}={value}"
        assert authorize(api, sandbox).headers["Set-Cookie"].startswith(f"{name}={value};") is kept


def test_cookie_is_protected(sandbox: Sandbox, api: httpx.Client) -> None:
    """It has every protective attribute."""
    name, *attributes = authorize(api, sandbox).headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"}


def test_form_can_be_submitted_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """A second time gives no second code."""
    page = open_page(api, sandbox)
    assert page.submit(email=sandbox.email, password=sandbox.password).status_code == 303
    assert_error_page(page.submit(email=sandbox.email, password=sandbox.password))


@pytest.mark.parametrize(("seconds", "status"), [(600.0 - 0.1, 303), (600.0, 400)])
def test_login_expires_after_ten_minutes(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: MockClock
) -> None:
    """Exactly ten minutes are too late."""
    page = open_page(api, sandbox)
    clock.advance(seconds)
    assert page.submit(email=sandbox.email, password=sandbox.password).status_code == status


def test_form_must_have_no_query(sandbox: Sandbox, api: httpx.Client) -> None:
    """A password in the URL is refused, even the right one."""
    page = open_page(api, sandbox)
    form = {**page.fields, "email": sandbox.email, "password": sandbox.password}
    reply = api.post(LOGIN, params=form, data=form)
    assert_error_page(reply)
    assert sandbox.password not in reply.text


def test_page_is_accessible_html_without_script(sandbox: Sandbox, api: httpx.Client) -> None:
    """It has a language and a title; fields have labels and autocomplete; nothing is loaded."""
    text = open_page(api, sandbox).reply.text
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>Log in – seic sandbox</title>" in text
    for field in ("email", "password"):
        assert f'<label for="{field}">' in text
        assert f'<input id="{field}" name="{field}"' in text
    assert 'autocomplete="username"' in text
    assert 'autocomplete="current-password"' in text
    assert not re.search(r"<script|<img|<link|\bon\w+=|https?://", text)


def test_error_is_in_the_title_and_at_the_fields(sandbox: Sandbox, api: httpx.Client) -> None:
    """Screen readers announce it."""
    text = open_page(api, sandbox).submit(email="x", password="x").text
    assert "<title>Error: Log in" in text
    assert text.count('aria-invalid="true" aria-describedby="problem"') == 2


def test_page_names_the_application_and_ended_sessions(sandbox: Sandbox, api: httpx.Client) -> None:
    """The host of the redirect URL, and a notice if other sessions end."""
    page = open_page(api, sandbox, endOtherSessions="true")
    assert "<strong>127.0.0.1:1</strong>" in page.reply.text
    assert "Your other sessions will end." in page.reply.text
    assert "other sessions" not in open_page(api, sandbox).reply.text


@pytest.mark.parametrize(
    ("redirect_url", "source"),
    [
        (CALLBACK, "http://127.0.0.1:1"),
        ("http://localhost/x;form-action", "http://localhost"),
        ("http://[::1]:1/", "http:"),
    ],
)
def test_content_security_policy_allows_nothing_else(
    redirect_url: str, source: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """The form may go to the sandbox and to the application only."""
    headers = open_page(api, sandbox, redirect_url=redirect_url).reply.headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == f"'self' {source}"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["requesttrackingid"]


def test_url_of_the_page_has_only_the_login_id(sandbox: Sandbox, api: httpx.Client) -> None:
    """It may be stored in a history or a log."""
    begun = authorize(api, sandbox)
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(begun.headers["Location"]).query)
    assert list(query) == ["login"]
