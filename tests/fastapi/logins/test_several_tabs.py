"""Several logins in progress in one browser, one for each tab."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import Depends
from fastapi.testclient import TestClient

import seic
from seic.fastapi import SessionStateStorage
from tests._support.login_site import Site
from tests._support.platform_mock import PlatformMock

_STORAGES = pytest.mark.parametrize("login_state", [None, SessionStateStorage()], ids=["cookies", "session"])


def begin(site: Site, browser: TestClient, address: str) -> str:
    """Request a page, go to the login, and return the callback to which the provider sends the browser back."""
    to_login = browser.get(address).headers["Location"]
    return site.platform.log_in(browser.get(to_login).headers["Location"])


@pytest.fixture
def pages(platform: PlatformMock) -> Any:
    """Return a function that makes an application with numbered pages."""

    def make(**options: Any) -> Site:
        site = Site(platform, **options)

        async def page(client: seic.AsyncClient = Depends(site.logins.client)) -> str:  # noqa: B008
            return str((await client.get("/v1/me")).json()["email"])

        site.app.get("/page/{number}")(page)
        return site

    return make


@_STORAGES
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_each_tab_comes_back_to_its_own_page(order: tuple[int, ...], login_state: Any, pages: Any) -> None:
    """A browser that restores its tabs starts a login in each; they end in any order."""
    site = pages(login_state=login_state)
    with site as browser:
        callbacks = [begin(site, browser, f"/page/{number}") for number in range(3)]
        for number in order:
            back = browser.get(callbacks[number])
            assert (back.status_code, back.headers["Location"]) == (303, f"/page/{number}")
            assert browser.get(f"/page/{number}").json() == "ada@example.com"


@_STORAGES
def test_a_failed_login_does_not_affect_other_tabs(login_state: Any, pages: Any) -> None:
    """The user cancels one of two."""
    site = pages(login_state=login_state)
    with site as browser:
        first, second = (begin(site, browser, f"/page/{number}") for number in range(2))
        state = urlsplit(first).query.partition("state=")[2]

        assert browser.get(f"/login/callback?error=access_denied&state={state}").status_code == 400
        assert browser.get(second).headers["Location"] == "/page/1"
        assert browser.get(first).status_code == 400


@_STORAGES
def test_abandoned_logins_do_not_fill_the_browser(login_state: Any, pages: Any) -> None:
    """The newest logins are kept, within the size that servers accept for a header."""
    site = pages(login_state=login_state)
    with site as browser:
        callbacks = [begin(site, browser, f"/page/{number}") for number in range(40)]
        assert sum(len(name) + len(value) for name, value in browser.cookies.items()) < 6600

        assert [browser.get(callback).status_code for callback in callbacks[-3:]] == [303] * 3
        assert browser.get(callbacks[0]).status_code == 400


def test_long_addresses_displace_each_other(pages: Any) -> None:
    """All cookies together fit a header of 8 KiB, which is the limit of some servers."""
    site = pages()
    with site as browser:
        callbacks = [begin(site, browser, f"/page/{number}?x={'y' * 1400}") for number in range(3)]
        assert sum(len(value) for value in browser.cookies.values()) <= 6144

        assert browser.get(callbacks[0]).status_code == 400
        assert browser.get(callbacks[1]).headers["Location"].startswith("/page/1?x=y")
        assert browser.get(callbacks[2]).headers["Location"].startswith("/page/2?x=y")


def test_three_tabs_with_usual_addresses_fit(pages: Any) -> None:
    """Addresses of 700 characters, as of a page with filters."""
    site = pages()
    with site as browser:
        callbacks = [begin(site, browser, f"/page/{number}?x={'y' * 690}") for number in range(3)]

        assert [browser.get(callback).status_code for callback in callbacks] == [303] * 3


def test_other_cookies_are_kept(pages: Any) -> None:
    """Also those of other logins whose names begin in the same way."""
    site = pages()
    with site as browser:
        browser.cookies.set("__Host-seic-login-x-login-0", "z" * 4000, domain="app.example")
        browser.cookies.set("theme", "z" * 4000, domain="app.example")
        for number in range(12):
            begin(site, browser, f"/page/{number}")

        assert len(browser.cookies["theme"]) == 4000
        assert len(browser.cookies["__Host-seic-login-x-login-0"]) == 4000
