"""Events of logged-in users, and their spans and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

import seic
from seic.events import CertificateRotated, Event, TokenAcquired
from seic.fastapi import Logins, lifespan
from seic.sandbox import CertificateAuthority
from tests._support.observatory import Observatory, facts, id_of, parent_of
from tests._support.platform_mock import CALLBACK, PlatformMock

AT = {"server.address": "api.example", "server.port": 443}


class Site:
    """An application with logins.

    Attributes:
        heard: The events of the application's listener.
        client: The client of the last visitor.
    """

    client: seic.AsyncClient

    def __init__(self, platform: PlatformMock, config: seic.Config | None = None, **options: Any) -> None:
        self.platform = platform
        self.heard: list[Event] = []
        self.logins = Logins(
            config or platform.config(),
            callback_url=CALLBACK,
            key=Fernet.generate_key(),
            transport=platform,
            **options,
        )
        own = lifespan(platform.config(), also=self.logins.lifespan, transport=platform, on_event=self.heard.append)
        self.app = FastAPI(lifespan=own)
        self.app.include_router(self.logins.router)

        async def me(client: seic.AsyncClient = Depends(self.logins.client)) -> Any:  # noqa: B008
            self.client = client
            return (await client.get("/v1/me")).json()["email"]

        self.app.get("/me")(me)

    def visit(self, browser: TestClient, email: str) -> None:
        """Log a user in, and open the page."""
        browser.cookies.clear()
        location = browser.get("/login", follow_redirects=False).headers["Location"]
        browser.get(self.platform.log_in(location, username=email), follow_redirects=False)
        assert browser.get("/me").json() == email

    def open(self) -> TestClient:
        """Return a browser; entering it starts the application."""
        return TestClient(self.app, base_url="https://app.example")


@pytest.fixture
def seen() -> Iterator[Observatory]:
    """The exported spans and metrics."""
    observatory = Observatory()
    yield observatory
    observatory.close()


def acquired(events: list[Event]) -> int:
    """Return the number of acquired tokens."""
    return sum(isinstance(event, TokenAcquired) for event in events)


def test_the_applications_listener_hears_of_users(platform: PlatformMock) -> None:
    """The listener of the lifespan is enough."""
    site = Site(platform)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        site.visit(browser, "bob@example.com")

    assert acquired(site.heard) == 2


def test_a_nested_lifespan_keeps_the_listener(platform: PlatformMock) -> None:
    """Logins in a lifespan without a listener take that of the outer one."""
    site = Site(platform)
    logins = Logins(platform.config(), callback_url=CALLBACK, key=Fernet.generate_key(), transport=platform)

    @contextlib.asynccontextmanager
    async def nested(app: FastAPI) -> AsyncIterator[None]:
        outer = lifespan({}, on_event=site.heard.append)
        inner = lifespan({}, also=logins.lifespan)
        async with outer(app), inner(app):
            yield

    site.app = FastAPI(lifespan=nested)
    site.app.include_router(logins.router)
    with site.open() as browser:
        location = browser.get("/login", follow_redirects=False).headers["Location"]
        browser.get(platform.log_in(location), follow_redirects=False)

    assert acquired(site.heard) == 1


def test_a_listener_of_logins_replaces_it(platform: PlatformMock) -> None:
    """Events of users are not reported twice."""
    people: list[Event] = []
    site = Site(platform, on_event=people.append)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")

    assert acquired(people) == 1
    assert site.heard == []


def test_a_listener_can_be_added_at_any_time(platform: PlatformMock) -> None:
    """It hears of users who are logged in already, until it is removed."""
    site = Site(platform)
    later: list[Event] = []
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        stop = site.logins.listen(later.append)
        site.visit(browser, "bob@example.com")
        stop()
        site.visit(browser, "eve@example.com")

    assert acquired(later) == 1


def test_a_coroutine_function_is_waited_for(platform: PlatformMock) -> None:
    """The application stops after the listener's calls have ended."""
    people: list[Event] = []

    async def listener(event: Event) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        people.append(event)

    told: list[Event] = []
    site = Site(platform, on_event=listener)
    site.logins.listen(told.append)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")

    assert [type(event) for event in people] == [type(event) for event in told]
    assert told


def test_a_rotation_is_reported_once(platform: PlatformMock) -> None:
    """All users share the certificate."""
    authority = CertificateAuthority()
    pairs = [authority.issue("app-1") for _ in range(2)]
    given = [seic.ClientCertificate.load(pair.cert_pem, key=pair.key_pem) for pair in pairs]
    current = given[:1]
    hosts = seic.Hosts(api="https://api.example", mtls="https://mtls.seic.example")
    site = Site(platform, platform.config(certificate=lambda: current[-1], hosts=hosts))
    with site.open() as browser:
        for email in ("ada@example.com", "bob@example.com"):
            site.visit(browser, email)
        current.append(given[1])
        assert browser.portal is not None
        browser.portal.call(site.client.reload_certificate)
        assert sum(isinstance(event, CertificateRotated) for event in site.heard) == 1


# OpenTelemetry


def test_logins_are_instrumented_like_a_client(platform: PlatformMock, seen: Observatory) -> None:
    """Refreshes, token requests and API requests are traced; there is no gauge for each user."""
    site = Site(platform)
    stop = seen.instrument(site.logins, name="people")
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        told = [metric.name for _, metric in seen.metrics]
        calls = [(dict(point.attributes), point.count) for point in seen.points("http.client.request.duration")]
        stop()
        site.visit(browser, "bob@example.com")

    request, fetch = seen.spans
    name = {"seic.client.name": "people"}
    had = {"seic.token.outcome": "acquired", "seic.tracking_id": "track-1"}
    assert (request.name, fetch.name) == ("POST", "seic.token.refresh")
    assert (parent_of(fetch), parent_of(request)) == (None, id_of(fetch))
    assert facts(fetch) == {**AT, **name, **had, "seic.token.ahead": False}
    assert facts(request) == {
        **AT,
        **name,
        **had,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.full": "https://api.example/v2/oauth/token",
    }
    assert calls == [({**AT, **name, "http.request.method": "GET", "http.response.status_code": 200}, 1)]
    assert "seic.token.time_to_expiry" not in told


def test_a_refresh_after_a_401_is_traced(platform: PlatformMock, seen: Observatory) -> None:
    """The refresh and the replay."""
    site = Site(platform)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        seen.instrument(site.logins)
        platform.revoke_all()
        assert browser.get("/me").json() == "ada@example.com"
        replays = [dict(point.attributes) for point in seen.points("seic.call.replays")]

    assert [span.name for span in seen.spans] == ["POST", "seic.token.refresh"]
    assert platform.forms[-1]["grant_type"] == "refresh_token"
    assert replays == [{**AT, "seic.replay.outcome": "replayed"}]


async def test_logins_are_instrumented_without_http(platform: PlatformMock, seen: Observatory) -> None:
    """For applications that instrument httpx already."""
    site = Site(platform)
    seen.instrument(site.logins, http=False)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")

    assert [span.name for span in seen.spans] == ["seic.token.refresh"]
    assert seen.points("http.client.request.duration") == []
    assert isinstance(site.logins.transport, httpx.AsyncBaseTransport)
