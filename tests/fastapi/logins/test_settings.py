"""Settings of `Logins`, and their replacement in an application's own tests."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette

import seic
from seic.fastapi import Logins, UserLogin
from tests._support.login_site import KEY, PAGE, Site
from tests._support.platform_mock import CALLBACK, PlatformMock


@pytest.mark.parametrize(
    ("changes", "options", "field"),
    [
        pytest.param({"store": None}, {}, "store", id="no store"),
        pytest.param({}, {"key": "short"}, "key", id="no key"),
        pytest.param({}, {"callback_url": "/login/callback"}, "callback_url", id="a relative URL"),
        pytest.param({}, {"callback_url": "http://app.example/cb"}, "callback_url", id="plain http"),
        pytest.param({}, {"name": "a b"}, "name", id="a name with a space"),
        pytest.param({}, {"name": ""}, "name", id="no name"),
    ],
)
def test_wrong_settings_are_refused(
    changes: dict[str, Any], options: dict[str, Any], field: str, platform: PlatformMock
) -> None:
    """When `Logins` is constructed."""
    with pytest.raises(seic.ConfigurationError) as caught:
        Logins(platform.config(**changes), **{"callback_url": CALLBACK, "key": KEY, **options})

    assert caught.value.field == field


def test_a_provider_without_logins_is_refused() -> None:
    """The gateway has no authorization endpoint."""
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


def test_a_provider_that_demands_more_is_refused(platform: PlatformMock) -> None:
    """At construction, and not by the provider's page in the user's browser."""
    demand = "require_pushed_authorization_requests"
    provider = attrs.evolve(platform.config().provider, login_demands=(demand,))
    config = platform.config(provider=provider, grant=seic.ClientCredentials(username="svc", password="password-1"))
    for attempt in (lambda: Logins(config, callback_url=CALLBACK, key=KEY), lambda: platform.config(provider=provider)):
        with pytest.raises(seic.ConfigurationError, match=demand) as caught:
            attempt()
        assert caught.value.field == "provider.login_demands"


@pytest.mark.parametrize(
    ("own", "requested"), [({}, "from-grant"), ({"scope": "from-logins"}, "from-logins")], ids=["grant", "Logins"]
)
def test_the_scope_of_the_grant_is_requested(own: dict[str, Any], requested: str, platform: PlatformMock) -> None:
    """At the login, unless `Logins` has one."""
    config = platform.config(grant=UserLogin(scope="from-grant"))
    app = Starlette(routes=Logins(config, callback_url=CALLBACK, key=KEY, **own).routes)
    browser = TestClient(app, base_url="https://app.example", follow_redirects=False)
    assert httpx.URL(browser.get("/login").headers["Location"]).params["scope"] == requested


def test_a_forgotten_lifespan_is_explained(platform: PlatformMock) -> None:
    """The message of the first login says what to add."""
    logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY)
    app = Starlette(routes=logins.routes)
    browser = TestClient(app, base_url="https://app.example", follow_redirects=False)
    callback = platform.log_in(browser.get("/login").headers["Location"])

    with pytest.raises(seic.ConfigurationError) as caught:
        browser.get(callback)

    assert "also=logins.lifespan" in str(caught.value)


async def test_the_grant_alone_gives_no_token(platform: PlatformMock) -> None:
    """Without a login there is no code, so nothing is sent."""
    async with seic.AsyncClient(platform.config(store=None), transport=platform) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()

    assert caught.value.code == "login_required"
    assert platform.forms == []


def test_plain_http_on_the_developers_machine(platform: PlatformMock) -> None:
    """Cookies then have neither Secure nor the prefix that requires it."""
    site = Site(platform, callback_url="http://localhost:8000/login/callback", secure=False)
    with site:
        browser = TestClient(site.app, base_url="http://localhost:8000", headers=PAGE, follow_redirects=False)
        site.log_in(browser)
        assert "seic-session" in browser.cookies
        assert browser.get("/me").json() == "ada@example.com"


def test_tests_can_replace_the_client(site: Site, browser: TestClient) -> None:
    """Handlers are tested without a login."""
    fake = httpx.AsyncClient(
        base_url="https://fake.example",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"email": "test@example.com"})),
    )
    site.app.dependency_overrides[site.logins.client] = lambda: fake

    assert browser.get("/me").json() == "test@example.com"
