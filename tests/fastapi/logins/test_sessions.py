"""Sessions: shared by processes, ended by time, and dependent on a store that may fail."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

import seic
from seic.fastapi import Logins, add_exception_handlers, lifespan
from tests._support.login_site import KEY, PAGE, SESSION, Site, cookies_of, login_cookie, plant
from tests._support.platform_mock import PlatformMock
from tests._support.stores import DatabaseStore

#: Seconds of life of the platform's access tokens.
LIFETIME = 3599


def test_another_process_knows_the_session(site: Site, browser: TestClient) -> None:
    """It takes the token from the store, and sends no token request."""
    site.log_in(browser)
    with Site(site.platform) as elsewhere:
        plant(elsewhere, dict(browser.cookies))
        assert elsewhere.get("/me").json() == "ada@example.com"

    assert len(site.platform.forms) == 1


def test_an_expired_token_is_refreshed(site: Site, browser: TestClient) -> None:
    """The user stays logged in, and other processes find the new token in the store."""
    site.log_in(browser)
    site.platform.clock.advance(LIFETIME + 1)
    assert browser.get("/me").json() == "ada@example.com"

    assert [form["grant_type"] for form in site.platform.forms] == ["authorization_code", "refresh_token"]
    assert "access-2" in {token.access_token for token in site.platform.database.values()}


def test_a_revoked_refresh_token_leads_to_the_login(site: Site, browser: TestClient) -> None:
    """The session ends with a redirect to the login, not with an error."""
    site.log_in(browser)
    site.platform.end_login("ada@example.com")
    site.platform.clock.advance(LIFETIME + 1)

    assert browser.get("/me").headers["Location"] == "/login?next=%2Fme"
    assert site.log_in(browser).headers["Location"] == "/"
    assert browser.get("/me").json() == "ada@example.com"


@pytest.mark.parametrize(
    ("headers", "status", "location"),
    [({}, 303, "/login?next=%2Fme"), ({"Accept": "application/json"}, 401, None)],
    ids=["a browser", "a program"],
)
def test_a_session_that_ends_during_a_handler_leads_to_the_login(
    headers: dict[str, str], status: int, location: str | None, site: Site, browser: TestClient
) -> None:
    """The token was valid until the API rejected it; the response is not a 502."""
    site.log_in(browser)
    site.platform.end_login("ada@example.com")

    ended = browser.get("/me", headers=headers)
    assert (ended.status_code, ended.headers.get("Location")) == (status, location)
    assert site.log_in(browser).status_code == 303
    assert browser.get("/me").json() == "ada@example.com"


@pytest.mark.parametrize("ended", ["ada", "ben"])
def test_a_user_of_several_logins_is_redirected_to_the_one_that_ended(ended: str, platform: PlatformMock) -> None:
    """A handler may need the clients of two logins."""
    site = Site(platform)
    other = Logins(
        platform.config(),
        callback_url="https://app.example/other/callback",
        key=KEY,
        name="other",
        login_path="/other/login",
        logout_path="/other/logout",
        transport=platform,
    )

    async def both(
        one: seic.AsyncClient = Depends(site.logins.client),  # noqa: B008
        two: seic.AsyncClient = Depends(other.client),  # noqa: B008
    ) -> None:
        platform.end_login(f"{ended}@example.com")
        await one.get("/v1/me")
        await two.get("/v1/me")

    app = FastAPI(
        lifespan=lifespan({}, also=functools.partial(_entering, site.logins, other)), routes=[*site.logins.routes]
    )
    app.routes.extend(other.routes)
    add_exception_handlers(app)
    app.get("/both")(both)
    with TestClient(app, base_url="https://app.example", headers=PAGE, follow_redirects=False) as browser:
        browser.get(platform.log_in(browser.get("/login").headers["Location"], username="ada@example.com"))
        browser.get(platform.log_in(browser.get("/other/login").headers["Location"], username="ben@example.com"))
        reply = browser.get("/both")

    assert reply.status_code == 303
    assert reply.headers["Location"] == {"ada": "/login", "ben": "/other/login"}[ended] + "?next=%2Fboth"


@contextlib.asynccontextmanager
async def _entering(one: Logins, other: Logins, app: Any) -> AsyncIterator[None]:
    async with one.lifespan(app), other.lifespan(app):
        yield


def test_a_refusal_of_the_service_redirects_no_user(platform: PlatformMock) -> None:
    """A user with a valid session would come back to the same refusal, in a loop."""
    site = Site(platform)

    async def both(client: seic.AsyncClient = Depends(site.logins.client)) -> None:  # noqa: B008
        raise seic.TokenRequestRefused("the service's own login has ended", status=None, code="login_required")

    site.app.get("/both")(both)
    with site as browser:
        site.log_in(browser)
        assert browser.get("/both").status_code == 502


def test_an_outage_of_the_provider_ends_no_session(site: Site, browser: TestClient) -> None:
    """A user with an expired token gets a 503, and is still logged in after the outage."""
    site.log_in(browser)
    site.platform.token_responses.extend([httpx.Response(503)] * 4)
    site.platform.clock.advance(LIFETIME + 1)

    reply = browser.get("/me")
    assert reply.status_code == 503
    assert reply.headers["Retry-After"]
    site.platform.token_responses.clear()
    site.platform.clock.advance(600)
    assert browser.get("/me").status_code == 200


@pytest.mark.parametrize(("age", "status"), [(43100, 200), (43201, 303)], ids=["within", "over"])
def test_a_session_lasts_12_hours(age: int, status: int, site: Site, browser: TestClient) -> None:
    """The time stamp is inside the encrypted cookie, so the browser cannot extend it."""
    site.log_in(browser)
    fernet = Fernet(KEY)
    content = fernet.decrypt(browser.cookies[SESSION])
    plant(browser, {SESSION: fernet.encrypt_at_time(content, int(time.time()) - age).decode()})

    assert browser.get("/who").status_code == status


@pytest.mark.parametrize("same_process", [True, False], ids=["in memory", "from the store"])
@pytest.mark.parametrize(("idle", "status"), [(1790, 200), (1810, 303)], ids=["within", "over"])
def test_a_user_may_be_idle_for_30_minutes(idle: int, status: int, same_process: bool, platform: PlatformMock) -> None:
    """After the expiry of the last access token; later the user logs in again, although a refresh would succeed."""
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        platform.clock.advance(LIFETIME + idle)
        if same_process:
            assert browser.get("/me").status_code == status
        else:
            with Site(platform) as elsewhere:
                plant(elsewhere, dict(browser.cookies))
                assert elsewhere.get("/me").status_code == status

    assert ("refresh_token" in {form["grant_type"] for form in platform.forms}) is (status == 200)


def test_a_user_of_another_process_is_not_idle(site: Site, browser: TestClient) -> None:
    """The newest token in the store counts, not the old one in memory."""
    site.log_in(browser)
    with Site(site.platform) as elsewhere:
        plant(elsewhere, dict(browser.cookies))
        assert elsewhere.get("/me").status_code == 200
        for seconds in (LIFETIME + 1790, 1800):
            site.platform.clock.advance(seconds)
            assert elsewhere.get("/me").status_code == 200

        assert browser.get("/me").status_code == 200
    assert [form["grant_type"] for form in site.platform.forms] == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize(
    ("answer", "expires_in"),
    [
        pytest.param({}, LIFETIME + 1800, id="a refresh token of a month"),
        pytest.param({"refresh_token_expires_in": 4000}, 4000, id="a refresh token of an hour"),
        pytest.param({"refresh_token_expires_in": None}, LIFETIME + 1800, id="a refresh token of unknown lifetime"),
        pytest.param({"refresh_token": None}, LIFETIME, id="no refresh token"),
        pytest.param({"expires_in": None}, 43200 + 1800, id="a token of unknown lifetime"),
        pytest.param({"expires_in": None, "refresh_token": None}, 43200, id="unknown lifetime, no refresh token"),
    ],
)
def test_everything_in_the_store_has_an_end(
    answer: dict[str, Any], expires_in: float, site: Site, browser: TestClient
) -> None:
    """The store can delete sessions without a logout."""
    document = {
        "access_token": "access-9",
        "refresh_token": "refresh-9",
        "token_type": "BearerToken",
        "expires_in": LIFETIME,
        "refresh_token_expires_in": 2591999,
        **answer,
    }
    sent = {name: value for name, value in document.items() if value is not None}
    site.platform.token_responses.append(httpx.Response(200, json=sent))
    site.log_in(browser)

    lifetimes = []
    for token in site.platform.database.values():
        assert token.ends_at is not None
        lifetimes.append(token.ends_at.timestamp() - token.obtained_at)
    assert sorted(lifetimes) == pytest.approx(sorted([expires_in, 43200]))


def test_a_failing_store_ends_no_session_in_memory(platform: PlatformMock, caplog: pytest.LogCaptureFixture) -> None:
    """Users of this process go on, others have to log in. The log names the error without the store's words."""

    class Failing(DatabaseStore):
        broken = False

        def load(self, key: str) -> seic.Token | None:
            if self.broken:
                raise ConnectionError("redis://:password-9@host")
            return super().load(key)

    platform.store = store = Failing({})
    site, other = Site(platform), Site(platform)
    with site as browser, other as elsewhere:
        site.log_in(browser)
        plant(elsewhere, dict(browser.cookies))
        store.broken = True
        assert browser.get("/me").status_code == 200
        assert elsewhere.get("/me").status_code == 303

    assert "the token store failed to look up a session: ConnectionError" in caplog.text
    assert "password-9" not in caplog.text


def test_a_login_that_the_store_does_not_save_fails(platform: PlatformMock) -> None:
    """A 503, because with a cookie the user would be redirected to the login in a loop."""

    class Full(DatabaseStore):
        full = True

        def save(self, key: str, token: seic.Token) -> None:
            if self.full:
                raise OSError
            super().save(key, token)

    platform.store = store = Full({})
    site = Site(platform)
    with site as browser:
        failed = site.log_in(browser)
        assert failed.status_code == 503
        assert [*cookies_of(failed)] == [login_cookie(cookies_of(failed))]
        assert failed.headers["Retry-After"]
        store.full = False
        assert site.log_in(browser).status_code == 303
        assert browser.get("/me").status_code == 200


@pytest.mark.parametrize("kind", ["blocking", "silent"])
def test_a_blocking_store_is_called_in_a_thread(platform: PlatformMock, kind: str) -> None:
    """Its disk or network does not block the event loop; a store that does not say is one."""

    class Blocking(DatabaseStore):
        blocking = True

    class Silent(DatabaseStore):
        @property
        def blocking(self) -> bool:  # type: ignore[override]
            raise AttributeError("it does not say")

    platform.store = {"blocking": Blocking, "silent": Silent}[kind]({})
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        assert browser.get("/me").status_code == 200
        browser.post("/logout")
        assert browser.get("/me").status_code == 303


def test_the_number_of_clients_in_memory_is_limited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are made again from the store, and nobody is logged out."""
    monkeypatch.setattr("seic.fastapi._sessions._MAX_CLIENTS", 1)
    with site as browser:
        other = site.browser()
        site.log_in(browser)
        site.log_in(other, email="ben@example.com")
        for _ in range(2):
            assert browser.get("/me").json() == "ada@example.com"
            assert other.get("/me").json() == "ben@example.com"

    assert len(site.platform.forms) == 2
