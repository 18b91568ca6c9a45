"""OpenTelemetry for the clients and logins of an application: `lifespan(instrument=True)`."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette

import seic.otel
from seic.fastapi import Logins, lifespan
from seic.testing import MockProvider
from tests._support.login_site import KEY
from tests._support.observatory import Observatory
from tests._support.platform_mock import CALLBACK, PlatformMock


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Observatory]:
    """The exported spans and metrics of `instrument=True`; the global providers can be set only once."""
    observatory = Observatory()
    original = seic.otel.instrument
    monkeypatch.setattr(
        seic.otel,
        "instrument",
        lambda client, **options: original(
            client,
            tracer_provider=observatory.tracer_provider,
            meter_provider=observatory.meter_provider,
            **options,
        ),
    )
    yield observatory
    observatory.close()


def test_a_refusal_at_the_start_is_counted(gateway: MockProvider, seen: Observatory) -> None:
    """The listener is there before the first token request."""
    gateway.token_responses.append(httpx.Response(401, json={"error": "invalid_client"}))
    app = Starlette(lifespan=lifespan(gateway.config(), transport=gateway, warm=True, instrument=True))
    with TestClient(app):
        point = seen.point("seic.token.request.duration")
        ready = seen.point("seic.ready")

    assert (point.count, point.attributes["seic.token.outcome"]) == (1, "refused")
    assert point.attributes["seic.client.name"] == "default"
    assert (ready.value, ready.attributes["seic.client.name"]) == (0, "default")
    assert seen.one("seic.token.refresh").attributes["seic.token.outcome"] == "refused"  # type: ignore[index]


def test_each_client_and_logins_have_their_names(gateway: MockProvider, seen: Observatory) -> None:
    """Requests of clients and of users are recorded."""
    platform = PlatformMock()
    logins = Logins(platform.config(), callback_url=CALLBACK, key=KEY, name="people", transport=platform)
    configs = {"one": gateway.config(), "two": gateway.config()}
    run = lifespan(configs, also=logins.lifespan, transport=gateway, warm=True, instrument=True)
    app = Starlette(routes=[*logins.routes], lifespan=run)
    with TestClient(app, base_url="https://app.example", follow_redirects=False) as browser:
        browser.get(platform.log_in(browser.get("/login").headers["Location"]))
        names = {point.attributes["seic.client.name"] for point in seen.points("seic.token.request.duration")}

    assert names == {"one", "two", "people"}


def test_the_end_of_the_application_ends_it(gateway: MockProvider, seen: Observatory) -> None:
    """A stopped application has no gauges."""
    app = Starlette(lifespan=lifespan(gateway.config(), transport=gateway, instrument=True))
    with TestClient(app):
        assert seen.point("seic.ready").value == 1

    assert seen.points("seic.ready") == []


def test_it_is_off_by_default(gateway: MockProvider, seen: Observatory) -> None:
    """The extra is not needed."""
    app = Starlette(lifespan=lifespan(gateway.config(), transport=gateway, warm=True))
    with TestClient(app):
        assert seen.points("seic.token.request.duration") == []
