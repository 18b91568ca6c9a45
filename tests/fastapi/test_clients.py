"""Clients of an application: lifespan, dependencies, and their replacement in tests."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

import seic
from seic.fastapi import SeicClient, client_named, clients_of, get_client, lifespan, readiness_route
from seic.testing import MockProvider

PlatformClient = Annotated[seic.AsyncClient, Depends(client_named("platform"))]


async def test_a_handler_gets_the_client_by_its_annotation(gateway: MockProvider) -> None:
    """The application of the documentation."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))

    @app.get("/accounts")
    async def accounts(client: SeicClient) -> Any:
        return (await client.get("/v1/accounts")).json()

    with TestClient(app) as browser:
        assert browser.get("/accounts").json() == {"path": "/v1/accounts"}
        assert browser.get("/accounts").status_code == 200

    assert gateway.issued_tokens == 1


async def test_starlette_without_fastapi_is_enough(gateway: MockProvider) -> None:
    """Without dependency injection, `clients_of` finds the clients."""

    async def accounts(request: Request) -> JSONResponse:
        return JSONResponse((await clients_of(request)["default"].get("/v1/accounts")).json())

    app = Starlette(
        routes=[Route("/accounts", accounts)],
        lifespan=lifespan(gateway.config(), transport=gateway),
    )

    with TestClient(app) as browser:
        assert browser.get("/accounts").json() == {"path": "/v1/accounts"}


def test_the_client_lives_as_long_as_the_application(gateway: MockProvider) -> None:
    """One client for all requests, closed when the application stops."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))
    seen: list[seic.AsyncClient] = []

    @app.get("/")
    async def see(client: SeicClient) -> None:
        seen.append(client)

    with TestClient(app) as browser:
        browser.get("/")
        browser.get("/")
        assert not seen[0].is_closed

    assert seen[0] is seen[1]
    assert seen[0].is_closed


def test_a_custom_lifespan_runs_inside(gateway: MockProvider) -> None:
    """The clients are open when it starts and ends; its state reaches the request."""
    moments: list[bool] = []

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        client = app.state.seic["default"]
        moments.append(client.is_closed)
        yield {"greeting": "hello"}
        moments.append(client.is_closed)

    app = FastAPI(lifespan=lifespan(gateway.config(), also=own, transport=gateway))

    @app.get("/")
    async def greet(request: Request, client: SeicClient) -> str:
        return str(request.state.greeting)

    with TestClient(app) as browser:
        assert browser.get("/").json() == "hello"

    assert moments == [False, False]


@pytest.mark.parametrize("passes_on", [True, False], ids=["state yielded", "state not yielded"])
def test_a_custom_lifespan_can_enter_it(gateway: MockProvider, passes_on: bool) -> None:
    """It works even if the state is not yielded."""
    ours = lifespan(gateway.config(), transport=gateway)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with ours(app) as state:
            yield {**(state if passes_on else {}), "greeting": "hello"}

    app = FastAPI(lifespan=own)

    @app.get("/")
    async def greet(client: SeicClient) -> int:
        return (await client.get("/v1/accounts")).status_code

    with TestClient(app) as browser:
        assert browser.get("/").json() == 200


@pytest.mark.parametrize("inner_last", [True, False], ids=["inner state last", "outer state last"])
def test_an_application_can_enter_several(gateway: MockProvider, inner_last: bool) -> None:
    """All clients are found, whichever state is yielded last."""
    first = lifespan(gateway.config(), transport=gateway)
    second = lifespan({"platform": gateway.config(client_id="AppKey-2")}, transport=gateway)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with first(app) as outer, second(app) as inner:
            yield {**outer, **inner} if inner_last else {**inner, **outer}

    app = FastAPI(lifespan=own)
    app.routes.append(readiness_route("/ready"))

    @app.get("/")
    async def both(one: SeicClient, two: PlatformClient) -> list[str]:
        return [reply.request.headers["AppKey"] for reply in (await one.get("/v1/a"), await two.get("/v1/a"))]

    for _ in range(2):  # it can be restarted
        with TestClient(app) as browser:
            assert browser.get("/").json() == ["AppKey-1", "AppKey-2"]
            assert list(browser.get("/ready").json()["clients"]) == ["default", "platform"]
        assert not hasattr(app.state, "seic")


def test_outer_clients_outlive_those_of_a_nested_lifespan(gateway: MockProvider) -> None:
    """The clients of a nested lifespan are removed when it ends; those of the outer one stay."""
    first = lifespan(gateway.config(), transport=gateway)
    second = lifespan({"platform": gateway.config()}, transport=gateway)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with first(app) as outer:
            async with second(app):
                assert set(outer["seic"]) == {"default", "platform"}
            assert set(outer["seic"]) == {"default"}
            yield outer

    with TestClient(FastAPI(lifespan=own)):
        pass


def test_two_clients_of_one_name_are_refused(gateway: MockProvider) -> None:
    """The error names the name."""
    ours = lifespan(gateway.config(), transport=gateway)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with ours(app) as outer, ours(app):
            yield outer

    with (
        pytest.raises(seic.ConfigurationError, match="two clients are named 'default'"),
        TestClient(FastAPI(lifespan=own)),
    ):
        pass


def test_a_mounted_application_shares_the_clients(gateway: MockProvider) -> None:
    """Starlette does not run the lifespan of a mounted application."""
    inner = FastAPI()

    @inner.get("/accounts")
    async def accounts(client: SeicClient) -> int:
        return (await client.get("/v1/accounts")).status_code

    app = Starlette(routes=[Mount("/inner", inner)], lifespan=lifespan(gateway.config(), transport=gateway))

    with TestClient(app) as browser:
        assert browser.get("/inner/accounts").json() == 200


def test_each_configuration_has_a_client(gateway: MockProvider) -> None:
    """Each has its own token and is found by its name."""
    configs = {"default": gateway.config(), "platform": gateway.config(client_id="AppKey-2")}
    app = FastAPI(lifespan=lifespan(configs, transport=gateway))

    @app.get("/")
    async def both(one: SeicClient, two: PlatformClient) -> list[str]:
        return [reply.request.headers["AppKey"] for reply in (await one.get("/v1/a"), await two.get("/v1/a"))]

    with TestClient(app) as browser:
        assert browser.get("/").json() == ["AppKey-1", "AppKey-2"]

    assert gateway.issued_tokens == 2


def test_one_name_is_one_dependency() -> None:
    """Overrides in tests depend on it."""
    assert client_named("platform") is client_named("platform")
    assert client_named("platform") is not client_named("other")
    assert client_named("default") is get_client


@pytest.mark.parametrize(
    ("dependency", "path"),
    [pytest.param(get_client, "/one", id="default"), pytest.param(client_named("platform"), "/two", id="named")],
)
def test_a_test_replaces_the_client(gateway: MockProvider, dependency: Any, path: str) -> None:
    """No lifespan, configuration or network is needed."""
    app = FastAPI()

    @app.get("/one")
    async def one(client: SeicClient) -> Any:
        return (await client.get("/v1/accounts")).json()

    @app.get("/two")
    async def two(client: PlatformClient) -> Any:
        return (await client.get("/v1/accounts")).json()

    fake = httpx.AsyncClient(
        base_url="https://fake.example",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json="replaced")),
    )
    app.dependency_overrides[dependency] = lambda: fake

    assert TestClient(app).get(path).json() == "replaced"


def test_a_web_socket_gets_the_client(gateway: MockProvider) -> None:
    """The dependency takes an `HTTPConnection`."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))

    @app.websocket("/ws")
    async def ws(socket: WebSocket, client: SeicClient) -> None:
        await socket.accept()
        await socket.send_json((await client.get("/v1/accounts")).status_code)
        await socket.close()

    with TestClient(app) as browser, browser.websocket_connect("/ws") as socket:
        assert socket.receive_json() == 200


@pytest.mark.parametrize(("warm", "tokens"), [pytest.param(True, 1, id="warm"), pytest.param(False, 0, id="cold")])
def test_warm_requests_the_token_on_start(gateway: MockProvider, warm: bool, tokens: int) -> None:
    """Otherwise the first request does."""
    app = FastAPI(lifespan=lifespan(gateway.config(), warm=warm, transport=gateway))

    with TestClient(app):
        assert gateway.issued_tokens == tokens


def test_an_application_starts_during_an_outage(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged."""
    gateway.token_responses.extend([httpx.Response(503), httpx.Response(503)])
    app = FastAPI(lifespan=lifespan(gateway.config(), warm=True, transport=gateway))

    with TestClient(app):
        pass

    (record,) = [record for record in caplog.records if record.name == "seic.fastapi"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("default: started without a token: ")


def test_the_settings_are_read_when_the_application_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing needs no variables; a start without them fails and names the variable."""
    app = FastAPI(lifespan=lifespan())
    for name in ("SEIC_CLIENT_ID", "SEIC_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(seic.ConfigurationError) as caught, TestClient(app):
        pass

    assert caught.value.field == "SEIC_CLIENT_ID"


def test_an_unknown_client_is_explained(gateway: MockProvider) -> None:
    """The message names the existing clients."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))

    @app.get("/")
    async def see(client: PlatformClient) -> None: ...

    with TestClient(app) as browser, pytest.raises(seic.ConfigurationError) as caught:
        browser.get("/")

    assert "'platform'" in str(caught.value)
    assert "'default'" in str(caught.value)


def test_a_forgotten_lifespan_is_explained() -> None:
    """The message says what to add; in tests it is often the `with`."""
    app = FastAPI()

    @app.get("/")
    async def see(client: SeicClient) -> None: ...

    with pytest.raises(seic.ConfigurationError) as caught:
        TestClient(app).get("/")

    assert "lifespan=seic.fastapi.lifespan(" in str(caught.value)


def test_the_listener_hears_every_client(gateway: MockProvider) -> None:
    """One listener for the application."""
    heard: list[str] = []
    app = FastAPI(
        lifespan=lifespan(
            {"one": gateway.config(), "two": gateway.config()},
            warm=True,
            on_event=lambda event: heard.append(event.name),
            transport=gateway,
        )
    )
    with TestClient(app):
        pass

    assert heard.count("token acquired") == 2
