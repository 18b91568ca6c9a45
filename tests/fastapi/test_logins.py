from __future__ import annotations

import contextlib
import http.cookies
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

import seic
from seic.fastapi import add_exception_handlers, lifespan
from seic.fastapi.logins import Logins, User
from seic.fastapi.pockets import SessionPocket
from tests._support.fake_platform import CALLBACK, FakePlatform

KEY = Fernet.generate_key()
PAGE = {"Accept": "text/html"}
SESSION, LOGIN = "__Host-seic-session", "__Host-seic-login"


class Site:
    """An application with a login, and as many browsers as a test needs."""

    def __init__(self, platform: FakePlatform, **options: Any) -> None:
        self.platform = platform
        self.logins = Logins(
            platform.config(), **{"callback_url": CALLBACK, "key": KEY, "transport": platform.transport, **options}
        )
        self.app = FastAPI(
            lifespan=lifespan(platform.config(), also=self.logins.lifespan, transport=platform.transport),
            middleware=[Middleware(SessionMiddleware, secret_key="x", https_only=True)],
        )
        self.app.include_router(self.logins.router)
        add_exception_handlers(self.app)

        async def me(client: seic.AsyncClient = Depends(self.logins.client)) -> Any:  # noqa: B008
            return (await client.get("/v1/me")).json()["email"]

        async def who(user: User = Depends(self.logins.user)) -> Any:  # noqa: B008
            return {"id": user.id, "name": user.name}

        self.app.get("/me")(me)
        self.app.post("/me")(me)
        self.app.get("/who")(who)

    def browser(self) -> TestClient:
        """Return a browser with cookies of its own, which shows every redirect."""
        browser = TestClient(self.app, base_url="https://app.example", headers=PAGE, follow_redirects=False)
        browser.portal = self._entered.portal
        return browser

    def __enter__(self) -> TestClient:
        self._entered = TestClient(self.app, base_url="https://app.example", headers=PAGE, follow_redirects=False)
        return self._entered.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._entered.__exit__(*exc_info)

    def log_in(self, browser: TestClient, path: str = "/login", *, email: str = "ada@example.com") -> httpx.Response:
        """Log a person in, and return the answer to the callback."""
        callback = self.platform.log_in(browser.get(path).headers["Location"], email=email)
        return browser.get(callback)  # type: ignore[return-value]  # the test client's own httpx


def plant(browser: TestClient, cookies: dict[str, str]) -> None:
    """Put cookies into a browser, in place of those of the same name."""
    for name, value in cookies.items():
        browser.cookies.set(name, value, domain="app.example")


@pytest.fixture
def platform() -> FakePlatform:
    """A platform in memory."""
    return FakePlatform()


@pytest.fixture
def site(platform: FakePlatform) -> Site:
    """An application with a login at it."""
    return Site(platform)


@pytest.fixture
def browser(site: Site) -> Iterator[TestClient]:
    """A browser at the running application."""
    with site as browser:
        yield browser


def cookies_of(reply: Any) -> dict[str, http.cookies.Morsel[str]]:
    """Return the cookies that an answer sets, with their attributes."""
    jar: dict[str, http.cookies.Morsel[str]] = {}
    for value in reply.headers.get_list("set-cookie"):
        jar.update(http.cookies.SimpleCookie(value))
    return jar


# The way it goes


def test_a_person_logs_in_and_handlers_have_their_client(site: Site, browser: TestClient) -> None:
    """From a page that needs it, to the provider, back to that page, with the person's own token."""
    sent = browser.get("/me?tab=2")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/login?next=%2Fme%3Ftab%3D2")
    back = site.log_in(browser, sent.headers["Location"])
    assert (back.status_code, back.headers["Location"]) == (303, "/me?tab=2")

    assert browser.get("/me").json() == "ada@example.com"
    assert browser.get("/who").json()["name"] == "ada@example.com"
    assert [form["grant_type"] for form in site.platform.exchanges] == ["authorization_code"]


def test_the_provider_is_asked_as_documented(site: Site, browser: TestClient) -> None:
    """The URL that the browser is sent to has no secret in it."""
    url = urlsplit(browser.get("/login").headers["Location"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}

    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://api.seic.com/v2/oauth/authorize"
    assert query.pop("state")
    assert query == {
        "response_type": "code",
        "client_id": "app-1",
        "redirect_url": CALLBACK,
        "scope": "ilservices",
    }


def test_pkce_is_used_where_the_provider_takes_it() -> None:
    """The challenge goes with the browser, the verifier from here; a stolen code alone is worth nothing (RFC 7636)."""
    platform = FakePlatform(pkce=True)
    site = Site(platform)
    with site as browser:
        location = browser.get("/login").headers["Location"]
        assert parse_qs(urlsplit(location).query)["code_challenge_method"] == ["S256"]
        browser.get(platform.log_in(location))

        assert browser.get("/me").json() == "ada@example.com"
    assert len(platform.exchanges[0]["code_verifier"]) >= 43


@pytest.mark.parametrize("pocket", [None, SessionPocket()], ids=["cookie", "session store"])
def test_the_code_is_exchanged_at_once(pocket: Any, platform: FakePlatform) -> None:
    """The callback itself does it: 19.9 seconds after the login it works, at 20 it does not."""
    site = Site(platform, pocket=pocket)
    with site as browser:
        for seconds, status in ((19.9, 303), (20.0, 400)):
            callback = platform.log_in(browser.get("/login").headers["Location"])
            platform.now += seconds
            assert browser.get(callback).status_code == status


@pytest.mark.parametrize("pocket", [None, SessionPocket()], ids=["cookie", "session store"])
def test_nothing_of_a_login_can_be_read_in_the_browser(pocket: Any) -> None:
    """State and verifier are sealed, in a cookie of ours as in the application's session, which is signed only."""
    platform = FakePlatform(pkce=True)
    with Site(platform, pocket=pocket) as browser:
        reply = browser.get("/login")
        state = parse_qs(urlsplit(reply.headers["Location"]).query)["state"][0]

    assert state not in str(reply.headers.get_list("set-cookie"))
    assert (LOGIN in cookies_of(reply)) is (pocket is None)


def test_cookies_are_kept_from_scripts_and_other_sites(site: Site, browser: TestClient) -> None:
    """HttpOnly, Secure, SameSite, and `__Host-`: no domain, the whole path, so that no other host can set one."""
    begun = cookies_of(browser.get("/login"))[LOGIN]
    ended = cookies_of(site.log_in(browser))

    for cookie in (begun, ended[SESSION]):
        assert cookie["httponly"]
        assert cookie["secure"]
        assert cookie["samesite"].lower() == "lax"
        assert cookie["path"] == "/"
        assert cookie["domain"] == ""
    assert (begun["max-age"], ended[SESSION]["max-age"]) == ("600", "43200")
    assert ended[LOGIN]["max-age"] == "0"
    assert ended[LOGIN].value == ""


def test_the_browser_never_has_a_token(site: Site, browser: TestClient) -> None:
    """It is in the store; the cookie is a sealed name."""
    reply = site.log_in(browser)

    told = str(reply.headers) + reply.text + str(dict(browser.cookies))
    for secret in ("access-1", "refresh-1", "secret-1", "ada@example.com"):
        assert secret not in told


def test_answers_on_the_way_are_not_kept(site: Site, browser: TestClient) -> None:
    """Addresses with a code or a state go into no cache and to no next page."""
    begun = browser.get("/login")
    for reply in (begun, browser.get(site.platform.log_in(begun.headers["Location"]))):
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "no-referrer"


def test_people_are_kept_apart(site: Site, browser: TestClient) -> None:
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
def test_only_pages_are_sent_to_log_in(method: str, headers: dict[str, str], browser: TestClient) -> None:
    """A program cannot fill in a login page, and a form's content would be lost on the way."""
    reply = browser.request(method, "/me", headers=headers)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Session realm="seic"'  # RFC 9110 §15.5.2 demands one


def test_a_web_socket_is_refused(site: Site) -> None:
    """It cannot be redirected."""

    async def ws(socket: WebSocket, client: seic.AsyncClient = Depends(site.logins.client)) -> None: ...  # noqa: B008

    site.app.websocket("/ws")(ws)
    with site as browser, pytest.raises(WebSocketDisconnect), browser.websocket_connect("/ws"):
        pass


def test_starlette_alone_will_do(platform: FakePlatform) -> None:
    """The routes are Starlette's, and the dependencies are functions of a request."""
    logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY, transport=platform.transport)

    async def me(request: Request) -> JSONResponse:
        client = await logins.client(request)
        return JSONResponse((await client.get("/v1/me")).json()["email"])

    app = Starlette(routes=[*logins.routes, Route("/me", me)], lifespan=logins.lifespan)
    with TestClient(app, base_url="https://app.example", headers=PAGE, follow_redirects=False) as browser:
        browser.get(platform.log_in(browser.get(browser.get("/me").headers["Location"]).headers["Location"]))
        assert browser.get("/me").json() == "ada@example.com"


# Sessions


def _mounted(platform: FakePlatform, **options: Any) -> tuple[Logins, FastAPI]:
    """Return an application of which `/part` is another one, whose page needs a login."""
    logins = Logins(platform.config(), key=KEY, transport=platform.transport, **options)
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
def test_the_way_in_is_found_wherever_it_stands(root: str, prefix: str, is_mounted: bool) -> None:
    """Addresses that a browser is sent to are as the browser has to ask for them."""
    platform = FakePlatform()
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


def test_another_worker_knows_the_session(site: Site, browser: TestClient) -> None:
    """The store is what they share; the token is taken from there, not asked for anew."""
    site.log_in(browser)
    other = Site(site.platform)
    with other as elsewhere:
        plant(elsewhere, dict(browser.cookies))
        assert elsewhere.get("/me").json() == "ada@example.com"

    assert len(site.platform.exchanges) == 1


def test_a_token_that_ends_is_refreshed_unseen(platform: FakePlatform) -> None:
    """By its refresh token; the person stays logged in."""
    platform.expires_in = 1
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        platform.expires_in = 3599
        (client,) = site.logins._sessions._clients.values()
        client._oauth.source.state.held.age()
        assert browser.get("/me").json() == "ada@example.com"

    assert [form["grant_type"] for form in platform.exchanges] == ["authorization_code", "refresh_token"]


def test_when_nothing_renews_the_token_the_person_logs_in_again(site: Site, browser: TestClient) -> None:
    """A refresh token that was withdrawn ends the session with a login page, not with an error."""
    site.log_in(browser)
    site.platform.kill("ada@example.com")
    (client,) = site.logins._sessions._clients.values()
    client._oauth.source.state.held.age()

    assert browser.get("/me").headers["Location"] == "/login?next=%2Fme"
    assert site.log_in(browser).headers["Location"] == "/"
    assert browser.get("/me").json() == "ada@example.com"


@pytest.mark.parametrize(
    ("headers", "status", "location"),
    [({}, 303, "/login?next=%2Fme"), ({"Accept": "application/json"}, 401, None)],
    ids=["a person", "a program"],
)
def test_a_session_that_ends_in_the_middle_of_a_handler_leads_to_a_login(
    headers: dict[str, str], status: int, location: str | None, site: Site, browser: TestClient
) -> None:
    """The token looked good until the API rejected it; who would read of a bad gateway has only to log in again."""
    site.log_in(browser)
    site.platform.kill("ada@example.com")

    ended = browser.get("/me", headers=headers)
    assert (ended.status_code, ended.headers.get("Location")) == (status, location)
    assert site.log_in(browser).status_code == 303
    assert browser.get("/me").json() == "ada@example.com"


def test_a_refusal_of_the_service_sends_nobody_to_log_in(platform: FakePlatform) -> None:
    """Whoever is logged in well would come back to the same refusal, and round and round."""
    site = Site(platform)

    async def both(person: seic.AsyncClient = Depends(site.logins.client)) -> None:  # noqa: B008
        raise seic.TokenRequestRefused("the service's own login is over", status=None, code="login_required")

    site.app.get("/both")(both)
    with site as browser:
        site.log_in(browser)
        assert browser.get("/both").status_code == 502


def test_an_outage_of_the_provider_is_no_logout(site: Site, browser: TestClient) -> None:
    """While the token lives, nothing is seen; after that, a 503."""
    site.log_in(browser)
    site.platform.plan.extend([httpx.Response(503)] * 4)
    (client,) = site.logins._sessions._clients.values()
    client._oauth.source.state.forget(client._oauth.source.state.held)
    site.platform.store._tokens = {
        key: attrs.evolve(token, obtained_at=token.obtained_at - 4000)
        for key, token in site.platform.store._tokens.items()
    }

    reply = browser.get("/me")

    assert reply.status_code == 503
    assert reply.headers["Retry-After"]


@pytest.mark.parametrize(("age", "status"), [(43100, 200), (43201, 303)], ids=["within", "over"])
def test_a_session_lasts_for_a_working_day(age: int, status: int, site: Site, browser: TestClient) -> None:
    """Whatever the browser keeps: the seal knows when it was made."""
    site.log_in(browser)
    fernet = Fernet(KEY)
    inside = fernet.decrypt(browser.cookies[SESSION])
    plant(browser, {SESSION: fernet.encrypt_at_time(inside, int(time.time()) - age).decode()})

    assert browser.get("/who").status_code == status


def test_a_logout_counts_in_every_worker_and_at_the_provider(site: Site, browser: TestClient) -> None:
    """A copy of the cookie is worth nothing from then on, wherever it is sent."""
    site.log_in(browser)
    copy = dict(browser.cookies)
    other = Site(site.platform)
    with other as elsewhere:
        plant(elsewhere, copy)
        assert elsewhere.get("/me").status_code == 200

        ended = browser.post("/logout")
        assert (ended.status_code, ended.headers["Location"]) == (303, "/")
        assert cookies_of(ended)[SESSION]["max-age"] == "0"
        assert site.platform.revoked == ["refresh-1"]
        plant(browser, copy)
        assert browser.get("/me").status_code == 303
        assert elsewhere.get("/me").status_code == 303


def test_a_refresh_that_ends_after_the_logout_brings_no_session_back(site: Site, browser: TestClient) -> None:
    """Another worker may be at it when the person logs out; what it gets then is kept nowhere."""
    site.log_in(browser)
    copy = dict(browser.cookies)

    class Late(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reply = await site.platform.transport.handle_async_request(request)
            if b"refresh_token" in request.content:
                site.platform.store._tokens.clear()  # the logout's delete
            return reply

    other = Site(site.platform, transport=Late())
    with other as elsewhere:
        plant(elsewhere, copy)
        assert elsewhere.get("/me").status_code == 200
        (client,) = other.logins._sessions._clients.values()
        client._oauth.source.state.held.age()
        elsewhere.get("/me")

        assert [form["grant_type"] for form in site.platform.exchanges] == ["authorization_code", "refresh_token"]
        assert site.platform.store._tokens == {}
        assert elsewhere.get("/me").status_code == 303
        assert browser.get("/me").status_code == 303


def test_a_refresh_is_kept_for_the_other_workers(site: Site, browser: TestClient) -> None:
    """While the session lives, its new token takes the old one's place."""
    site.log_in(browser)
    (client,) = site.logins._sessions._clients.values()
    client._oauth.source.state.held.age()
    browser.get("/me")

    assert "access-2" in {token.access_token for token in site.platform.store._tokens.values()}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_logout_in_the_middle_of_anothers_save_brings_no_session_back(when: str, platform: FakePlatform) -> None:
    """The other worker's refresh is being written at that very moment; neither token nor session is left."""

    class Interrupted(seic.MemoryStore):
        blocking = True
        interruption: Any = None

        def save(self, key: str, token: seic.Token) -> None:
            interruption, self.interruption = self.interruption, None
            if interruption is not None and when == "before":
                interruption()
            super().save(key, token)
            if interruption is not None and when == "after":
                interruption()

    platform.store = store = Interrupted()
    site, other = Site(platform), Site(platform)
    with site as browser, other as elsewhere:
        site.log_in(browser)
        copy = dict(browser.cookies)
        plant(elsewhere, copy)
        assert elsewhere.get("/me").status_code == 200
        (client,) = other.logins._sessions._clients.values()
        client._oauth.source.state.held.age()
        store.interruption = lambda: browser.post("/logout")
        elsewhere.get("/me")

        assert [form["grant_type"] for form in platform.exchanges] == ["authorization_code", "refresh_token"]
        assert store._tokens == {}
        plant(browser, copy)
        assert browser.get("/me").status_code == elsewhere.get("/me").status_code == 303


def age_store(site: Site, seconds: float) -> None:
    """Let time pass for every token in the store."""
    store = site.platform.store
    store._tokens = {
        key: attrs.evolve(token, obtained_at=token.obtained_at - seconds) for key, token in store._tokens.items()
    }


def age_at_hand(site: Site, seconds: float) -> None:
    """Let time pass for every token that a worker has at hand."""
    for client in site.logins._sessions._clients.values():
        held = client._oauth.source.state.held
        held.token = attrs.evolve(held.token, obtained_at=held.token.obtained_at - seconds)
        for deadline in ("renew_at", "must_renew_at", "dies_at"):
            setattr(held, deadline, getattr(held, deadline) - seconds)


@pytest.mark.parametrize("at_hand", [True, False], ids=["at hand", "from the store"])
@pytest.mark.parametrize(("idle", "status"), [(1790, 200), (1810, 303)], ids=["within", "over"])
def test_a_person_may_be_away_for_half_an_hour(idle: int, status: int, at_hand: bool, platform: FakePlatform) -> None:
    """Counted from the end of the last token; later the person logs in again, although a refresh would go."""
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        age_store(site, 3599 + idle)
        age_at_hand(site, 3599 + idle)
        if not at_hand:
            site.logins._sessions._clients.clear()

        assert browser.get("/me").status_code == status
        assert ("refresh_token" in {form["grant_type"] for form in platform.exchanges}) is (status == 200)


def test_a_person_who_was_busy_elsewhere_was_not_away(site: Site, browser: TestClient) -> None:
    """One worker's token is long over, since another went on with it: the store's counts."""
    site.log_in(browser)
    other = Site(site.platform)
    with other as elsewhere:
        plant(elsewhere, dict(browser.cookies))
        assert elsewhere.get("/me").status_code == 200
        for seconds in (3599 + 1790, 1800):
            age_store(site, seconds)
            age_at_hand(site, seconds)
            age_at_hand(other, seconds)
            assert elsewhere.get("/me").status_code == 200

        assert browser.get("/me").status_code == 200
    assert [form["grant_type"] for form in site.platform.exchanges] == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize(
    ("answer", "ends_in"),
    [
        pytest.param({}, 3599 + 1800, id="a refresh token of a month"),
        pytest.param({"refresh_token_expires_in": 4000}, 4000, id="a refresh token of an hour"),
        pytest.param({"refresh_token_expires_in": None}, 3599 + 1800, id="a refresh token of unknown life"),
        pytest.param({"refresh_token": None}, 3599, id="no refresh token"),
        pytest.param({"expires_in": None}, 43200 + 1800, id="a token of unknown life"),
        pytest.param({"expires_in": None, "refresh_token": None}, 43200, id="nothing known"),
    ],
)
def test_a_session_that_nobody_ends_can_be_forgotten(
    answer: dict[str, Any], ends_in: float, site: Site, browser: TestClient
) -> None:
    """All that the store holds of it has an end, and a store may drop it then."""
    document = {
        "access_token": "access-9",
        "refresh_token": "refresh-9",
        "token_type": "BearerToken",
        "expires_in": 3599,
        "refresh_token_expires_in": 2591999,
        **answer,
    }
    told = {name: value for name, value in document.items() if value is not None}
    site.platform.plan.append(httpx.Response(200, json=told))
    site.log_in(browser)

    ends = []
    for token in site.platform.store._tokens.values():
        assert token.ends_at is not None
        ends.append(token.ends_at.timestamp() - token.obtained_at)
    assert sorted(ends) == pytest.approx(sorted([ends_in, 43200]))


def test_a_logout_works_where_the_provider_cannot_revoke(platform: FakePlatform) -> None:
    """SEI documents no path for it; the person is logged out here all the same."""
    platform.provider = attrs.evolve(platform.provider, revocation_url=None)
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        copy = dict(browser.cookies)
        assert browser.post("/logout").status_code == 303
        plant(browser, copy)
        assert browser.get("/me").status_code == 303


def test_a_logout_that_the_store_does_not_take_can_be_repeated(platform: FakePlatform) -> None:
    """While the session lives, nobody is told that it is over; the cookie stays, so that the next try can end it."""

    class Failing(seic.MemoryStore):
        broken = False

        def delete(self, key: str) -> None:
            if self.broken:
                raise ConnectionError
            super().delete(key)

    platform.store = store = Failing()
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        store.broken = True
        failed = browser.post("/logout")
        store.broken = False
        assert (failed.status_code, SESSION in cookies_of(failed)) == (503, False)
        assert failed.headers["Retry-After"]
        assert store._tokens
        assert browser.post("/logout").status_code == 303
        assert store._tokens == {}


def test_a_logout_of_nobody_is_none(site: Site, browser: TestClient) -> None:
    """Twice is the same as once."""
    assert browser.post("/logout").status_code == 303


class _SlowStore(seic.MemoryStore):
    """A store that fails on demand."""

    broken = False

    def load(self, key: str) -> seic.Token | None:
        if self.broken:
            raise ConnectionError("redis://:password-9@host")
        return super().load(key)


def test_a_store_that_fails_ends_no_session_at_hand(platform: FakePlatform, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever this worker knows goes on; others have to log in, and the log says why, without the store's words."""
    platform.store = store = _SlowStore()
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        store.broken = True
        assert browser.get("/me").status_code == 200
        site.logins._sessions._clients.clear()
        assert browser.get("/me").status_code == 303

    assert "the store could not look for a session: ConnectionError" in caplog.text
    assert "password-9" not in caplog.text


def test_a_login_that_the_store_does_not_keep_is_none(platform: FakePlatform) -> None:
    """The person would be sent to log in again at the next page, and round and round; a 503 says that it is us."""

    class Full(seic.MemoryStore):
        full = True

        def save(self, key: str, token: seic.Token) -> None:
            if self.full:
                raise OSError
            super().save(key, token)

    platform.store = store = Full()
    site = Site(platform)
    with site as browser:
        failed = site.log_in(browser)
        assert (failed.status_code, set(cookies_of(failed))) == (503, {LOGIN})
        assert failed.headers["Retry-After"]
        assert site.logins._sessions._clients == {}
        store.full = False
        assert site.log_in(browser).status_code == 303
        assert browser.get("/me").status_code == 200


def test_a_blocking_store_is_asked_off_the_loop(platform: FakePlatform) -> None:
    """Its disk or network holds nobody up."""

    class Blocking(seic.MemoryStore):
        blocking = True

    platform.store = Blocking()
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        assert browser.get("/me").status_code == 200
        browser.post("/logout")
        assert browser.get("/me").status_code == 303


def test_a_worker_keeps_so_many_clients_at_hand(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' are made again of the store; nobody is logged out by that."""
    monkeypatch.setattr("seic.fastapi.sessions._AT_HAND", 1)
    with site as browser:
        other = site.browser()
        site.log_in(browser)
        site.log_in(other, email="ben@example.com")
        assert len(site.logins._sessions._clients) == 1
        assert browser.get("/me").json() == "ada@example.com"
        assert other.get("/me").json() == "ben@example.com"


# Attacks


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\t//evil.example/",
        " //evil.example/",
        "javascript:alert(1)",
        "http:evil.example",
        "evil.example",
        "@evil.example",
        "https://app.example@evil.example/",
        "//app.example@evil.example/",
        "/%5c\\evil.example/",
        "/\x00/evil.example/",
        "/\x7f/evil.example/",
        "/\u2028/evil.example/",
        "/path\r\nSet-Cookie: a=b",
        "/" + "x" * 1500,
        "/" + "é" * 250,
        "",
    ],
)
def test_attack_open_redirect(following: str, site: Site, browser: TestClient) -> None:
    """A link to our own login that leads on to somebody else's page is the best phishing there is."""
    location = browser.get("/login", params={"next": following}).headers["Location"]
    back = browser.get(site.platform.log_in(location))

    assert back.headers["Location"] == "/"


@pytest.mark.parametrize(
    ("following", "location"),
    [
        ("/me", "/me"),
        ("/me?a=1&b=2#c", "/me?a=1&b=2#c"),
        ("/%2F%2Fevil.example", "/%2F%2Fevil.example"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("/%0D%0ASet-Cookie:%20a=b", "/%0D%0ASet-Cookie:%20a=b"),
        ("/100%25?a=%2525&b=%", "/100%25?a=%2525&b=%"),
        ("""/!"#$%&'()*+,-./:;<=>?@[]^_`{|}~""", """/!"#$%&'()*+,-./:;<=>?@[]^_`{|}~"""),
        ("/a b", "/a%20b"),
        ("/é", "/%C3%A9"),
        ("/.//evil.example", "/.//evil.example"),
        ("/@evil.example", "/@evil.example"),
    ],
)
def test_paths_of_our_own_are_gone_on_to(following: str, location: str, site: Site, browser: TestClient) -> None:
    """As they were asked for; a browser takes each of them for this host."""
    begun = browser.get("/login", params={"next": following})

    assert browser.get(site.platform.log_in(begun.headers["Location"])).headers["Location"] == location


@pytest.mark.parametrize(
    "address",
    [
        "/files/100%25",
        "/files/a%2Fb%2525",
        "/files/a+b%20c?q=a+b%20c%2526&r=%2F&s=a%3Db;c",
        "/files/%C3%A9%E9?%C3%A9",
        "/files/a|b^c`d{e}?x=|^`{}<>",
        "/files/x?",
    ],
)
def test_a_person_comes_back_to_the_very_address(address: str, site: Site, browser: TestClient) -> None:
    """Byte for byte: what was encoded means something else when it is not, or is twice."""

    async def read(client: seic.AsyncClient = Depends(site.logins.client)) -> None: ...  # noqa: B008

    site.app.get("/files/{path:path}")(read)
    asked = httpx.URL(f"https://app.example{address}").raw_path.decode()
    sent = browser.get(address).headers["Location"]

    assert site.log_in(browser, sent).headers["Location"] == asked.removesuffix("?")


def test_the_longest_path_fits_a_cookie(site: Site, browser: TestClient) -> None:
    """Browsers drop a cookie of more than 4096 bytes, and the login with it."""
    following = "/" + "é" * 249  # 1,495 bytes when encoded
    begun = browser.get("/login", params={"next": following})

    assert len(begun.headers["set-cookie"]) < 4096
    assert browser.get(site.platform.log_in(begun.headers["Location"])).headers["Location"] == "/" + "%C3%A9" * 249


def test_a_name_without_end_does_not_burst_the_cookie(site: Site, browser: TestClient) -> None:
    """A provider may say what it likes; the person is logged in all the same."""
    reply = browser.get(site.platform.log_in(browser.get("/login").headers["Location"], email="ö" * 5000))

    assert max(len(value.encode()) for value in reply.headers.get_list("set-cookie")) < 4096
    assert browser.get("/who").json()["name"] == "ö" * 320


def test_attack_login_csrf_with_the_attackers_code(site: Site, browser: TestClient) -> None:
    """A victim who follows the attacker's callback would work in the attacker's account, and leave data there."""
    attacker = site.browser()
    trap = site.platform.log_in(attacker.get("/login").headers["Location"], email="mallory@example.com")

    assert browser.get(trap).status_code == 400
    browser.get("/login")  # even while the victim is about to log in
    assert browser.get(trap).status_code == 400
    assert browser.get("/me").status_code == 303
    assert site.platform.exchanges == []


def test_attack_login_csrf_against_someone_logged_in(site: Site, browser: TestClient) -> None:
    """They stay who they are."""
    site.log_in(browser)
    attacker = site.browser()
    trap = site.platform.log_in(attacker.get("/login").headers["Location"], email="mallory@example.com")

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
    """Only a login that this browser began is finished; no code is sent to the provider otherwise."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])

    assert browser.get(change(callback)).status_code == 400
    assert site.platform.exchanges == []


def test_attack_a_callback_is_played_again(site: Site, browser: TestClient) -> None:
    """The state is good once: its first use takes it away, whether it worked or not."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])

    assert browser.get(callback).status_code == 303
    assert browser.get(callback).status_code == 400
    assert len(site.platform.exchanges) == 1
    failed = site.platform.log_in(browser.get("/login").headers["Location"])
    site.platform.plan.append(httpx.Response(400, json={"error": "invalid_grant"}))
    assert browser.get(failed).status_code == 400
    assert browser.get(failed).status_code == 400
    assert len(site.platform.exchanges) == 2


@pytest.mark.parametrize("pocket", [None, SessionPocket()], ids=["cookie", "session store"])
@pytest.mark.parametrize("answer", [None, httpx.Response(400, json={"error": "invalid_grant"})], ids=["good", "failed"])
def test_attack_a_callback_is_played_again_with_its_cookie(
    answer: httpx.Response | None, pocket: Any, platform: FakePlatform
) -> None:
    """Whoever has a copy of all that the browser had gets no second exchange: a code sent twice may end the session."""
    site = Site(platform, pocket=pocket)
    with site as browser:
        callback = platform.log_in(browser.get("/login").headers["Location"])
        copy = dict(browser.cookies)
        platform.plan.extend([answer] if answer else [])
        first = browser.get(callback)
        plant(browser, copy)

        assert (first.status_code, browser.get(callback).status_code) == (400 if answer else 303, 400)
        assert len(platform.exchanges) == 1
        assert site.log_in(browser).status_code == 303


@pytest.mark.parametrize("pocket", [None, SessionPocket()], ids=["cookie", "session store"])
@pytest.mark.parametrize("query", ["code=x&state=x", "error=access_denied", ""])
def test_attack_a_foreign_callback_does_not_end_the_login_under_way(
    query: str, pocket: Any, platform: FakePlatform
) -> None:
    """Any page can send a browser to the callback; only the right state uses the login up."""
    site = Site(platform, pocket=pocket)
    with site as browser:
        callback = platform.log_in(browser.get("/login").headers["Location"])

        assert browser.get(f"/login/callback?{query}").status_code == 400
        assert browser.get(callback).status_code == 303


def test_looking_ahead_spends_no_login(site: Site, browser: TestClient) -> None:
    """Mail scanners and link previews ask by HEAD; neither a login nor its code is used up by that."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])

    for url in ("/login", callback):
        reply = browser.head(url)
        assert (reply.status_code, reply.headers["Allow"], cookies_of(reply)) == (405, "GET", {})
    assert site.platform.exchanges == []
    assert browser.get(callback).status_code == 303


def test_attack_session_fixation(site: Site, browser: TestClient) -> None:
    """Whoever planted a session in the victim's browser does not find the victim's token under it."""
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
    """Only our own host can set `__Host-` cookies; one of another name counts for nothing."""
    attacker = site.browser()
    trap = site.platform.log_in(attacker.get("/login").headers["Location"], email="mallory@example.com")
    plant(browser, {"seic-login": attacker.cookies[LOGIN], "seic-session": "x"})

    assert browser.get(trap).status_code == 400


def test_attack_a_login_cookie_as_a_session(site: Site, browser: TestClient) -> None:
    """What was sealed for one purpose is worth nothing for another."""
    browser.get("/login")
    plant(browser, {SESSION: browser.cookies[LOGIN]})

    assert browser.get("/me").status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "gAAAAA", Fernet(Fernet.generate_key()).encrypt(b"{}").decode()])
def test_attack_a_forged_session(cookie: str, browser: TestClient) -> None:
    """Without the key there is no session."""
    plant(browser, {SESSION: cookie})

    assert browser.get("/me").status_code == 303


def test_attack_a_cookie_that_was_tampered_with(site: Site, browser: TestClient) -> None:
    """Whatever letter is changed, dropped or added, it opens nothing."""
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
    """With the same key and the same store: staging's cookie is worth nothing in production."""
    site.log_in(browser)
    browser.get("/login")
    config = site.platform.config(**changes)
    settings: dict[str, Any] = {"callback_url": CALLBACK, "key": KEY, "transport": site.platform.transport, **options}
    logins = Logins(config, **settings)

    async def me(request: Request) -> JSONResponse:
        return JSONResponse((await (await logins.client(request)).get("/v1/me")).json())

    app = Starlette(routes=[*logins.routes, Route("/me", me)], lifespan=logins.lifespan)
    with TestClient(app, base_url="https://app.example", headers=PAGE, follow_redirects=False) as other:
        names = {kind: f"__Host-{options.get('name', 'seic')}-{kind}" for kind in ("session", "login")}
        plant(other, {names["session"]: browser.cookies[SESSION], names["login"]: browser.cookies[LOGIN]})
        assert other.get("/me").status_code == 303
        assert other.get(f"{urlsplit(settings['callback_url']).path}?code=x&state=x").status_code == 400
    assert len(site.platform.exchanges) == 1


def test_who_is_sent_to_log_in_is_not_answered_from_a_cache(browser: TestClient) -> None:
    """After the login the same address shows a person's page, and after the logout it does not."""
    assert browser.get("/me").headers["Cache-Control"] == "no-store"


def test_attack_mix_up_of_two_providers(platform: FakePlatform) -> None:
    """A code of the honest provider is never sent to the attacker's, nor the other way round (RFC 9700 §4.4)."""
    evil = FakePlatform()
    honest_logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY, transport=platform.transport)
    evil_logins = Logins(
        evil.config(),
        callback_url="https://app.example/evil/callback",
        key=KEY,
        name="evil",
        login_path="/evil/login",
        logout_path="/evil/logout",
        transport=evil.transport,
    )

    @contextlib.asynccontextmanager
    async def both(app: Starlette) -> AsyncIterator[None]:
        async with honest_logins.lifespan(app), evil_logins.lifespan(app):
            yield

    app = Starlette(routes=[*honest_logins.routes, *evil_logins.routes], lifespan=both)
    with TestClient(app, base_url="https://app.example", follow_redirects=False) as browser:
        # The victim begins at the attacker's provider, which sends them on to the honest one with the same state.
        state = parse_qs(urlsplit(browser.get("/evil/login").headers["Location"]).query)["state"][0]
        honest = browser.get("/login").headers["Location"]
        code = parse_qs(urlsplit(platform.log_in(honest)).query)["code"][0]

        assert browser.get("/evil/callback", params={"code": code, "state": "x"}).status_code == 400
        browser.get("/login")
        assert browser.get("/login/callback", params={"code": code, "state": state}).status_code == 400
        # Even the attacker's own sealed cookie under the honest name opens nothing.
        browser.get("/evil/login")
        plant(browser, {LOGIN: browser.cookies["__Host-evil-login"]})
        assert browser.get("/login/callback", params={"code": code, "state": state}).status_code == 400
    assert platform.exchanges == evil.exchanges == []


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        pytest.param("&iss=https%3A%2F%2Fidp.example", 303, id="the right one"),
        pytest.param("&iss=https%3A%2F%2Fevil.example", 400, id="another"),
        pytest.param("", 400, id="missing"),
    ],
)
def test_attack_mix_up_by_the_issuer(parameters: str, status: int, platform: FakePlatform) -> None:
    """Where the provider names itself in the callback, it has to be the one that was asked (RFC 9207)."""
    with Site(platform, issuer="https://idp.example") as browser:
        callback = platform.log_in(browser.get("/login").headers["Location"])

        assert browser.get(callback + parameters).status_code == status


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_attack_logout_from_another_page(site_of: str, site: Site, browser: TestClient) -> None:
    """Neither a foreign page nor another host of the domain logs anybody out; an image cannot either."""
    site.log_in(browser)

    assert browser.post("/logout", headers={"Sec-Fetch-Site": site_of}).status_code == 403
    assert browser.get("/logout").status_code == 405
    assert browser.get("/me").status_code == 200
    assert browser.post("/logout", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


@pytest.mark.parametrize(
    ("query", "title"),
    [
        pytest.param("error=access_denied", "Nobody was logged in", id="given up"),
        pytest.param("error=server_error", "The login did not work", id="failed"),
        pytest.param("error=<script>alert(1)</script>", "The login did not work", id="a script"),
    ],
)
def test_a_login_that_failed_is_explained_to_the_person(
    query: str, title: str, site: Site, browser: TestClient
) -> None:
    """With a way to begin anew; nothing that came with the address is shown."""
    state = parse_qs(urlsplit(browser.get("/login").headers["Location"]).query)["state"][0]
    reply = browser.get(f"/login/callback?{query}&error_description=%3Cscript%3E&state={state}")

    assert reply.status_code == 400
    assert title in reply.text
    assert '<a href="/login">' in reply.text
    assert "script" not in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert cookies_of(reply)[LOGIN]["max-age"] == "0"


def test_a_provider_that_is_down_during_a_login_is_a_503(site: Site, browser: TestClient) -> None:
    """The login is over; the person is told to come back."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])
    site.platform.plan.extend([httpx.Response(503, headers={"Retry-After": "7"})] * 2)
    reply = browser.get(callback)

    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "7")
    assert cookies_of(reply)[LOGIN]["max-age"] == "0"
    assert SESSION not in cookies_of(reply)


# Settings


@pytest.mark.parametrize(
    ("changes", "options", "field"),
    [
        pytest.param({"store": None}, {}, "store", id="no store"),
        pytest.param({}, {"key": "short"}, "key", id="no key"),
        pytest.param({}, {"callback_url": "/login/callback"}, "callback_url", id="no whole URL"),
        pytest.param({}, {"callback_url": "http://app.example/cb"}, "callback_url", id="plain http"),
        pytest.param({}, {"name": "a b"}, "name", id="a name that is no cookie's"),
        pytest.param({}, {"name": ""}, "name", id="no name"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    changes: dict[str, Any], options: dict[str, Any], field: str, platform: FakePlatform
) -> None:
    """When the application is written."""
    with pytest.raises(seic.ConfigurationError) as caught:
        Logins(platform.config(**changes), **{"callback_url": CALLBACK, "key": KEY, **options})

    assert caught.value.field == field


def test_a_provider_without_a_login_is_refused() -> None:
    """The gateway knows no people."""
    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
        store=seic.MemoryStore(),
    )
    with pytest.raises(seic.ConfigurationError) as caught:
        Logins(config, callback_url=CALLBACK, key=KEY)

    assert caught.value.field == "provider.authorize_url"


def test_a_forgotten_lifespan_is_explained(platform: FakePlatform) -> None:
    """At the first login."""
    logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY)
    app = Starlette(routes=logins.routes)
    browser = TestClient(app, base_url="https://app.example", follow_redirects=False)
    callback = platform.log_in(browser.get("/login").headers["Location"])

    with pytest.raises(seic.ConfigurationError) as caught:
        browser.get(callback)

    assert "also=logins.lifespan" in str(caught.value)


async def test_the_grant_by_itself_gives_no_token(platform: FakePlatform) -> None:
    """A configuration for people is nobody's account."""
    async with seic.AsyncClient(platform.config(store=None), transport=platform.transport) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()

    assert caught.value.code == "login_required"
    assert platform.exchanges == []


def test_on_ones_own_machine_plain_http_may_do(platform: FakePlatform) -> None:
    """Cookies then go without Secure, and without the prefix that demands it."""
    site = Site(platform, callback_url="http://localhost:8000/login/callback", secure=False)
    with site:
        browser = TestClient(site.app, base_url="http://localhost:8000", headers=PAGE, follow_redirects=False)
        site.log_in(browser)
        assert "seic-session" in browser.cookies
        assert browser.get("/me").json() == "ada@example.com"


def test_a_dependency_is_replaced_in_tests(site: Site, browser: TestClient) -> None:
    """Handlers are tried without any login."""
    fake = httpx.AsyncClient(
        base_url="https://fake.example",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"email": "test@example.com"})),
    )
    site.app.dependency_overrides[site.logins.client] = lambda: fake

    assert browser.get("/me").json() == "test@example.com"
