"""A logout ends the session everywhere, whatever else is under way."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
from fastapi.testclient import TestClient

import seic
from tests._support.fake_platform import FakePlatform
from tests._support.login_site import SESSION, Site, cookies_of, plant


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
        client._oauth._source.state.held.age()
        elsewhere.get("/me")

        assert [form["grant_type"] for form in site.platform.exchanges] == ["authorization_code", "refresh_token"]
        assert site.platform.store._tokens == {}
        assert elsewhere.get("/me").status_code == 303
        assert browser.get("/me").status_code == 303


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
        client._oauth._source.state.held.age()
        store.interruption = lambda: browser.post("/logout")
        elsewhere.get("/me")

        assert [form["grant_type"] for form in platform.exchanges] == ["authorization_code", "refresh_token"]
        assert store._tokens == {}
        plant(browser, copy)
        assert browser.get("/me").status_code == elsewhere.get("/me").status_code == 303


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


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_attack_logout_from_another_page(site_of: str, site: Site, browser: TestClient) -> None:
    """Neither a foreign page nor another host of the domain logs anybody out; an image cannot either."""
    site.log_in(browser)

    assert browser.post("/logout", headers={"Sec-Fetch-Site": site_of}).status_code == 403
    assert browser.get("/logout").status_code == 405
    assert browser.get("/me").status_code == 200
    assert browser.post("/logout", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
