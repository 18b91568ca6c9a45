"""Login, callback, cookies, and the client of the logged-in user in handlers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

import seic
from seic.fastapi import Logins, SessionStateStorage, lifespan
from tests._support.login_site import KEY, PAGE, SESSION, Site, cookies_of, login_cookie
from tests._support.platform_mock import CALLBACK, PlatformMock


def test_a_user_logs_in_and_handlers_get_their_client(site: Site, browser: TestClient) -> None:
    """From a page that needs a login, to the provider, back to that page, with the user's own token."""
    sent = browser.get("/me?tab=2")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/login?next=%2Fme%3Ftab%3D2")
    back = site.log_in(browser, sent.headers["Location"])
    assert (back.status_code, back.headers["Location"]) == (303, "/me?tab=2")

    assert browser.get("/me").json() == "ada@example.com"
    assert browser.get("/who").json()["name"] == "ada@example.com"
    assert [form["grant_type"] for form in site.platform.forms] == ["authorization_code"]


def test_the_authorization_url_is_as_documented(site: Site, browser: TestClient) -> None:
    """It contains no secret."""
    url = urlsplit(browser.get("/login").headers["Location"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}

    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://api.example/v2/oauth/authorize"
    assert query.pop("state")
    assert query == {
        "response_type": "code",
        "client_id": "app-1",
        "redirect_url": CALLBACK,
        "scope": "ilservices",
    }


def test_pkce_is_used_if_the_provider_supports_it() -> None:
    """The browser carries the challenge only, so a stolen code alone is useless (RFC 7636)."""
    platform = PlatformMock(takes_pkce=True)
    site = Site(platform)
    with site as browser:
        location = browser.get("/login").headers["Location"]
        assert parse_qs(urlsplit(location).query)["code_challenge_method"] == ["S256"]
        browser.get(platform.log_in(location))

        assert browser.get("/me").json() == "ada@example.com"
    assert len(platform.forms[0]["code_verifier"]) >= 43


@pytest.mark.parametrize("login_state", [None, SessionStateStorage()], ids=["cookie", "session store"])
def test_the_code_is_exchanged_at_once(login_state: Any, platform: PlatformMock) -> None:
    """By the callback itself: a code that expires after 20 seconds works at 19.9 and fails at 20."""
    site = Site(platform, login_state=login_state)
    with site as browser:
        for seconds, status in ((19.9, 303), (20.0, 400)):
            callback = platform.log_in(browser.get("/login").headers["Location"])
            platform.now += seconds
            assert browser.get(callback).status_code == status


@pytest.mark.parametrize("login_state", [None, SessionStateStorage()], ids=["cookie", "session store"])
def test_the_browser_cannot_read_the_login_state(login_state: Any) -> None:
    """State and verifier are encrypted, also in the application's session, which is signed only."""
    platform = PlatformMock(takes_pkce=True)
    with Site(platform, login_state=login_state) as browser:
        reply = browser.get("/login")
        state = parse_qs(urlsplit(reply.headers["Location"]).query)["state"][0]

    assert state not in str(reply.headers.get_list("set-cookie"))
    assert any("-login-" in name for name in cookies_of(reply)) is (login_state is None)


def test_cookies_are_protected_from_scripts_and_other_sites(site: Site, browser: TestClient) -> None:
    """HttpOnly, Secure, SameSite, and `__Host-`: no domain and the path /, so no other host can set one."""
    (begun,) = cookies_of(browser.get("/login")).values()
    browser.cookies.clear()
    ended = cookies_of(site.log_in(browser))
    login = ended[login_cookie(ended)]

    for cookie in (begun, ended[SESSION]):
        assert cookie["httponly"]
        assert cookie["secure"]
        assert cookie["samesite"].lower() == "lax"
        assert cookie["path"] == "/"
        assert cookie["domain"] == ""
    assert (begun["max-age"], ended[SESSION]["max-age"]) == ("600", "43200")
    assert login["max-age"] == "0"
    assert login.value == ""


def test_the_browser_never_has_a_token(site: Site, browser: TestClient) -> None:
    """The token is in the store; the cookie has the encrypted session id."""
    reply = site.log_in(browser)

    told = str(reply.headers) + reply.text + str(dict(browser.cookies))
    for secret in ("access-1", "refresh-1", "secret-1", "ada@example.com"):
        assert secret not in told


def test_redirects_are_not_cached(site: Site, browser: TestClient) -> None:
    """No cache and no next page learns an address with a code or a state."""
    begun = browser.get("/login")
    for reply in (begun, browser.get(site.platform.log_in(begun.headers["Location"]))):
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "no-referrer"


def test_users_are_kept_apart(site: Site, browser: TestClient) -> None:
    """Each browser has its own session, token and client."""
    other = site.browser()
    site.log_in(browser, email="ada@example.com")
    site.log_in(other, email="ben@example.com")

    assert browser.get("/me").json() == "ada@example.com"
    assert other.get("/me").json() == "ben@example.com"
    assert browser.get("/who").json()["id"] != other.get("/who").json()["id"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        pytest.param("GET", {"Accept": "application/json"}, id="a program"),
        pytest.param("GET", {"Accept": "*/*"}, id="fetch"),
        pytest.param("POST", PAGE, id="a form"),
    ],
)
def test_only_pages_are_redirected_to_the_login(method: str, headers: dict[str, str], browser: TestClient) -> None:
    """Programs cannot fill in a login page, and a form's content would be lost."""
    reply = browser.request(method, "/me", headers=headers)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Session realm="seic"'  # RFC 9110 §15.5.2 requires one


def test_a_web_socket_without_login_is_refused(site: Site) -> None:
    """It cannot be redirected."""

    async def ws(socket: WebSocket, client: seic.AsyncClient = Depends(site.logins.client)) -> None: ...  # noqa: B008

    site.app.websocket("/ws")(ws)
    with site as browser, pytest.raises(WebSocketDisconnect), browser.websocket_connect("/ws"):
        pass


def test_starlette_without_fastapi_is_enough(platform: PlatformMock) -> None:
    """The routes are Starlette's, the dependencies are functions of a request."""
    logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY, transport=platform)

    async def me(request: Request) -> JSONResponse:
        client = await logins.client(request)
        return JSONResponse((await client.get("/v1/me")).json()["email"])

    app = Starlette(routes=[*logins.routes, Route("/me", me)], lifespan=logins.lifespan)
    with TestClient(app, base_url="https://app.example", headers=PAGE, follow_redirects=False) as browser:
        browser.get(platform.log_in(browser.get(browser.get("/me").headers["Location"]).headers["Location"]))
        assert browser.get("/me").json() == "ada@example.com"


def _mounted(platform: PlatformMock, **options: Any) -> tuple[Logins, FastAPI]:
    """Return an application that mounts another one at `/part`, whose page needs a login."""
    logins = Logins(platform.config(), key=KEY, transport=platform, **options)
    part = FastAPI()

    async def me(client: seic.AsyncClient = Depends(logins.client)) -> Any:  # noqa: B008
        return (await client.get("/v1/me")).json()["email"]

    part.get("/me")(me)
    app = FastAPI(lifespan=lifespan({}, also=logins.lifespan))
    app.mount("/part", part)
    return logins, app


@pytest.mark.parametrize("root", ["", "/svc"], ids=["at the root", "behind a proxy that strips a prefix"])
@pytest.mark.parametrize("prefix", ["", "/auth"], ids=["no prefix", "a router's prefix"])
@pytest.mark.parametrize("is_mounted", [False, True], ids=["included", "mounted"])
def test_the_login_is_found_behind_prefixes_and_mounts(root: str, prefix: str, is_mounted: bool) -> None:
    """Redirects have the address that the browser has to request."""
    platform = PlatformMock()
    callback = f"https://app.example{root}{prefix}/callback"
    logins, app = _mounted(platform, callback_url=callback, callback_path="/callback", login_path="/in")
    if is_mounted:
        app.mount(prefix, Starlette(routes=[*logins.routes]))
    else:
        app.include_router(logins.router, prefix=prefix)

    with TestClient(
        app, base_url="https://app.example", root_path=root, headers=PAGE, follow_redirects=False
    ) as browser:
        sent = browser.get(f"{root}/part/me")
        assert sent.headers["Location"] == f"{root}{prefix}/in?next=%2F{root[1:] and root[1:] + '%2F'}part%2Fme"
        back = browser.get(platform.log_in(browser.get(sent.headers["Location"]).headers["Location"]))
        assert (back.status_code, back.headers["Location"]) == (303, f"{root}/part/me")
        assert browser.get(back.headers["Location"]).json() == "ada@example.com"


def test_a_long_name_is_cut(site: Site, browser: TestClient) -> None:
    """The cookie stays below 4096 bytes whatever the provider sends."""
    reply = browser.get(site.platform.log_in(browser.get("/login").headers["Location"], username="ö" * 5000))

    assert max(len(value.encode()) for value in reply.headers.get_list("set-cookie")) < 4096
    assert browser.get("/who").json()["name"] == "ö" * 320


def test_head_requests_do_not_use_a_login(site: Site, browser: TestClient) -> None:
    """Mail scanners and link previews send HEAD; it uses up neither a login nor its code."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])

    for url in ("/login", callback):
        reply = browser.head(url)
        assert (reply.status_code, reply.headers["Allow"], cookies_of(reply)) == (405, "GET", {})
    assert site.platform.forms == []
    assert browser.get(callback).status_code == 303


def test_the_redirect_to_the_login_is_not_cached(browser: TestClient) -> None:
    """After the login the same address shows the user's page."""
    assert browser.get("/me").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "title"),
    [
        pytest.param("error=access_denied", "Login cancelled", id="cancelled"),
        pytest.param("error=interaction_required", "Login failed", id="failed"),
        pytest.param("error=<script>alert(1)</script>", "Login failed", id="a script"),
    ],
)
def test_a_failed_login_is_explained_to_the_user(query: str, title: str, site: Site, browser: TestClient) -> None:
    """With a link to the login; nothing from the address is shown."""
    state = parse_qs(urlsplit(browser.get("/login").headers["Location"]).query)["state"][0]
    reply = browser.get(f"/login/callback?{query}&error_description=%3Cscript%3E&state={state}")

    assert reply.status_code == 400
    assert title in reply.text
    assert '<a href="/login">' in reply.text
    assert "script" not in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert cookies_of(reply)[login_cookie(cookies_of(reply))]["max-age"] == "0"


def test_an_outage_during_a_login_is_a_503(site: Site, browser: TestClient) -> None:
    """The login in progress is deleted, and Retry-After tells when to try again."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])
    site.platform.token_responses.extend([httpx.Response(503, headers={"Retry-After": "7"})] * 2)
    reply = browser.get(callback)

    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "7")
    assert cookies_of(reply)[login_cookie(cookies_of(reply))]["max-age"] == "0"
    assert SESSION not in cookies_of(reply)
