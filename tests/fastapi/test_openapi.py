"""FastAPI's OpenAPI document: security schemes, scopes, the responses of errors, and values of seic as models."""

from __future__ import annotations

import datetime as dt
import json
from http import HTTPStatus
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient

import seic
from seic import events
from seic.fastapi import (
    Claims,
    Logins,
    Problem,
    SeicClient,
    User,
    add_exception_handlers,
    lifespan,
    problem_of,
)
from seic.testing import MockProvider
from tests._support.login_site import KEY, Site
from tests._support.platform_mock import CALLBACK, PlatformMock


def operation(app: FastAPI, path: str, method: str = "get") -> Any:
    """Return an operation of an application's OpenAPI document."""
    return app.openapi()["paths"][path][method]


def test_errors_are_in_the_document(gateway: MockProvider) -> None:
    """For each operation, added before or after the handlers, directly or with a router."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))
    router = APIRouter()

    async def accounts(client: SeicClient) -> None: ...

    app.get("/before")(accounts)
    add_exception_handlers(app)
    app.get("/after", responses={503: {"description": "Ours"}})(accounts)
    router.get("/routed")(accounts)
    app.include_router(router, prefix="/v1")

    for path in ("/before", "/after", "/v1/routed"):
        responses = operation(app, path)["responses"]
        assert {"200", "502", "503", "504"} <= set(responses)
        content = responses["502"]["content"]["application/problem+json"]
        assert content == {"schema": {"$ref": "#/components/schemas/Problem"}}
    assert operation(app, "/after")["responses"]["503"]["description"] == "Ours"
    assert app.openapi() == app.openapi()


def test_a_problem_is_a_model_that_describes_the_response() -> None:
    """Each member of a response is in the schema, and each required one in every response."""
    app = FastAPI()

    @app.get("/", responses={502: {"model": Problem}})
    async def handler() -> None: ...

    assert "502" in operation(app, "/")["responses"]
    schema = app.openapi()["components"]["schemas"]["Problem"]
    full = Problem(status=HTTPStatus.BAD_GATEWAY, code="x", detail="y", tracking_id="t-1", retry_after=5)
    least = problem_of(seic.TokenEndpointUnavailable("down"))
    bodies = [json.loads(bytes(problem.response().body)) for problem in (full, least)]
    assert set(schema["properties"]) == set(bodies[0])
    assert set(schema["required"]) == set(bodies[1])
    add_exception_handlers(app)
    assert app.openapi()["components"]["schemas"]["Problem"] == schema


def test_routes_for_logged_in_users_show_their_security(platform: PlatformMock) -> None:
    """The session cookie, with the scopes of `Security`; two logins have two schemes."""
    site = Site(platform)
    other = Logins(platform.config(), callback_url=CALLBACK, key=KEY, name="other", secure=False)

    async def page() -> None: ...

    scoped = Security(site.logins.client, scopes=["orders:read"])
    site.app.get("/mine", dependencies=[scoped])(page)
    site.app.get("/theirs", dependencies=[Depends(other.user)])(page)

    assert operation(site.app, "/who")["security"] == [{"seic-login": []}]
    assert operation(site.app, "/mine")["security"] == [{"seic-login": ["orders:read"]}]
    assert operation(site.app, "/theirs")["security"] == [{"other-login": []}]
    schemes = site.app.openapi()["components"]["securitySchemes"]
    assert schemes["seic-login"] == {"type": "apiKey", "in": "cookie", "name": "__Host-seic-session"}
    assert schemes["other-login"] == {"type": "apiKey", "in": "cookie", "name": "other-session"}


@pytest.mark.parametrize(
    ("granted", "requested", "status"),
    [
        pytest.param("orders:read orders:write", None, 200, id="granted"),
        pytest.param("orders:write", None, 403, id="another"),
        pytest.param(None, "orders:read", 200, id="as requested (RFC 6749 §5.1)"),
        pytest.param(None, "orders:write", 403, id="not requested"),
        pytest.param(None, None, 403, id="unknown"),
    ],
)
def test_scopes_of_a_users_token_are_required(
    granted: str | None, requested: str | None, status: int, platform: PlatformMock
) -> None:
    """A user without the scope gets a 403; a handler without scopes is not affected."""
    platform.token_members["scope"] = granted
    site = Site(platform, scope=requested)

    async def orders(client: seic.AsyncClient = Security(site.logins.client, scopes=["orders:read"])) -> str:  # noqa: B008
        return "orders"

    site.app.get("/orders")(orders)
    with site as browser:
        assert browser.get("/orders").status_code == 303
        site.log_in(browser)
        reply = browser.get("/orders")
        assert reply.status_code == status
        if status == 403:
            expected = 'Session realm="seic", error="insufficient_scope", scope="orders:read"'
            assert reply.headers["WWW-Authenticate"] == expected
        assert browser.get("/who").status_code == 200


@pytest.mark.parametrize("annotated", [False, True], ids=["plain", "as response model"])
@pytest.mark.parametrize(
    ("value", "document"),
    [
        pytest.param(
            Claims(issuer="i", audience=("a",), expires_at=1, subject="ann", scopes=frozenset(["s"]), raw={"x": [1]}),
            {"issuer": "i", "audience": ["a"], "subject": "ann", "scopes": ["s"], "raw": {"x": [1]}},
            id="Claims",
        ),
        pytest.param(
            seic.TokenInfo(active=True, expires_in=30.0, username="ann", extra={"a": {"b": 1}}),
            {"active": True, "expires_in": 30.0, "username": "ann", "extra": {"a": {"b": 1}}},
            id="TokenInfo",
        ),
        pytest.param(
            User(id="1", name="ann", since=dt.datetime(2027, 1, 31, tzinfo=dt.UTC)),
            {"id": "1", "name": "ann", "since": "2027-01-31T00:00:00+00:00"},
            id="User",
        ),
        pytest.param(
            events.TokenRefused(host="h", status=401, code="invalid_client"),
            {"host": "h", "status": 401, "code": "invalid_client", "tracking_id": None},
            id="an event",
        ),
        pytest.param(
            events.CertificateExpiring(
                path="p", subject="CN=x", not_after=dt.datetime(2027, 1, 31, tzinfo=dt.UTC), days_left=9.5
            ),
            {"path": "p", "subject": "CN=x", "days_left": 9.5},
            id="an event with a time",
        ),
        pytest.param(seic.Stats(token_requests=2), {"token_requests": 2, "replays": 0}, id="Stats"),
    ],
)
def test_values_can_be_returned_by_handlers(value: Any, document: dict[str, Any], annotated: bool) -> None:
    """A value that a handler has at hand is JSON, with and without a response model."""
    app = FastAPI()

    async def handler() -> Any:
        return value

    app.get("/", response_model=type(value) if annotated else None)(handler)
    with TestClient(app) as client:
        reply = client.get("/")

    assert reply.status_code == 200
    found = {name: reply.json()[name] for name in document}
    assert {name: str(each).replace("Z", "+00:00") for name, each in found.items()} == {
        name: str(each) for name, each in document.items()
    }
    assert app.openapi()["paths"]["/"]
