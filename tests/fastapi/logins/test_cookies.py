"""Cookies of logins and sessions: encryption, key rotation, age, single use."""

from __future__ import annotations

import time

import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient

import seic
from seic.fastapi import Logins
from tests._support.login_site import KEY, SESSION, Site, login_cookie, plant
from tests._support.platform_mock import CALLBACK, PlatformMock

OTHER = Fernet.generate_key()


def status(site: Site, cookies: dict[str, str]) -> int:
    """Return the status of a user's page for a browser with these cookies."""
    with site as browser:
        plant(browser, cookies)
        return browser.get("/me").status_code


def session_of(site: Site) -> dict[str, str]:
    """Log a user in, and return the session cookie."""
    with site as browser:
        site.log_in(browser)
        return {SESSION: browser.cookies[SESSION]}


def test_keys_can_be_rotated(platform: PlatformMock) -> None:
    """The first of several keys encrypts, each decrypts; a removed key decrypts nothing."""
    old = session_of(Site(platform, key=KEY.decode()))
    new = session_of(Site(platform, key=[OTHER, KEY]))

    assert status(Site(platform, key=[OTHER, KEY]), old) == 200
    assert status(Site(platform, key=OTHER), new) == 200
    assert status(Site(platform, key=OTHER), old) == 303


@pytest.mark.parametrize("key", ["", "short", b"short", [], ["short"], None, [None]])
def test_a_malformed_key_is_an_error(key: object, platform: PlatformMock) -> None:
    """The message has the command that makes a key, and not the value."""
    with pytest.raises(seic.ConfigurationError) as caught:
        Logins(platform.config(), callback_url=CALLBACK, key=key)  # type: ignore[arg-type]

    assert caught.value.field == "key"
    assert "Fernet.generate_key" in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_cookie_with_other_characters_is_ignored(browser: TestClient) -> None:
    """The user is redirected to the login."""
    assert browser.get("/me", headers=[(b"Cookie", f"{SESSION}=é".encode("latin-1"))]).status_code == 303


@pytest.mark.parametrize(("age", "expected"), [(590, 303), (610, 400)], ids=["within", "over"])
def test_a_login_lasts_10_minutes(age: int, expected: int, site: Site, browser: TestClient) -> None:
    """The browser may keep the cookie longer."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])
    fernet = Fernet(KEY)
    name = login_cookie(browser.cookies)
    content = fernet.decrypt(browser.cookies[name])
    plant(browser, {name: fernet.encrypt_at_time(content, int(time.time()) - age).decode()})

    assert browser.get(callback).status_code == expected


@pytest.mark.parametrize(("after", "remembered"), [(599.9, True), (600.0, False)], ids=["within", "over"])
def test_a_used_state_is_remembered_for_10_minutes(
    after: float, remembered: bool, site: Site, browser: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Later the cookie has expired, so the process can forget it."""
    callback = site.platform.log_in(browser.get("/login").headers["Location"])
    copy = dict(browser.cookies)
    assert browser.get(callback).status_code == 303
    site.platform.clock.advance(after)
    plant(browser, copy)

    assert browser.get(callback).status_code == 400
    assert ("state does not match" in caplog.text) is remembered


def test_the_number_of_used_states_is_limited(
    site: Site, browser: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest is forgotten first; its code works only once anyway."""
    monkeypatch.setattr("seic.fastapi._login_state._MAX_STATES", 3)
    logins = []
    for _ in range(4):
        callback = site.platform.log_in(browser.get("/login").headers["Location"])
        logins.append((callback, dict(browser.cookies)))
        assert browser.get(callback).status_code == 303

    for (callback, copy), remembered in ((logins[-1], True), (logins[0], False)):
        caplog.clear()
        plant(browser, copy)
        assert browser.get(callback).status_code == 400
        assert ("state does not match" in caplog.text) is remembered
