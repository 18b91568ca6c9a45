"""Logouts end the session in every process, also during a refresh."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

import seic
from tests._support.login_site import SESSION, Site, cookies_of, plant
from tests._support.platform_mock import PlatformMock
from tests._support.stores import DatabaseStore


def test_a_logout_ends_the_session_everywhere(site: Site, browser: TestClient) -> None:
    """In every process and at the provider; a copy of the cookie is useless."""
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


def test_a_refresh_that_ends_after_the_logout_restores_no_session(site: Site, browser: TestClient) -> None:
    """The token of a refresh in another process is not kept."""
    site.log_in(browser)
    copy = dict(browser.cookies)

    class Late(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reply: httpx.Response = await site.platform.handle_async_request(request)
            if b"refresh_token" in request.content:
                site.platform.database.clear()  # as the logout does
            return reply

    other = Site(site.platform, transport=Late())
    with other as elsewhere:
        plant(elsewhere, copy)
        assert elsewhere.get("/me").status_code == 200
        site.platform.clock.advance(3600)
        elsewhere.get("/me")

        assert [form["grant_type"] for form in site.platform.forms] == ["authorization_code", "refresh_token"]
        assert site.platform.database == {}
        assert elsewhere.get("/me").status_code == 303
        assert browser.get("/me").status_code == 303


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_logout_during_a_save_leaves_no_session(when: str, platform: PlatformMock) -> None:
    """While another process saves its refreshed token; neither token nor session is left."""

    class Interrupted(DatabaseStore):
        blocking = True
        interruption: Any = None

        def save(self, key: str, token: seic.Token) -> None:
            interruption, self.interruption = self.interruption, None
            if interruption is not None and when == "before":
                interruption()
            super().save(key, token)
            if interruption is not None and when == "after":
                interruption()

    platform.store = store = Interrupted({})
    site, other = Site(platform), Site(platform)
    with site as browser, other as elsewhere:
        site.log_in(browser)
        copy = dict(browser.cookies)
        plant(elsewhere, copy)
        assert elsewhere.get("/me").status_code == 200
        site.platform.clock.advance(3600)
        store.interruption = lambda: browser.post("/logout")
        elsewhere.get("/me")

        assert [form["grant_type"] for form in platform.forms] == ["authorization_code", "refresh_token"]
        assert store.tokens == {}
        plant(browser, copy)
        assert browser.get("/me").status_code == elsewhere.get("/me").status_code == 303


def test_a_logout_without_revocation() -> None:
    """The user is logged out here if the provider cannot revoke tokens."""
    site = Site(PlatformMock(revocation_url=None))
    with site as browser:
        site.log_in(browser)
        copy = dict(browser.cookies)
        assert browser.post("/logout").status_code == 303
        plant(browser, copy)
        assert browser.get("/me").status_code == 303


def test_a_failed_logout_can_be_repeated(platform: PlatformMock) -> None:
    """If the store fails, the response is a 503 and the cookie stays."""

    class Failing(DatabaseStore):
        broken = False

        def delete(self, key: str) -> None:
            if self.broken:
                raise ConnectionError
            super().delete(key)

    platform.store = store = Failing({})
    site = Site(platform)
    with site as browser:
        site.log_in(browser)
        store.broken = True
        failed = browser.post("/logout")
        store.broken = False
        assert (failed.status_code, SESSION in cookies_of(failed)) == (503, False)
        assert failed.headers["Retry-After"]
        assert store.tokens
        assert browser.post("/logout").status_code == 303
        assert store.tokens == {}


def test_a_logout_without_session(site: Site, browser: TestClient) -> None:
    """Logging out twice is allowed."""
    assert browser.post("/logout").status_code == 303


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_attack_logout_from_another_site(site_of: str, site: Site, browser: TestClient) -> None:
    """Neither another site nor another host of the domain can log users out."""
    site.log_in(browser)

    assert browser.post("/logout", headers={"Sec-Fetch-Site": site_of}).status_code == 403
    assert browser.get("/logout").status_code == 405
    assert browser.get("/me").status_code == 200
    assert browser.post("/logout", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_a_provider_without_revocation_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The session ends here; each logout would otherwise print a line that nobody can act on."""
    site = Site(PlatformMock(revocation_url=None))
    with site as browser:
        site.log_in(browser)
        assert browser.post("/logout").status_code == 303
        assert browser.get("/me").status_code == 303

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
