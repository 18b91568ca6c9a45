"""A person's session: which workers know it, how long it lasts, and what its store may do."""

from __future__ import annotations

import time
from typing import Any

import attrs
import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import Depends
from fastapi.testclient import TestClient

import seic
from tests._support.fake_platform import FakePlatform
from tests._support.login_site import KEY, LOGIN, SESSION, Site, cookies_of, plant


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
        client._oauth._source.state.held.age()
        assert browser.get("/me").json() == "ada@example.com"

    assert [form["grant_type"] for form in platform.exchanges] == ["authorization_code", "refresh_token"]


def test_when_nothing_renews_the_token_the_person_logs_in_again(site: Site, browser: TestClient) -> None:
    """A refresh token that was withdrawn ends the session with a login page, not with an error."""
    site.log_in(browser)
    site.platform.kill("ada@example.com")
    (client,) = site.logins._sessions._clients.values()
    client._oauth._source.state.held.age()

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
    client._oauth._source.state.forget(client._oauth._source.state.held)
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


def test_a_refresh_is_kept_for_the_other_workers(site: Site, browser: TestClient) -> None:
    """While the session lives, its new token takes the old one's place."""
    site.log_in(browser)
    (client,) = site.logins._sessions._clients.values()
    client._oauth._source.state.held.age()
    browser.get("/me")

    assert "access-2" in {token.access_token for token in site.platform.store._tokens.values()}


def age_store(site: Site, seconds: float) -> None:
    """Let time pass for every token in the store."""
    store = site.platform.store
    store._tokens = {
        key: attrs.evolve(token, obtained_at=token.obtained_at - seconds) for key, token in store._tokens.items()
    }


def age_at_hand(site: Site, seconds: float) -> None:
    """Let time pass for every token that a worker has at hand."""
    for client in site.logins._sessions._clients.values():
        held = client._oauth._source.state.held
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
    monkeypatch.setattr("seic.fastapi._sessions._MAX_CLIENTS", 1)
    with site as browser:
        other = site.browser()
        site.log_in(browser)
        site.log_in(other, email="ben@example.com")
        assert len(site.logins._sessions._clients) == 1
        assert browser.get("/me").json() == "ada@example.com"
        assert other.get("/me").json() == "ben@example.com"
