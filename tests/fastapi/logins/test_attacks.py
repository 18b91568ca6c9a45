"""Attacks on logins: forged callbacks, planted cookies, mixed-up providers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from seic.fastapi import Logins, SessionStateStorage
from tests._support.login_site import KEY, PAGE, SESSION, Site, login_cookie, plant
from tests._support.platform_mock import CALLBACK, PlatformMock


def test_attack_login_csrf_with_the_attackers_code(site: Site, browser: TestClient) -> None:
    """A victim of the attacker's callback would enter data into the attacker's account."""
    attacker = site.browser()
    trap = site.platform.log_in(attacker.get("/login").headers["Location"], username="mallory@example.com")

    assert browser.get(trap).status_code == 400
    browser.get("/login")  # even during a login of the victim
    assert browser.get(trap).status_code == 400
    assert browser.get("/me").status_code == 303
    assert site.platform.forms == []


def test_attack_login_csrf_against_a_logged_in_user(site: Site, browser: TestClient) -> None:
    """The user stays the same."""
    site.log_in(browser)
    attacker = site.browser()
    trap = site.platform.log_in(attacker.get("/login").headers["Location"], username="mallory@example.com")

    assert browser.get(trap).status_code == 400
    assert browser.get("/me").json() == "ada@example.com"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda url: url.split("&state=")[0], id="no state"),
        pytest.param(lambda url: url.split("state=")[0] + "state=", id="empty state"),
        pytest.param(lambda url: url + "x", id="longer state"),
        pytest.param(lambda url: url + "&state=other", id="two states"),
        pytest.param(lambda url: url + "&code=other", id="two codes"),
        pytest.param(lambda url: url.split("?")[0], id="nothing"),
    ],
)
def test_attack_a_callback_without_its_state(change: Any, site: Site, browser: TestClient) -> None:
    """Only a login of this browser is finished; else no code is sent to the provider."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])

    assert browser.get(change(callback)).status_code == 400
    assert site.platform.forms == []


def test_attack_a_replayed_callback(site: Site, browser: TestClient) -> None:
    """A state works once, whether the login succeeds or fails."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])

    assert browser.get(callback).status_code == 303
    assert browser.get(callback).status_code == 400
    assert len(site.platform.forms) == 1
    failed = site.platform.log_in(browser.get("/login").headers["Location"])
    site.platform.token_responses.append(httpx.Response(400, json={"error": "invalid_grant"}))
    assert browser.get(failed).status_code == 400
    assert browser.get(failed).status_code == 400
    assert len(site.platform.forms) == 2


@pytest.mark.parametrize("login_state", [None, SessionStateStorage()], ids=["cookie", "session store"])
@pytest.mark.parametrize("answer", [None, httpx.Response(400, json={"error": "invalid_grant"})], ids=["good", "failed"])
def test_attack_a_replayed_callback_with_its_cookie(
    answer: httpx.Response | None, login_state: Any, platform: PlatformMock
) -> None:
    """A copy of the browser's cookies allows no second exchange; a code sent twice may end the session."""
    site = Site(platform, login_state=login_state)
    with site as browser:
        callback = platform.log_in(browser.get("/login").headers["Location"])
        copy = dict(browser.cookies)
        platform.token_responses.extend([answer] if answer else [])
        first = browser.get(callback)
        plant(browser, copy)

        assert (first.status_code, browser.get(callback).status_code) == (400 if answer else 303, 400)
        assert len(platform.forms) == 1
        assert site.log_in(browser).status_code == 303


@pytest.mark.parametrize("login_state", [None, SessionStateStorage()], ids=["cookie", "session store"])
@pytest.mark.parametrize("query", ["code=x&state=x", "error=access_denied", ""])
def test_attack_a_foreign_callback_does_not_end_the_login_in_progress(
    query: str, login_state: Any, platform: PlatformMock
) -> None:
    """Any site can send a browser to the callback; only the right state uses the login up."""
    site = Site(platform, login_state=login_state)
    with site as browser:
        callback = platform.log_in(browser.get("/login").headers["Location"])

        assert browser.get(f"/login/callback?{query}").status_code == 400
        assert browser.get(callback).status_code == 303


def test_attack_session_fixation(site: Site, browser: TestClient) -> None:
    """A session planted in the victim's browser does not get the victim's token."""
    attacker = site.browser()
    site.log_in(attacker, email="mallory@example.com")
    planted = dict(attacker.cookies)
    plant(browser, planted)
    site.log_in(browser)

    assert browser.cookies[SESSION] != planted[SESSION]
    assert browser.get("/me").json() == "ada@example.com"
    # The planted session was ended by the login that replaced it.
    assert attacker.get("/me").status_code == 303


def test_attack_a_planted_login_cookie(site: Site, browser: TestClient) -> None:
    """Only this host can set `__Host-` cookies; cookies of other names are ignored."""
    attacker = site.browser()
    trap = site.platform.log_in(attacker.get("/login").headers["Location"], username="mallory@example.com")
    name = login_cookie(attacker.cookies)
    plant(browser, {name.removeprefix("__Host-"): attacker.cookies[name], "seic-session": "x"})

    assert browser.get(trap).status_code == 400


def test_attack_a_login_cookie_as_a_session(site: Site, browser: TestClient) -> None:
    """A value encrypted for one purpose does not decrypt for another."""
    browser.get("/login")
    plant(browser, {SESSION: browser.cookies[login_cookie(browser.cookies)]})

    assert browser.get("/me").status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "gAAAAA", Fernet(Fernet.generate_key()).encrypt(b"{}").decode()])
def test_attack_a_forged_session(cookie: str, browser: TestClient) -> None:
    """Without the key there is no session."""
    plant(browser, {SESSION: cookie})

    assert browser.get("/me").status_code == 303


def test_attack_a_changed_cookie(site: Site, browser: TestClient) -> None:
    """A changed, missing or additional character makes it invalid."""
    site.log_in(browser)
    good = browser.cookies[SESSION]
    changed = [good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :] for at in range(0, len(good) - 8, 7)]

    for cookie in [*changed, good[:-8], good[8:], good[:40] + good, good.swapcase()]:
        plant(browser, {SESSION: cookie})
        assert browser.get("/me").status_code == 303
    plant(browser, {SESSION: good})
    assert browser.get("/me").status_code == 200


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        pytest.param({}, {"callback_url": "https://other.example/login/callback"}, id="another host's"),
        pytest.param({"client_id": "app-2"}, {}, id="another client's"),
        pytest.param({}, {"name": "other"}, id="another login's"),
    ],
)
def test_attack_a_cookie_of_another_application(
    changes: dict[str, Any], options: dict[str, Any], site: Site, browser: TestClient
) -> None:
    """Even with the same key and store: a cookie of staging is invalid in production."""
    site.log_in(browser)
    state = parse_qs(urlsplit(browser.get("/login").headers["Location"]).query)["state"][0]
    config = site.platform.config(**changes)
    settings: dict[str, Any] = {"callback_url": CALLBACK, "key": KEY, "transport": site.platform, **options}
    logins = Logins(config, **settings)

    async def me(request: Request) -> JSONResponse:
        return JSONResponse((await (await logins.client(request)).get("/v1/me")).json())

    app = Starlette(routes=[*logins.routes, Route("/me", me)], lifespan=logins.lifespan)
    with TestClient(app, base_url="https://app.example", headers=PAGE, follow_redirects=False) as other:
        renamed = {name.replace("seic", options.get("name", "seic")): value for name, value in browser.cookies.items()}
        assert len(renamed) == 2
        plant(other, renamed)
        assert other.get("/me").status_code == 303
        assert other.get(f"{urlsplit(settings['callback_url']).path}?code=x&state={state}").status_code == 400
    assert len(site.platform.forms) == 1


def test_attack_mix_up_of_two_providers(platform: PlatformMock) -> None:
    """A code of one provider is never sent to the other (RFC 9700 §4.4)."""
    evil = PlatformMock()
    honest_logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY, transport=platform)
    evil_logins = Logins(
        evil.config(),
        callback_url="https://app.example/evil/callback",
        key=KEY,
        name="evil",
        login_path="/evil/login",
        logout_path="/evil/logout",
        transport=evil,
    )

    @contextlib.asynccontextmanager
    async def both(app: Starlette) -> AsyncIterator[None]:
        async with honest_logins.lifespan(app), evil_logins.lifespan(app):
            yield

    app = Starlette(routes=[*honest_logins.routes, *evil_logins.routes], lifespan=both)
    with TestClient(app, base_url="https://app.example", follow_redirects=False) as browser:
        # The victim begins at the attacker's provider, which redirects to the honest one with the same state.
        state = parse_qs(urlsplit(browser.get("/evil/login").headers["Location"]).query)["state"][0]
        honest = browser.get("/login").headers["Location"]
        code = parse_qs(urlsplit(platform.log_in(honest)).query)["code"][0]

        assert browser.get("/evil/callback", params={"code": code, "state": "x"}).status_code == 400
        browser.get("/login")
        assert browser.get("/login/callback", params={"code": code, "state": state}).status_code == 400
        # The attacker's own encrypted cookie is invalid under the honest name.
        copies = {name.replace("evil", "seic"): value for name, value in browser.cookies.items() if "evil" in name}
        plant(browser, copies)
        assert browser.get("/login/callback", params={"code": code, "state": state}).status_code == 400
    assert platform.forms == evil.forms == []


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        pytest.param("&iss=https%3A%2F%2Fidp.example", 303, id="the right one"),
        pytest.param("&iss=https%3A%2F%2Fevil.example", 400, id="another"),
        pytest.param("", 400, id="missing"),
    ],
)
def test_attack_mix_up_with_issuer(parameters: str, status: int, platform: PlatformMock) -> None:
    """The `iss` of the callback has to be the configured issuer (RFC 9207)."""
    with Site(platform, issuer="https://idp.example") as browser:
        callback = platform.log_in(browser.get("/login").headers["Location"])

        assert browser.get(callback + parameters).status_code == status


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        pytest.param("/login/callback", b"code=\xff&state=\xff", 400, id="callback"),
        pytest.param("/login/callback", b"\xff", 400, id="callback, nothing else"),
        pytest.param("/login/callback", b"error=\xff&error_description=\xe9", 400, id="callback, error"),
        pytest.param("/login", b"next=/\xff", 303, id="login"),
        pytest.param("/me", b"\xff=\xff", 303, id="a page"),
    ],
)
def test_attack_bytes_that_are_not_utf_8(path: str, query: bytes, status: int, site: Site, browser: TestClient) -> None:
    """Any site can send a browser to such an address; httpx would escape the bytes."""
    sent: list[Any] = []

    async def request() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query,
            "headers": [(b"host", b"app.example"), (b"accept", b"text/html")],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            sent.append(message)

        await site.app(scope, receive, send)

    assert browser.portal is not None
    browser.portal.call(request)

    assert sent[0]["status"] == status
    assert site.platform.forms == []
