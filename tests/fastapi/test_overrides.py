"""Tests of an application that enter its lifespan: overridden clients need no settings and send no request."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

import seic
from seic.fastapi import SeicClient, SeicSettings, client_named, get_client, lifespan, readiness_route
from seic.testing import MockProvider

OtherClient = Annotated[seic.AsyncClient, Depends(client_named("other"))]


def fake() -> httpx.AsyncClient:
    """Return a client without a provider."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=request.url.path))
    return httpx.AsyncClient(base_url="https://fake.example", transport=transport)


def app_of(run: Any, *overridden: Any) -> FastAPI:
    """Return an application with overrides."""
    app = FastAPI(lifespan=run)

    @app.get("/default")
    async def default(client: SeicClient) -> Any:
        return (await client.get("/a")).json()

    @app.get("/other")
    async def other(client: OtherClient) -> Any:
        return (await client.get("/b")).json()

    app.routes.append(readiness_route())
    for dependency in overridden:
        app.dependency_overrides[dependency] = fake
    return app


def several() -> dict[str, seic.Config]:
    """Read the settings, as an application does when it starts."""
    return {"default": seic.Config.from_env(), "other": seic.Config.from_env(client_id="2")}


@pytest.mark.parametrize(
    ("run", "overridden", "answers"),
    [
        pytest.param(lifespan(), [get_client], {"/default": "/a", "/ready": None}, id="environment"),
        pytest.param(lifespan(warm=True), [get_client], {"/default": "/a"}, id="warm"),
        pytest.param(lifespan(lambda: SeicSettings().config()), [get_client], {"/default": "/a"}, id="pydantic"),
        pytest.param(
            lifespan(several), [get_client, client_named("other")], {"/default": "/a", "/other": "/b"}, id="several"
        ),
        pytest.param(lifespan(several), [client_named("other")], {"/other": "/b"}, id="one of several"),
    ],
)
def test_an_application_with_overrides_starts_without_settings(
    run: Any, overridden: list[Any], answers: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    """With `with TestClient(app)`, as FastAPI's documentation does; the log tells which settings are missing."""
    with TestClient(app_of(run, *overridden)) as browser:
        for path, answer in answers.items():
            reply = browser.get(path)
            assert reply.status_code == 200
            assert answer is None or reply.json() == answer

    assert "started without clients" in caplog.text


def test_without_overrides_missing_settings_are_an_error() -> None:
    """The application does not start."""
    with pytest.raises(seic.ConfigurationError), TestClient(app_of(lifespan())):
        pass


def test_a_client_that_is_not_overridden_is_opened_as_usual(gateway: MockProvider) -> None:
    """An overridden one is not: it requests no token, even with `warm`."""
    configs = {"default": gateway.config(), "other": gateway.config(client_id="AppKey-2")}
    app = app_of(lifespan(configs, transport=gateway, warm=True), get_client)
    with TestClient(app) as browser:
        assert browser.get("/default").json() == "/a"
        assert browser.get("/other").json() == {"path": "/b"}
        assert list(browser.get("/ready").json()["clients"]) == ["other"]

    assert gateway.issued_tokens == 1


def test_an_unexpected_error_of_the_settings_is_not_hidden() -> None:
    """Only missing and malformed settings are a warning."""

    def broken() -> seic.Config:
        raise LookupError("no such file")

    with pytest.raises(LookupError), TestClient(app_of(lifespan(broken), get_client)):
        pass


def test_the_warning_has_no_value_of_a_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pydantic's message quotes the settings."""
    monkeypatch.setenv("SEIC_PASSWORD", "sesame")
    caplog.set_level(logging.INFO)
    with TestClient(app_of(lifespan(lambda: SeicSettings().config()), get_client)):
        pass

    assert "started without clients" in caplog.text
    assert "sesame" not in caplog.text
