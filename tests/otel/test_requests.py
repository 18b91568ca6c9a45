"""Attributes of HTTP requests: spans of token requests, and durations of all requests."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import HistogramDataPoint
from opentelemetry.semconv._incubating.attributes import http_attributes as connection_attributes
from opentelemetry.semconv._incubating.metrics.http_metrics import HTTP_CLIENT_OPEN_CONNECTIONS
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.semconv.schemas import Schemas

import seic
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import client_of
from tests._support.observatory import Observatory, facts

AT = {"server.address": "api.example", "server.port": 443}
GET = {**AT, "http.request.method": "GET"}
DURATION = "http.client.request.duration"
_GROUPS = (
    connection_attributes,
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)


def recorded(seen: Observatory, name: str = DURATION) -> list[tuple[dict[str, Any], int]]:
    """Return the attributes and the count of each point of a histogram."""
    return [(dict(point.attributes), point.count) for point in seen.points(name)]


# Requests for tokens


@pytest.mark.parametrize(
    ("answer", "told", "failed"),
    [
        pytest.param(
            httpx.Response(200, json={"access_token": "token-1"}, extensions={"http_version": b"HTTP/1.1"}),
            {"http.response.status_code": 200, "network.protocol.version": "1.1", "seic.token.outcome": "acquired"},
            False,
            id="a token",
        ),
        pytest.param(
            httpx.Response(400, json={"error": "invalid_grant"}),
            {"http.response.status_code": 400, "error.type": "400", "seic.token.outcome": "refused"},
            True,
            id="4xx",
        ),
        pytest.param(
            httpx.Response(503, headers={"Retry-After": "900"}),
            {"http.response.status_code": 503, "error.type": "503", "seic.token.outcome": "unavailable"},
            True,
            id="5xx",
        ),
        pytest.param(
            httpx.Response(200, text="<html>"),
            {
                "http.response.status_code": 200,
                "error.type": "seic.InvalidTokenResponse",
                "seic.token.outcome": "invalid",
            },
            True,
            id="200 without a token",
        ),
        pytest.param(
            httpx.Response(307, headers={"Location": "https://elsewhere.example/?code=1"}),
            {
                "http.response.status_code": 307,
                "error.type": "seic.InvalidTokenResponse",
                "seic.token.outcome": "invalid",
            },
            True,
            id="3xx, which is not followed",
        ),
    ],
)
async def test_a_token_request_has_the_attributes_of_the_conventions(
    answer: httpx.Response, told: dict[str, Any], failed: bool, gateway: MockProvider, seen: Observatory
) -> None:
    """All required attributes and no others; the status is recorded without its text."""
    gateway.token_responses.append(answer)
    async with client_of(gateway) as client:
        seen.instrument(client)
        await asyncio.gather(client.token(), return_exceptions=True)

    span = seen.one("POST")
    assert span.kind is trace.SpanKind.CLIENT
    assert facts(span) == {
        **AT,
        **told,
        "http.request.method": "POST",
        "url.full": "https://api.example/v2/oauthtoken",
        "seic.tracking_id": "track-1",
    }
    assert span.status.status_code is (trace.StatusCode.ERROR if failed else trace.StatusCode.UNSET)
    assert span.status.description is None
    assert recorded(seen, "seic.token.request.duration") == [({**AT, **told}, 1)]


async def test_a_token_request_without_a_response_has_the_class_of_its_error(
    gateway: MockProvider, seen: Observatory
) -> None:
    """It has no status; the second attempt has a resend count."""
    gateway.token_responses.extend([httpx.ConnectTimeout("late"), httpx.ReadError("gone")])
    async with client_of(gateway) as client:
        seen.instrument(client)
        with pytest.raises(seic.TokenEndpointUnavailable):
            await client.token()

    first, second = map(facts, seen.named("POST"))
    assert first["error.type"] == "httpx.ConnectTimeout"
    assert second["error.type"] == "httpx.ReadError"
    assert "http.response.status_code" not in first
    assert "http.request.resend_count" not in first
    assert second["http.request.resend_count"] == 1


async def test_the_url_of_the_token_endpoint_has_no_query(gateway: MockProvider, seen: Observatory) -> None:
    """The query of a token endpoint may contain a key."""
    provider = seic.Provider(token_url="https://idp.example:8443/token?key=secret-of-a-tenant")
    grant = seic.ClientCredentials()
    config = gateway.config(provider=provider, grant=grant, hosts=seic.Hosts(api="https://api.example"))
    answer = httpx.Response(200, json={"access_token": "token-1"})
    async with seic.AsyncClient(config, transport=httpx.MockTransport(lambda _: answer)) as client:
        seen.instrument(client)
        await client.token()

    told = facts(seen.one("POST"))
    assert told["url.full"] == "https://idp.example:8443/token"
    assert (told["server.address"], told["server.port"]) == ("idp.example", 8443)


async def test_a_server_without_tls_has_the_port_of_its_scheme(gateway: MockProvider, seen: Observatory) -> None:
    """The default port of http is 80."""
    hosts = seic.Hosts(api="http://127.0.0.1", allow_http_on_loopback=True)
    async with seic.AsyncClient(gateway.config(hosts=hosts), transport=gateway) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    assert facts(seen.one("POST"))["server.port"] == 80
    assert [told["server.port"] for told, _ in recorded(seen)] == [80]


# Requests to the API


async def test_every_request_that_is_sent_is_recorded(gateway: MockProvider, seen: Observatory) -> None:
    """A rejected request, its replay, a redirect and its target are four requests."""
    async with client_of(gateway, follow_redirects=True) as client:
        stop = seen.instrument(client)
        await client.get("/v1/accounts")
        gateway.revoke("token-1")
        await client.get("/v1/accounts")
        gateway.add_response(302, path="/old", headers={"Location": "/v1/accounts"})
        await client.get("/old")
        stop()
        await client.get("/v1/accounts")

    assert recorded(seen) == [
        ({**GET, "http.response.status_code": 200}, 3),
        ({**GET, "http.response.status_code": 401, "error.type": "401"}, 1),
        ({**GET, "http.response.status_code": 302}, 1),
    ]


async def test_every_retry_is_recorded(gateway: MockProvider, seen: Observatory) -> None:
    """`seic.Retry` hides the first response from the caller, and it is still recorded."""
    answers = [httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(200)]
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    api = httpx.MockTransport(lambda _: answers.pop(0))
    async with seic.AsyncClient(gateway.config(), auth=auth, transport=api, retry=seic.Retry()) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    assert recorded(seen) == [
        ({**GET, "http.response.status_code": 503, "error.type": "503"}, 1),
        ({**GET, "http.response.status_code": 200}, 1),
    ]


async def test_a_request_that_is_not_sent_is_not_recorded(gateway: MockProvider, seen: Observatory) -> None:
    """A request without a token, or to another origin, is not a failed request."""
    gateway.token_responses.append(httpx.Response(400, json={"error": "invalid_grant"}))
    async with client_of(gateway, follow_redirects=True) as client:
        seen.instrument(client)
        with pytest.raises(seic.TokenRequestRefused):
            await client.get("/v1/accounts")
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://elsewhere.example/")
        assert recorded(seen) == []
    gateway.add_response(302, path="/old", headers={"Location": "https://elsewhere.example/"})
    async with client_of(gateway, follow_redirects=True) as client:
        seen.instrument(client)
        with pytest.raises(seic.HostNotAllowed):
            await client.get("/old")
        assert recorded(seen) == [({**GET, "http.response.status_code": 302}, 1)]


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        pytest.param(httpx.ReadTimeout("late"), "httpx.ReadTimeout", id="timeout"),
        pytest.param(asyncio.CancelledError(), "asyncio.CancelledError", id="cancelled"),
        pytest.param(OSError(5, "disk"), "OSError", id="of Python's own"),
    ],
)
async def test_a_failed_request_has_the_class_of_its_error(
    raised: BaseException, name: str, gateway: MockProvider, seen: Observatory
) -> None:
    """It has no status, and the message of the error is left out."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise raised

    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    async with seic.AsyncClient(gateway.config(), auth=auth, transport=httpx.MockTransport(fail)) as client:
        seen.instrument(client)
        with pytest.raises(type(raised)):
            await client.get("/v1/accounts")

    assert recorded(seen) == [({**GET, "error.type": name}, 1)]


@pytest.mark.parametrize(
    ("known", "method", "told"),
    [
        pytest.param(None, "PATCH", "PATCH", id="known"),
        pytest.param(None, "QUERY", "QUERY", id="the newest"),
        pytest.param(None, "PROPFIND", "_OTHER", id="unknown"),
        pytest.param("GET, PROPFIND", "PROPFIND", "PROPFIND", id="made known"),
        pytest.param("GET, PROPFIND", "PATCH", "_OTHER", id="made unknown"),
    ],
)
async def test_an_unknown_method_is_recorded_as_other(
    known: str | None,
    method: str,
    told: str,
    gateway: MockProvider,
    seen: Observatory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of series stays small; an environment variable sets the known methods, as the conventions require."""
    if known is not None:
        monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", known)
    async with client_of(gateway) as client:
        seen.instrument(client)
        await client.request(method, "/v1/accounts")

    assert [point.attributes["http.request.method"] for point in seen.points(DURATION)] == [told]


async def test_the_http_version_is_recorded_if_it_is_known(gateway: MockProvider, seen: Observatory) -> None:
    """The conventions want the number without `HTTP/`."""
    answer = httpx.Response(200, extensions={"http_version": b"HTTP/2"})
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    api = httpx.MockTransport(lambda _: answer)
    async with seic.AsyncClient(gateway.config(), auth=auth, transport=api) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    assert recorded(seen) == [({**GET, "http.response.status_code": 200, "network.protocol.version": "2"}, 1)]


def test_requests_of_a_blocking_client_are_recorded(gateway: MockProvider, seen: Observatory) -> None:
    """With replays, and until the end of the instrumentation."""
    with seic.Client(gateway.config(), transport=gateway) as client:
        stop = seen.instrument(client)
        client.get("/v1/accounts")
        gateway.revoke("token-1")
        client.get("/v1/accounts")
        stop()
        client.get("/v1/accounts")

    assert recorded(seen) == [
        ({**GET, "http.response.status_code": 200}, 2),
        ({**GET, "http.response.status_code": 401, "error.type": "401"}, 1),
    ]


async def test_requests_of_mounted_transports_are_recorded(gateway: MockProvider, seen: Observatory) -> None:
    """A request may use any transport of the client."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    mounts = {"https://": httpx.MockTransport(gateway.handle_async_request), "all://example.com": None}
    async with httpx.AsyncClient(auth=auth, mounts=mounts, trust_env=False) as client:
        seen.instrument(client)
        await client.get("https://api.example/v1/accounts")

    assert recorded(seen) == [({**GET, "http.response.status_code": 200}, 1)]


async def test_requests_of_an_httpx2_client_are_recorded(gateway: MockProvider, seen: Observatory) -> None:
    """The same auth works in both kinds of client."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    api = httpx2.MockTransport(lambda _: httpx2.Response(200))
    async with httpx2.AsyncClient(auth=auth, transport=api) as client:
        seen.instrument(client)
        await client.get("https://api.example/v1/accounts")

    assert recorded(seen) == [({**GET, "http.response.status_code": 200}, 1)]


# Names


async def test_every_name_is_known_to_the_conventions_or_begins_with_seic(
    gateway: MockProvider, seen: Observatory, timed_client: seic.AsyncClient, clock: FakeClock
) -> None:
    """Names of metrics and of attributes; a typing error would be noticed by nobody."""
    known = {
        value for group in _GROUPS for name, value in vars(group).items() if name.isupper() and isinstance(value, str)
    }
    gateway.token_responses.extend([httpx.Response(503, headers={"Retry-After": "0"}), httpx.ConnectError("gone")])
    async with timed_client as client:
        seen.instrument(client, name="one")
        with pytest.raises(seic.TokenError):
            await client.token()
        clock.advance(3600)  # beyond the pause after the failure
        await client.get("/v1/accounts")
        gateway.revoke("token-1")
        await client.get("/v1/accounts")
        await client.request("MADE-UP", "/v1/accounts")
        metrics = [metric for _, metric in seen.metrics]

    used = {name for span in seen.spans for name in facts(span)}
    used |= {name for metric in metrics for point in metric.data.data_points for name in point.attributes or {}}
    assert {name for name in used if not name.startswith("seic.")} <= known
    assert "url.full" in used
    foreign = {metric.name for metric in metrics if not metric.name.startswith("seic.")}
    assert foreign == {http_metrics.HTTP_CLIENT_REQUEST_DURATION, HTTP_CLIENT_OPEN_CONNECTIONS}
    for metric in metrics:
        assert re.fullmatch(r"(s|d|\{[a-z]+\})", metric.unit or ""), metric.name
        assert metric.description, metric.name


def _version_of(schema: str) -> tuple[int, ...]:
    """Return the version at the end of a schema URL."""
    return tuple(map(int, schema.removeprefix("https://opentelemetry.io/schemas/").split(".")))


async def test_the_instrumentation_scope_has_name_version_and_schema(gateway: MockProvider, seen: Observatory) -> None:
    """The schema must exist, as far as the installed package knows."""
    async with client_of(gateway) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")
        scopes = {scope for scope, _ in seen.metrics}

    scopes |= {span.instrumentation_scope for span in seen.spans if span.instrumentation_scope is not None}
    assert {scope.name for scope in scopes} == {"seic.otel"}
    try:
        version = importlib.metadata.version("seic")
    except importlib.metadata.PackageNotFoundError:
        version = ""  # as the SDK writes it where there is none
    assert {scope.version for scope in scopes} == {version}
    (schema,) = {scope.schema_url or "" for scope in scopes}
    known = {url.value: _version_of(url.value) for url in Schemas}
    assert schema in known or _version_of(schema) > max(known.values())


async def test_durations_have_the_buckets_of_the_conventions(gateway: MockProvider, seen: Observatory) -> None:
    """The SDK's default buckets are for milliseconds."""
    async with client_of(gateway) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    for name in ("seic.token.request.duration", "seic.token.wait.duration", DURATION):
        point = seen.point(name)
        assert isinstance(point, HistogramDataPoint)
        assert list(point.explicit_bounds) == [
            0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10
        ]  # fmt: skip
