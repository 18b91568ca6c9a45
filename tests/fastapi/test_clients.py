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
from seic.fastapi._clients import listener_of
from tests._support.fake_gateway import FakeGateway

PlatformClient = Annotated[seic.AsyncClient, Depends(client_named("platform"))]


async def test_a_handler_has_the_client_by_its_annotation(gateway: FakeGateway) -> None:
    """The whole of it in five lines of an application."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway.transport))

    @app.get("/accounts")
    async def accounts(client: SeicClient) -> Any:
        return (await client.get("/v1/accounts")).json()

    with TestClient(app) as browser:
        assert browser.get("/accounts").json() == {"path": "/v1/accounts"}
        assert browser.get("/accounts").status_code == 200

    assert gateway.tokens == 1


async def test_starlette_alone_will_do(gateway: FakeGateway) -> None:
    """Where there is no dependency injection, the request knows the clients."""

    async def accounts(request: Request) -> JSONResponse:
        return JSONResponse((await clients_of(request)["default"].get("/v1/accounts")).json())

    app = Starlette(
        routes=[Route("/accounts", accounts)],
        lifespan=lifespan(gateway.config(), transport=gateway.transport),
    )

    with TestClient(app) as browser:
        assert browser.get("/accounts").json() == {"path": "/v1/accounts"}


def test_the_client_lives_as_long_as_the_application(gateway: FakeGateway) -> None:
    """It is open while the application runs, one for all requests, and closed after."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway.transport))
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


def test_a_lifespan_of_ones_own_runs_within(gateway: FakeGateway) -> None:
    """It finds the clients open when it begins and when it ends, and what it yields reaches the request."""
    moments: list[bool] = []

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        client = app.state.seic["default"]
        moments.append(client.is_closed)
        yield {"greeting": "hello"}
        moments.append(client.is_closed)

    app = FastAPI(lifespan=lifespan(gateway.config(), also=own, transport=gateway.transport))

    @app.get("/")
    async def greet(request: Request, client: SeicClient) -> str:
        return str(request.state.greeting)

    with TestClient(app) as browser:
        assert browser.get("/").json() == "hello"

    assert moments == [False, False]


@pytest.mark.parametrize("passes_on", [True, False], ids=["state passed on", "state forgotten"])
def test_a_lifespan_of_ones_own_may_enter_it(gateway: FakeGateway, passes_on: bool) -> None:
    """Composed the other way round; forgetting to yield the state costs nothing."""
    ours = lifespan(gateway.config(), transport=gateway.transport)

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
def test_an_application_may_have_several(gateway: FakeGateway, inner_last: bool) -> None:
    """A router brings its own, or one lifespan enters two; whichever state is passed on, all clients are there."""
    first = lifespan(gateway.config(), transport=gateway.transport)
    second = lifespan({"platform": gateway.config(client_id="AppKey-2")}, transport=gateway.transport)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with first(app) as outer, second(app) as inner:
            yield {**outer, **inner} if inner_last else {**inner, **outer}

    app = FastAPI(lifespan=own)
    app.routes.append(readiness_route("/ready"))

    @app.get("/")
    async def both(one: SeicClient, two: PlatformClient) -> list[str]:
        return [reply.request.headers["AppKey"] for reply in (await one.get("/v1/a"), await two.get("/v1/a"))]

    for _ in range(2):  # it may start again
        with TestClient(app) as browser:
            assert browser.get("/").json() == ["AppKey-1", "AppKey-2"]
            assert list(browser.get("/ready").json()["clients"]) == ["default", "platform"]
        assert not hasattr(app.state, "seic")


def test_the_first_ones_clients_outlive_the_second(gateway: FakeGateway) -> None:
    """What was entered within another leaves no trace in it; without a listener of its own, the other's stays."""
    heard: list[seic.events.Event] = []
    first = lifespan(gateway.config(), transport=gateway.transport, on_event=heard.append)
    second = lifespan({"platform": gateway.config()}, transport=gateway.transport)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with first(app) as outer:
            async with second(app):
                assert set(outer["seic"]) == set(outer["seic"].trackers) == {"default", "platform"}
                assert listener_of(app) == heard.append
            assert set(outer["seic"]) == set(outer["seic"].trackers) == {"default"}
            yield outer

    with TestClient(FastAPI(lifespan=own)):
        pass


def test_two_clients_of_one_name_are_refused(gateway: FakeGateway) -> None:
    """One of them would never be found."""
    ours = lifespan(gateway.config(), transport=gateway.transport)

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with ours(app) as outer, ours(app):
            yield outer

    with pytest.raises(seic.ConfigurationError, match="two clients named 'default'"), TestClient(FastAPI(lifespan=own)):
        pass


def test_a_mounted_application_shares_the_clients(gateway: FakeGateway) -> None:
    """Its own lifespan never runs, so it lives by its parent's."""
    inner = FastAPI()

    @inner.get("/accounts")
    async def accounts(client: SeicClient) -> int:
        return (await client.get("/v1/accounts")).status_code

    app = Starlette(routes=[Mount("/inner", inner)], lifespan=lifespan(gateway.config(), transport=gateway.transport))

    with TestClient(app) as browser:
        assert browser.get("/inner/accounts").json() == 200


def test_several_configurations_have_a_client_each(gateway: FakeGateway) -> None:
    """Each keeps a token of its own, and is found by its name."""
    configs = {"default": gateway.config(), "platform": gateway.config(client_id="AppKey-2")}
    app = FastAPI(lifespan=lifespan(configs, transport=gateway.transport))

    @app.get("/")
    async def both(one: SeicClient, two: PlatformClient) -> list[str]:
        return [reply.request.headers["AppKey"] for reply in (await one.get("/v1/a"), await two.get("/v1/a"))]

    with TestClient(app) as browser:
        assert browser.get("/").json() == ["AppKey-1", "AppKey-2"]

    assert gateway.tokens == 2


def test_one_name_is_one_dependency() -> None:
    """Or an override would replace another function than the one that handlers depend on."""
    assert client_named("platform") is client_named("platform")
    assert client_named("platform") is not client_named("other")
    assert client_named("default") is get_client


@pytest.mark.parametrize(
    ("dependency", "path"),
    [pytest.param(get_client, "/one", id="default"), pytest.param(client_named("platform"), "/two", id="named")],
)
def test_a_test_replaces_the_client(gateway: FakeGateway, dependency: Any, path: str) -> None:
    """Without a lifespan, a configuration or a network."""
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


def test_a_web_socket_has_the_client_too(gateway: FakeGateway) -> None:
    """The dependency asks for what requests and web sockets have in common."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway.transport))

    @app.websocket("/ws")
    async def ws(socket: WebSocket, client: SeicClient) -> None:
        await socket.accept()
        await socket.send_json((await client.get("/v1/accounts")).status_code)
        await socket.close()

    with TestClient(app) as browser, browser.websocket_connect("/ws") as socket:
        assert socket.receive_json() == 200


@pytest.mark.parametrize(
    ("warm", "tokens"), [pytest.param(True, 1, id="asked"), pytest.param(False, 0, id="not asked")]
)
def test_the_token_is_there_before_the_first_request_if_asked(gateway: FakeGateway, warm: bool, tokens: int) -> None:
    """Otherwise the first call gets it."""
    app = FastAPI(lifespan=lifespan(gateway.config(), warm=warm, transport=gateway.transport))

    with TestClient(app):
        assert gateway.tokens == tokens


def test_an_endpoint_that_is_down_keeps_no_application_from_starting(
    gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """A fleet that restarts during an outage would not come back; the last_error is logged."""
    gateway.plan.extend([httpx.Response(503), httpx.Response(503)])
    app = FastAPI(lifespan=lifespan(gateway.config(), warm=True, transport=gateway.transport))

    with TestClient(app):
        pass

    (record,) = [record for record in caplog.records if record.name == "seic.fastapi"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("default: started without a token: ")


def test_the_settings_are_read_when_the_application_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the module needs no environment; starting with a wrong one fails and names the variable."""
    app = FastAPI(lifespan=lifespan())
    for name in ("SEIC_CLIENT_ID", "SEIC_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(seic.ConfigurationError) as caught, TestClient(app):
        pass

    assert caught.value.field == "SEIC_CLIENT_ID"


def test_a_client_that_is_not_there_is_explained(gateway: FakeGateway) -> None:
    """By the names that are."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway.transport))

    @app.get("/")
    async def see(client: PlatformClient) -> None: ...

    with TestClient(app) as browser, pytest.raises(seic.ConfigurationError) as caught:
        browser.get("/")

    assert "'platform'" in str(caught.value)
    assert "'default'" in str(caught.value)


def test_a_forgotten_lifespan_is_explained() -> None:
    """The commonest slip, and in tests the forgotten `with`."""
    app = FastAPI()

    @app.get("/")
    async def see(client: SeicClient) -> None: ...

    with pytest.raises(seic.ConfigurationError) as caught:
        TestClient(app).get("/")

    assert "lifespan=seic.fastapi.lifespan(" in str(caught.value)


def test_a_listener_hears_every_client(gateway: FakeGateway) -> None:
    """One callback for the application."""
    heard: list[str] = []
    app = FastAPI(
        lifespan=lifespan(
            {"one": gateway.config(), "two": gateway.config()},
            warm=True,
            on_event=lambda event: heard.append(event.name),
            transport=gateway.transport,
        )
    )
    with TestClient(app):
        pass

    assert heard.count("token acquired") == 2
