from __future__ import annotations

import re
import urllib.parse
import uuid

import httpx
import pytest

from seic.sandbox import ManualClock, Sandbox
from seic.sandbox._dialects.platform_login import LOGIN_LIFETIME
from tests._support.far_side import api_client
from tests._support.platform_side import (
    AUTHORIZE,
    CALLBACK,
    LOGIN,
    authorize,
    exchange,
    log_in,
    open_page,
    returned,
)


def assert_told_to_the_person(reply: httpx.Response, status: int = 400) -> None:
    """Demand a page, and no redirect that a stranger could profit from."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Location" not in reply.headers
    assert "You cannot log in this way" in reply.text


# The way there and back


def test_login_comes_back_with_a_code_and_the_state(sandbox: Sandbox, api: httpx.Client) -> None:
    """Authorize redirects to the page, the page's form to the application."""
    state = str(uuid.uuid4())
    page = open_page(api, sandbox, state=state)
    reply = page.submit(email=sandbox.email, password=sandbox.password)
    assert reply.status_code == 303
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    answer = returned(reply)
    assert answer.pop("code")
    assert answer == {"state": state}
    assert sandbox.counts.login_requests == 3


def test_each_code_is_another(sandbox: Sandbox, api: httpx.Client) -> None:
    """Two logins of one browser have nothing in common."""
    codes = [log_in(api, sandbox) for _ in range(2)]
    assert codes[0] != codes[1]
    assert [exchange(api, sandbox, code).status_code for code in codes] == [200, 200]


def test_two_logins_at_once_in_one_browser_do_not_end_each_other(sandbox: Sandbox, api: httpx.Client) -> None:
    """Two tabs are filled in, in either order."""
    first, second = open_page(api, sandbox), open_page(api, sandbox)
    for page in (second, first):
        assert "code" in returned(page.submit(email=sandbox.email, password=sandbox.password))


def test_person_may_cancel(sandbox: Sandbox, api: httpx.Client) -> None:
    """The application is told, and the login is over."""
    state = str(uuid.uuid4())
    page = open_page(api, sandbox, state=state)
    answer = returned(page.submit(action="cancel"))
    assert (answer["error"], answer["state"]) == ("access_denied", state)
    assert_told_to_the_person(page.submit(email=sandbox.email, password=sandbox.password))


def test_query_of_the_redirect_url_is_kept(sandbox: Sandbox, api: httpx.Client) -> None:
    """Code and state join what is there."""
    page = open_page(api, sandbox, redirect_url=f"{CALLBACK}?tenant=a%20b")
    answer = returned(page.submit(email=sandbox.email, password=sandbox.password))
    assert answer["tenant"] == "a b"
    assert "code" in answer


@pytest.mark.parametrize("field", ["redirect_url", "redirect_uri"])
def test_redirect_has_two_names(field: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """The documents write both."""
    other = "redirect_uri" if field == "redirect_url" else "redirect_url"
    assert log_in(api, sandbox, **{field: CALLBACK, other: None})


# What the application did wrong and is told


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"state": None}, "invalid_request", id="no state"),
        pytest.param({"state": ""}, "invalid_request", id="empty state"),
        pytest.param({"state": "abc"}, "invalid_request", id="state is no UUID"),
        pytest.param({"state": f"{{{uuid.UUID(int=1)}}}"}, "invalid_request", id="UUID in another form"),
        pytest.param({"scope": "openid"}, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": ""}, "invalid_scope", id="empty scope"),
        pytest.param({"scope": "ilservices openid"}, "invalid_scope", id="one scope too many"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit grant"),
        pytest.param({"endOtherSessions": "1"}, "invalid_request", id="endOtherSessions is no boolean"),
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
def test_application_is_told_what_is_wrong(
    changes: dict[str, str | None], error: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """By redirect, with the state that it sent, before anybody is asked for a password."""
    reply = authorize(api, sandbox, **changes)
    assert reply.headers["Location"].startswith(f"{CALLBACK}?")
    answer = returned(reply)
    assert answer["error"] == error
    assert answer.get("state", "") == (changes["state"] or "" if "state" in changes else answer["state"])


@pytest.mark.parametrize("changes", [{"scope": None}, {"response_type": "code"}, {"endOtherSessions": "false"}])
def test_login_takes_what_it_need_not_be_told(
    changes: dict[str, str | None], sandbox: Sandbox, api: httpx.Client
) -> None:
    """The one scope, the one response type, the default."""
    assert log_in(api, sandbox, **changes)


# What the person is told, and no application


@pytest.mark.parametrize(
    "redirect_url",
    [
        pytest.param("https://evil.example/callback", id="somewhere else"),
        pytest.param("http://evil.example:1/callback", id="somewhere else, in clear"),
        pytest.param("http://localhost.evil.example/", id="loopback as a prefix"),
        pytest.param("http://127.0.0.1@evil.example/", id="loopback as a user"),
        pytest.param("http://evil.example\\@127.0.0.1/", id="backslash"),
        pytest.param("http://127.0.0.1\\.evil.example/", id="backslash in the host"),
        pytest.param("http://user@127.0.0.1/", id="a user"),
        pytest.param("http://127.0.0.1/#fragment", id="a fragment"),
        pytest.param("http://127.0.0.1:99999/", id="no port"),
        pytest.param("http://[::1/", id="no address"),
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
def test_login_does_not_return_to_strangers(redirect_url: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """Nothing is redirected there, not even an error."""
    assert_told_to_the_person(authorize(api, sandbox, redirect_url=redirect_url))
    assert_told_to_the_person(authorize(api, sandbox, redirect_url=redirect_url, state="no state"))


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"])
def test_login_returns_to_this_machine_at_any_port(host: str, sandbox: Sandbox, api: httpx.Client) -> None:
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
def test_login_returns_to_registered_addresses_exactly(redirect_url: str | None, taken: bool) -> None:
    """Where the application names none, to the first of them."""
    registered = ["https://app.example/cb", "https://other.example/cb"]
    with Sandbox(redirect_urls=registered) as sandbox, api_client(sandbox) as client:
        if not taken:
            assert_told_to_the_person(authorize(client, sandbox, redirect_url=redirect_url))
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
        pytest.param({"client_secret": "x"}, id="a secret in the address"),
        pytest.param({"password": "x"}, id="a password in the address"),
    ],
)
def test_unknown_application_gets_no_login(changes: dict[str, str | None], sandbox: Sandbox, api: httpx.Client) -> None:
    """The person is told."""
    assert_told_to_the_person(authorize(api, sandbox, **changes))


def test_parameter_stands_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """Of two values nobody knows which counts."""
    query = f"client_id={sandbox.client_id}&redirect_url={CALLBACK}&redirect_url=https://evil.example"
    assert_told_to_the_person(api.get(f"{AUTHORIZE}?{query}"))


def test_login_begins_with_a_get(sandbox: Sandbox, api: httpx.Client) -> None:
    """And its form is posted."""
    assert_told_to_the_person(api.post(AUTHORIZE), 404)
    assert_told_to_the_person(api.put(LOGIN), 404)


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
def test_wrong_credentials_ask_again(typed: dict[str, str | None], sandbox: Sandbox, api: httpx.Client) -> None:
    """The page says so without saying which was wrong, and the same login goes on."""
    page = open_page(api, sandbox)
    right: dict[str, str | None] = {"email": sandbox.email, "password": sandbox.password}
    reply = page.submit(**{**right, **typed})
    assert reply.status_code == 403
    assert 'role="alert"' in reply.text
    assert "The email address or the password is wrong." in reply.text
    assert sandbox.password not in reply.text
    assert "code" in returned(page.submit(**right))


def test_what_was_typed_is_shown_escaped(sandbox: Sandbox, api: httpx.Client) -> None:
    """A script in the email stays text, and the password is not shown at all."""
    reply = open_page(api, sandbox).submit(email='"><script>alert(1)</script>', password="typed-password")
    assert "<script>" not in reply.text
    assert 'value="&quot;&gt;&lt;script&gt;' in reply.text
    assert "typed-password" not in reply.text


@pytest.mark.parametrize("field", ["csrf", "login"])
@pytest.mark.parametrize("value", [None, "", "forged"])
def test_form_of_another_page_is_refused(field: str, value: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """Right credentials do not help a form that did not come from here."""
    page = open_page(api, sandbox)
    reply = page.submit(**{"email": sandbox.email, "password": sandbox.password, field: value})
    assert_told_to_the_person(reply)


def test_csrf_token_of_one_login_is_nothing_in_another(sandbox: Sandbox, api: httpx.Client) -> None:
    """Each page has its own, in the same browser too."""
    first, second = open_page(api, sandbox), open_page(api, sandbox)
    reply = first.submit(email=sandbox.email, password=sandbox.password, csrf=second.fields["csrf"])
    assert_told_to_the_person(reply)


def test_login_belongs_to_the_browser_that_began_it(sandbox: Sandbox, api: httpx.Client) -> None:
    """Somebody else's page, with all of its hidden fields, is worth nothing without the cookie."""
    page = open_page(api, sandbox)
    with api_client(sandbox) as other:
        assert_told_to_the_person(other.get(LOGIN, params={"login": page.fields["login"]}))
        form = {**page.fields, "email": sandbox.email, "password": sandbox.password}
        assert_told_to_the_person(other.post(LOGIN, data=form))
        open_page(other, sandbox)
        assert_told_to_the_person(other.post(LOGIN, data=form))


def test_browser_does_not_choose_its_own_name(sandbox: Sandbox, api: httpx.Client) -> None:
    """A cookie that was never given is replaced, so that nobody can plant one."""
    name, _, given = authorize(api, sandbox).headers["Set-Cookie"].partition(";")[0].partition("=")
    for value, kept in ((given, True), ("planted", False)):
        api.cookies.clear()
        api.headers["Cookie"] = f"{name}={value}"
        assert authorize(api, sandbox).headers["Set-Cookie"].startswith(f"{name}={value};") is kept


def test_cookie_is_for_this_host_and_no_script(sandbox: Sandbox, api: httpx.Client) -> None:
    """All that a browser can be asked to guard."""
    name, *attributes = authorize(api, sandbox).headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"}


def test_login_is_filled_in_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """The form cannot be sent a second time for a second code."""
    page = open_page(api, sandbox)
    assert page.submit(email=sandbox.email, password=sandbox.password).status_code == 303
    assert_told_to_the_person(page.submit(email=sandbox.email, password=sandbox.password))


@pytest.mark.parametrize(("seconds", "status"), [(LOGIN_LIFETIME - 0.1, 303), (LOGIN_LIFETIME, 400)])
def test_page_waits_for_ten_minutes(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: ManualClock
) -> None:
    """At the very second the login is over."""
    page = open_page(api, sandbox)
    clock.advance(seconds)
    assert page.submit(email=sandbox.email, password=sandbox.password).status_code == status


def test_form_takes_no_query(sandbox: Sandbox, api: httpx.Client) -> None:
    """A password in an address is refused, a right one too."""
    page = open_page(api, sandbox)
    form = {**page.fields, "email": sandbox.email, "password": sandbox.password}
    reply = api.post(LOGIN, params=form, data=form)
    assert_told_to_the_person(reply)
    assert sandbox.password not in reply.text


def test_page_is_accessible_html_without_script(sandbox: Sandbox, api: httpx.Client) -> None:
    """It has a language and a title, each field a label and what fills it in; nothing comes from elsewhere."""
    text = open_page(api, sandbox).reply.text
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>Log in – seic sandbox</title>" in text
    for field in ("email", "password"):
        assert f'<label for="{field}">' in text
        assert f'<input id="{field}" name="{field}"' in text
    assert 'autocomplete="username"' in text
    assert 'autocomplete="current-password"' in text
    assert not re.search(r"<script|<img|<link|\bon\w+=|https?://", text)


def test_failed_page_says_so_in_its_title_and_beside_its_fields(sandbox: Sandbox, api: httpx.Client) -> None:
    """What is seen is also heard."""
    text = open_page(api, sandbox).submit(email="x", password="x").text
    assert "<title>Error: Log in" in text
    assert text.count('aria-invalid="true" aria-describedby="problem"') == 2


def test_page_says_where_it_returns_and_what_will_end(sandbox: Sandbox, api: httpx.Client) -> None:
    """A person knows what they agree to."""
    page = open_page(api, sandbox, endOtherSessions="true")
    assert "<strong>127.0.0.1:1</strong>" in page.reply.text
    assert "Your sessions elsewhere will be ended." in page.reply.text
    assert "will be ended" not in open_page(api, sandbox).reply.text


@pytest.mark.parametrize(
    ("redirect_url", "source"),
    [
        (CALLBACK, "http://127.0.0.1:1"),
        ("http://localhost/x;form-action", "http://localhost"),
        ("http://[::1]:1/", "http:"),
    ],
)
def test_browser_is_told_to_load_nothing_and_to_frame_nothing(
    redirect_url: str, source: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """The form goes here, and on to the application only."""
    headers = open_page(api, sandbox, redirect_url=redirect_url).reply.headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == f"'self' {source}"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["requesttrackingid"]


def test_address_of_the_page_holds_nothing_of_the_application(sandbox: Sandbox, api: httpx.Client) -> None:
    """It may stand in a history or a log."""
    begun = authorize(api, sandbox)
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(begun.headers["Location"]).query)
    assert list(query) == ["login"]
