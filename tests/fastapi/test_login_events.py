"""One stream of events for an application and all who log in to it, and what OpenTelemetry sees of people."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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
from tests._support.fake_platform import CALLBACK, FakePlatform
from tests._support.observatory import Observatory, facts, id_of, parent_of

AT = {"server.address": "api.seic.com", "server.port": 443}


class Site:
    """An application with a login."""

    def __init__(self, platform: FakePlatform, config: seic.Config | None = None, **options: Any) -> None:
        self.platform = platform
        self.heard: list[Event] = []
        self.logins = Logins(
            config or platform.config(),
            callback_url=CALLBACK,
            key=Fernet.generate_key(),
            transport=platform.transport,
            **options,
        )
        own = lifespan(
            platform.config(), also=self.logins.lifespan, transport=platform.transport, on_event=self.heard.append
        )
        self.app = FastAPI(lifespan=own)
        self.app.include_router(self.logins.router)

        async def me(client: seic.AsyncClient = Depends(self.logins.client)) -> Any:  # noqa: B008
            return (await client.get("/v1/me")).json()["email"]

        self.app.get("/me")(me)

    def visit(self, browser: TestClient, email: str) -> None:
        """Log somebody in, and look at the page."""
        browser.cookies.clear()
        location = browser.get("/login", follow_redirects=False).headers["Location"]
        browser.get(self.platform.log_in(location, email=email), follow_redirects=False)
        assert browser.get("/me").json() == email

    def open(self) -> TestClient:
        """Return a browser; the application runs while it is entered."""
        return TestClient(self.app, base_url="https://app.example")


@pytest.fixture
def seen() -> Iterator[Observatory]:
    """What was exported."""
    observatory = Observatory()
    yield observatory
    observatory.close()


def acquired(events: list[Event]) -> int:
    """Return how often a token was had."""
    return sum(isinstance(event, TokenAcquired) for event in events)


def test_the_applications_listener_hears_of_people(platform: FakePlatform) -> None:
    """One listener is enough: the one of the lifespan."""
    site = Site(platform)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        site.visit(browser, "bob@example.com")

    assert acquired(site.heard) == 2


def test_a_listener_of_peoples_own_takes_its_place(platform: FakePlatform) -> None:
    """Who wants people apart says so; nothing is heard twice."""
    people: list[Event] = []
    site = Site(platform, on_event=people.append)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")

    assert acquired(people) == 1
    assert site.heard == []


def test_one_may_listen_to_people_at_any_time(platform: FakePlatform) -> None:
    """Of those who are logged in already, too, and no more after the end."""
    site = Site(platform)
    later: list[Event] = []
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        stop = site.logins.listen(later.append)
        site.visit(browser, "bob@example.com")
        stop()
        site.visit(browser, "eve@example.com")

    assert acquired(later) == 1


def test_a_coroutine_function_is_waited_for(platform: FakePlatform) -> None:
    """When the application stops, what has begun comes to its end."""
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


def test_a_certificate_is_told_of_once_however_many_are_logged_in(platform: FakePlatform) -> None:
    """They share one, and a thousand listeners would say the same a thousand times."""
    authority = CertificateAuthority()
    pairs = [authority.issue("app-1") for _ in range(2)]
    given = [seic.ClientCertificate.load(pair.cert_pem, key=pair.key_pem) for pair in pairs]
    current = given[:1]
    hosts = seic.Hosts(api="https://api.seic.com", mtls="https://mtls.seic.example")
    site = Site(platform, platform.config(certificate=lambda: current[-1], hosts=hosts))
    with site.open() as browser:
        for email in ("ada@example.com", "bob@example.com"):
            site.visit(browser, email)
        current.append(given[1])
        site.logins._sessions._config.presenter.reload()
        assert sum(isinstance(event, CertificateRotated) for event in site.heard) == 1


# OpenTelemetry


def test_people_are_instrumented_like_a_client(platform: FakePlatform, seen: Observatory) -> None:
    """Each login's fetch with its request and its wait; each call; and no gauge for each person."""
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
    had = {"seic.token.outcome": "acquired"}
    assert (request.name, fetch.name) == ("POST", "seic.token.refresh")
    assert (parent_of(fetch), parent_of(request)) == (None, id_of(fetch))
    assert facts(fetch) == {**AT, **name, **had, "seic.token.ahead": False}
    assert facts(request) == {
        **AT,
        **name,
        **had,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.full": "https://api.seic.com/v2/oauth/token",
    }
    assert calls == [({**AT, **name, "http.request.method": "GET", "http.response.status_code": 200}, 1)]
    assert "seic.token.time_to_expiry" not in told


def test_a_renewal_of_a_persons_token_is_told_of(platform: FakePlatform, seen: Observatory) -> None:
    """The refresh that a rejected token leads to, and the replay."""
    site = Site(platform)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")
        seen.instrument(site.logins)
        platform._access.clear()
        assert browser.get("/me").json() == "ada@example.com"
        replays = [dict(point.attributes) for point in seen.points("seic.call.replays")]

    assert [span.name for span in seen.spans] == ["POST", "seic.token.refresh"]
    assert platform.exchanges[-1]["grant_type"] == "refresh_token"
    assert replays == [{**AT, "seic.replay.outcome": "replayed"}]


async def test_people_are_instrumented_without_http(platform: FakePlatform, seen: Observatory) -> None:
    """Where httpx is instrumented already."""
    site = Site(platform)
    seen.instrument(site.logins, http=False)
    with site.open() as browser:
        site.visit(browser, "ada@example.com")

    assert [span.name for span in seen.spans] == ["seic.token.refresh"]
    assert seen.points("http.client.request.duration") == []
    assert isinstance(site.logins.transport, httpx.AsyncBaseTransport)
