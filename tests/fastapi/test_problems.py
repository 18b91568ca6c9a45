"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import seic
from seic.fastapi import Logins, SeicClient, add_exception_handlers, lifespan, problem_of
from seic.testing import MockProvider
from tests._support.platform_mock import CALLBACK, PlatformMock

INSIDE = "token.internal.example:8443 AppKey-1 svc-user"


def caused_by(error: seic.SeicError, cause: Exception) -> seic.SeicError:
    """Return the error with a cause."""
    error.__cause__ = cause
    return error


def app_that_raises(error: Exception, gateway: MockProvider) -> FastAPI:
    """Return an application whose only route fails."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))
    add_exception_handlers(app)

    @app.get("/{path}")
    async def fail(path: str) -> None:
        raise error

    return app


UNAVAILABLE = seic.TokenEndpointUnavailable
CASES = [
    pytest.param(UNAVAILABLE(INSIDE, tracking_id="t-1"), 503, "upstream_unavailable", "5", id="endpoint down"),
    pytest.param(
        UNAVAILABLE(INSIDE, retry_after=12.2, tracking_id="t-1"), 503, "upstream_unavailable", "13", id="pause"
    ),
    pytest.param(UNAVAILABLE(INSIDE, retry_after=0.2, tracking_id="t-1"), 503, "upstream_unavailable", "1", id="no 0"),
    pytest.param(
        caused_by(UNAVAILABLE(INSIDE, tracking_id="t-1"), TimeoutError()), 504, "upstream_timeout", None, id="deadline"
    ),
    pytest.param(
        caused_by(UNAVAILABLE(INSIDE, tracking_id="t-1"), httpx.ReadTimeout("")),
        504,
        "upstream_timeout",
        None,
        id="read timeout",
    ),
    pytest.param(
        caused_by(UNAVAILABLE(INSIDE, tracking_id="t-1"), httpx.ConnectError("")),
        503,
        "upstream_unavailable",
        "5",
        id="no connection",
    ),
    pytest.param(
        seic.TokenRequestRefused(INSIDE, status=401, tracking_id="t-1"), 502, "upstream_failed", None, id="refused"
    ),
    pytest.param(
        seic.TokenRequestRefused(INSIDE, status=400, transient=True, tracking_id="t-1"),
        503,
        "upstream_unavailable",
        "5",
        id="refused temporarily",
    ),
    pytest.param(
        seic.InvalidTokenResponse(INSIDE, problem="size", tracking_id="t-1"),
        502,
        "upstream_failed",
        None,
        id="no token",
    ),
    pytest.param(
        seic.CertificateError(INSIDE, path="/etc/tls/client.pem", reason="expired"),
        502,
        "upstream_failed",
        None,
        id="certificate",
    ),
    *(
        pytest.param(
            seic.ApiError(INSIDE, status=status, transient=transient, retry_after=retry_after, tracking_id="t-1"),
            answer,
            code,
            header,
            id=f"API {status}{'' if transient is None else f' transient {transient}'}"
            + ("" if retry_after is None else f" wait {retry_after:g}"),
        )
        for status, transient, retry_after, answer, code, header in (
            (400, None, None, 502, "upstream_failed", None),
            (403, False, None, 502, "upstream_failed", None),
            (404, None, None, 502, "upstream_failed", None),
            (429, None, 30.0, 503, "upstream_unavailable", "30"),
            (429, None, 299.5, 503, "upstream_unavailable", "300"),
            (503, None, 31_536_000.0, 503, "upstream_unavailable", "300"),
            (503, None, float("inf"), 503, "upstream_unavailable", "300"),
            (500, None, None, 502, "upstream_failed", None),
            (500, True, None, 503, "upstream_unavailable", "5"),
            (503, None, None, 503, "upstream_unavailable", "5"),
            (503, False, None, 502, "upstream_failed", None),
            (504, None, None, 504, "upstream_timeout", None),
        )
    ),
]


@pytest.mark.parametrize(("error", "status", "code", "retry_after"), CASES)
def test_an_error_becomes_problem_details(
    error: seic.SeicError, status: int, code: str, retry_after: str | None, gateway: MockProvider
) -> None:
    """Status, code and id help the caller; no internals are revealed."""
    with TestClient(app_that_raises(error, gateway)) as browser:
        reply = browser.get("/accounts")

    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers.get("Retry-After") == retry_after
    document = reply.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == "about:blank"
    assert document["title"] == httpx.codes.get_reason_phrase(status)
    assert document.get("tracking_id") == getattr(error, "tracking_id", None)
    assert set(document) <= {"type", "title", "status", "detail", "code", "tracking_id"}
    for word in [*INSIDE.split(), "client.pem", "expired"]:
        assert word not in reply.text
        assert word not in str(reply.headers)


def test_the_error_is_logged_in_full_on_one_line(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """The operator sees what the caller must not see; a path cannot forge a log entry."""
    error = seic.TokenRequestRefused("the credentials were refused", status=401, tracking_id="t-1")
    with TestClient(app_that_raises(error, gateway)) as browser:
        browser.get("/x%0AERROR:forged?query=secret")

    (record,) = [record for record in caplog.records if record.name == "seic.fastapi"]
    assert record.levelno == logging.ERROR
    assert "TokenRequestRefused: the credentials were refused tracking_id=t-1" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert "secret" not in record.getMessage()
    attributes = {name: vars(record)[name] for name in ("method", "status", "error", "code", "tracking_id")}
    assert attributes == {
        "method": "GET",
        "status": 502,
        "error": "TokenRequestRefused",
        "code": "upstream_failed",
        "tracking_id": "t-1",
    }
    assert "secret" not in str(vars(record))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(seic.HostNotAllowed("elsewhere", host="elsewhere.example"), id="foreign host"),
        pytest.param(seic.ConfigurationError("missing", field="client_id"), id="setting"),
        pytest.param(httpx.ConnectError("x", request=httpx.Request("GET", "https://else.example/")), id="other client"),
        pytest.param(httpx.ConnectError("x"), id="no request"),
        pytest.param(LookupError("x"), id="own"),
    ],
)
def test_mistakes_of_the_application_stay_a_500(error: Exception, gateway: MockProvider) -> None:
    """The exception reaches other handlers unchanged."""
    with TestClient(app_that_raises(error, gateway)) as browser, pytest.raises(type(error)):
        browser.get("/accounts")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        pytest.param(httpx.ReadTimeout, 504, id="timeout"),
        pytest.param(httpx.ConnectTimeout, 504, id="connect timeout"),
        pytest.param(httpx.ConnectError, 503, id="no connection"),
        pytest.param(httpx.RemoteProtocolError, 503, id="connection closed"),
    ],
)
def test_a_failed_connection_to_a_clients_host(
    kind: type[httpx.TransportError], status: int, gateway: MockProvider
) -> None:
    """To the caller a failed API request is the same as a failed token request."""
    error = kind(INSIDE, request=httpx.Request("GET", "https://api.example/v1/accounts"))
    with TestClient(app_that_raises(error, gateway)) as browser:
        reply = browser.get("/accounts")

    assert reply.status_code == status
    assert "internal" not in reply.text


@pytest.mark.parametrize(
    ("kind", "status"),
    [pytest.param(httpx.ReadTimeout, 504, id="timeout"), pytest.param(httpx.ConnectError, 503, id="no connection")],
)
@pytest.mark.parametrize("with_clients", [True, False], ids=["with clients", "alone"])
def test_a_failed_connection_to_the_host_of_logins(
    kind: type[httpx.TransportError], status: int, with_clients: bool, gateway: MockProvider
) -> None:
    """Users may log in at another host than the application's clients call."""
    people = PlatformMock().config(hosts=seic.Hosts("https://people.example"))
    logins = Logins(people, callback_url=CALLBACK, key=Fernet.generate_key())
    own = lifespan(gateway.config(), also=logins.lifespan, transport=gateway)
    app = FastAPI(lifespan=own if with_clients else logins.lifespan)
    add_exception_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise kind(INSIDE, request=httpx.Request("GET", "https://people.example/v1/me"))

    with TestClient(app) as browser:
        assert browser.get("/").status_code == status
    with pytest.raises(kind):
        TestClient(app).get("/")


def test_without_clients_no_connection_error_is_handled() -> None:
    """The handlers do not replace an error with one of their own."""
    app = FastAPI()
    add_exception_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise httpx.ConnectError("x", request=httpx.Request("GET", "https://api.example/"))

    with pytest.raises(httpx.ConnectError):
        TestClient(app).get("/")


def test_the_gateways_tracking_id_reaches_the_caller(gateway: MockProvider) -> None:
    """From the gateway's refusal to the problem details."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))
    add_exception_handlers(app)
    gateway.token_responses.append(httpx.Response(401, json={"code": "no", "message": "AppSecret-1"}))

    @app.get("/accounts")
    async def accounts(client: SeicClient) -> Any:
        return (await client.get("/v1/accounts")).json()

    with TestClient(app) as browser:
        reply = browser.get("/accounts")

    assert (reply.status_code, reply.json()["tracking_id"]) == (502, "track-1")


def test_a_web_socket_gets_no_http_response(gateway: MockProvider) -> None:
    """The server closes it; a response would be another error."""
    app = FastAPI(lifespan=lifespan(gateway.config(), transport=gateway))
    add_exception_handlers(app)

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        raise UNAVAILABLE(INSIDE)

    with TestClient(app) as browser, pytest.raises((UNAVAILABLE, WebSocketDisconnect)):  # noqa: SIM117
        with browser.websocket_connect("/ws") as socket:
            socket.receive_json()


def test_problem_of_can_be_called_directly() -> None:
    """For applications that report errors in another form."""
    problem = problem_of(UNAVAILABLE("x", retry_after=3.0, tracking_id="t-1"))

    assert (problem.status, problem.retry_after, problem.tracking_id) == (503, 3.0, "t-1")
