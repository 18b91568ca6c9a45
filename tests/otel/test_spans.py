"""What is exported of a story, span by span."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httpx
import pytest
from opentelemetry import trace

import seic
import seic.otel._instruments
import seic.otel._telemetry
from seic._events import TokenRefreshEnded, TokenRefreshStarted, TokenWaitEnded, TokenWaitStarted
from tests._support.fake_gateway import FakeGateway
from tests._support.observatory import Observatory, facts, id_of, links, parent_of

AT = {"server.address": "api.seic.com", "server.port": 443}
POST = {**AT, "http.request.method": "POST", "url.full": "https://api.seic.com/v2/oauthtoken"}
UNSET, ERROR = trace.StatusCode.UNSET, trace.StatusCode.ERROR


def acquired(track: str) -> dict[str, Any]:
    """Return what a fetch or a request says of a token that was had."""
    return {"seic.token.outcome": "acquired", "seic.tracking_id": track}


async def test_a_call_that_waited_is_told_span_by_span(gateway: FakeGateway, seen: Observatory) -> None:
    """Four spans: the app's own, the fetch apart from it, the request within the fetch, the wait within the app's."""
    async with gateway.client() as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")

    request, fetch, wait, app = seen.spans
    assert [span.name for span in (request, fetch, wait, app)] == [
        "POST",
        "seic.token.refresh",
        "seic.token.wait",
        "app",
    ]

    assert parent_of(fetch) is None
    assert fetch.kind is trace.SpanKind.INTERNAL
    assert links(fetch) == {id_of(app)}
    assert facts(fetch) == {**AT, **acquired("track-1"), "seic.token.ahead": False}
    assert fetch.status.status_code is UNSET

    assert parent_of(request) == id_of(fetch)
    assert request.kind is trace.SpanKind.CLIENT
    assert facts(request) == {**POST, **acquired("track-1"), "http.response.status_code": 200}
    assert request.status.status_code is UNSET

    assert parent_of(wait) == id_of(app)
    assert links(wait) == {id_of(fetch)}
    assert facts(wait) == AT
    for span in (request, fetch, wait):
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


async def test_one_fetch_is_linked_to_all_who_waited(gateway: FakeGateway, seen: Observatory) -> None:
    """Those who came first and those who joined while it ran; each has a wait of its own that links back."""
    gateway.gate = asyncio.Event()

    async def call(client: seic.AsyncClient) -> None:
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")

    async with gateway.client() as client:
        seen.instrument(client)
        first = [asyncio.create_task(call(client)) for _ in range(2)]
        await gateway.arrived.wait()
        later = [asyncio.create_task(call(client)) for _ in range(3)]
        await asyncio.sleep(0)
        gateway.gate.set()
        await asyncio.gather(*first, *later)

    apps = seen.named("app")
    waits = seen.named("seic.token.wait")
    fetch = seen.one("seic.token.refresh")
    assert len(apps) == len(waits) == 5
    assert links(fetch) == {id_of(app) for app in apps}
    assert all(links(wait) == {id_of(fetch)} for wait in waits)
    assert {wait.parent.span_id for wait in waits if wait.parent} == {id_of(app) for app in apps}


async def test_a_call_without_a_span_gets_none(gateway: FakeGateway, seen: Observatory) -> None:
    """Where the application traces nothing, a thousand waits would be a thousand traces."""
    async with gateway.client() as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    assert [span.name for span in seen.spans] == ["POST", "seic.token.refresh"]
    assert links(seen.one("seic.token.refresh")) == set()


def test_a_blocking_client_is_told_alike(gateway: FakeGateway, seen: Observatory) -> None:
    """The fetch runs in a thread of its own there; spans, parents and links are the same."""
    with seic.Client(gateway.config(), transport=gateway.blocking_transport) as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"):
            client.get("/v1/accounts")

    # The thread ends its fetch and the caller its wait at the same time, so their order is open.
    assert sorted(span.name for span in seen.spans) == ["POST", "app", "seic.token.refresh", "seic.token.wait"]
    fetch, request, wait, app = map(seen.one, ("seic.token.refresh", "POST", "seic.token.wait", "app"))
    assert facts(fetch) == {**AT, **acquired("track-1"), "seic.token.ahead": False}
    assert facts(request) == {**POST, **acquired("track-1"), "http.response.status_code": 200}
    assert facts(wait) == AT
    assert (parent_of(fetch), parent_of(request), parent_of(wait)) == (None, id_of(fetch), id_of(app))
    assert (links(fetch), links(wait)) == ({id_of(app)}, {id_of(fetch)})


async def test_a_fetch_that_fails_is_an_error_with_its_attempts(gateway: FakeGateway, seen: Observatory) -> None:
    """Both attempts are there, and the fetch says by its type what went wrong, without the provider's words."""
    gateway.plan.extend([httpx.Response(503, headers={"Retry-After": "0"}, text="password-1"), httpx.ReadError("gone")])
    async with gateway.client() as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"), pytest.raises(seic.TokenEndpointUnavailable):
            await client.token()

    first, second, fetch, wait, app = seen.spans
    assert (first.name, second.name, fetch.name, wait.name) == ("POST", "POST", "seic.token.refresh", "seic.token.wait")
    failed = {"seic.token.outcome": "unavailable"}
    assert facts(fetch) == {**AT, **failed, "error.type": "unavailable", "seic.token.ahead": False}
    assert facts(first) == {
        **POST,
        **failed,
        "error.type": "503",
        "http.response.status_code": 503,
        "seic.tracking_id": "track-1",
    }
    assert facts(second) == {**POST, **failed, "error.type": "httpx.ReadError", "http.request.resend_count": 1}
    assert {parent_of(span) for span in (first, second)} == {id_of(fetch)}
    assert [span.status.status_code for span in (first, second, fetch, wait)] == [ERROR, ERROR, ERROR, UNSET]
    assert (parent_of(wait), links(wait), links(fetch)) == (id_of(app), {id_of(fetch)}, {id_of(app)})
    assert "password-1" not in "".join(span.to_json() for span in seen.spans)


async def test_a_renewal_in_the_background_is_a_root_that_nobody_waits_for(
    gateway: FakeGateway, seen: Observatory
) -> None:
    """It says that it is ahead of need, and is neither a child of the call that met it nor linked to it."""
    async with gateway.client() as client:
        await client.token()
        seen.instrument(client)
        client._oauth._source.state.held.renew_at = -math.inf
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    app, request, fetch = seen.spans
    assert (app.name, request.name, fetch.name) == ("app", "POST", "seic.token.refresh")
    assert parent_of(fetch) is None
    assert links(fetch) == set()
    assert facts(fetch) == {**AT, **acquired("track-3"), "seic.token.ahead": True}
    assert parent_of(request) == id_of(fetch)


async def test_a_replay_waits_for_a_fetch_of_its_own(gateway: FakeGateway, seen: Observatory) -> None:
    """The call's trace shows why it took so long: a wait for the token that took the rejected one's place."""
    async with gateway.client() as client:
        await client.token()
        seen.instrument(client)
        gateway.dead.add("token-1")
        with seen.tracer.start_as_current_span("app"):
            reply = await client.get("/v1/accounts")

    assert reply.status_code == 200
    request, fetch, wait, app = seen.spans
    assert [span.name for span in (request, fetch, wait)] == ["POST", "seic.token.refresh", "seic.token.wait"]
    assert facts(fetch) == {**AT, **acquired("track-3"), "seic.token.ahead": False}
    assert facts(request) == {**POST, **acquired("track-3"), "http.response.status_code": 200}
    assert (parent_of(fetch), parent_of(request), parent_of(wait)) == (None, id_of(fetch), id_of(app))
    assert (links(fetch), links(wait)) == ({id_of(app)}, {id_of(fetch)})
    assert [point.attributes for point in seen.points("seic.call.replays")] == [
        {**AT, "seic.replay.outcome": "replayed"}
    ]


async def test_an_abandoned_fetch_ends_its_span(gateway: FakeGateway, seen: Observatory) -> None:
    """A client that is closed in the middle of a fetch leaves no span open."""
    gateway.gate = asyncio.Event()
    client = gateway.client()
    seen.instrument(client)
    task = asyncio.create_task(client.token())
    await gateway.arrived.wait()
    task.cancel()
    await client.aclose()

    attributes = seen.one("seic.token.refresh").attributes
    assert attributes is not None
    assert attributes["seic.token.outcome"] == "abandoned"


async def test_without_http_the_requests_are_left_to_others(gateway: FakeGateway, seen: Observatory) -> None:
    """Where httpx is instrumented already, each request would be told twice."""
    async with gateway.client() as client:
        seen.instrument(client, http=False)
        await client.get("/v1/accounts")

    assert [span.name for span in seen.spans] == ["seic.token.refresh"]
    assert seen.points("http.client.request.duration") == []
    assert seen.point("seic.token.request.duration").count == 1


def test_what_began_before_anyone_listened_is_left_out(gateway: FakeGateway, seen: Observatory) -> None:
    """An end without its beginning makes no span and moves no gauge below zero."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway.transport)
    seen.instrument(auth)
    auth._emit(TokenWaitEnded(host="api.seic.com", refresh_id=-1, took=0.1))
    auth._emit(TokenRefreshEnded(host="api.seic.com", refresh_id=-1, outcome="acquired", took=0.1))

    assert seen.spans == []
    assert seen.points("seic.token.waiters") == []


def test_nothing_is_kept_of_fetches_that_are_over(gateway: FakeGateway, seen: Observatory) -> None:
    """In whichever order the last waiter and the fetch end, or where a caller gave up before the fetch began."""
    telemetry = seic.otel._telemetry.Telemetry(
        seic.otel._instruments.instruments_of(seen.tracer_provider, seen.meter_provider),
        {},
        token_url="https://h.example/token",
        http=True,
    )
    begun = {"host": "h.example", "refresh_id": 1}
    ended = {**begun, "took": 0.1}
    wait_begun, wait_ended = TokenWaitStarted(**begun), TokenWaitEnded(**ended)  # type: ignore[arg-type]
    fetch_begun = TokenRefreshStarted(**begun, ahead=False)  # type: ignore[arg-type]
    fetch_ended = TokenRefreshEnded(**ended, outcome="acquired")  # type: ignore[arg-type]
    for story in (
        [wait_begun, fetch_begun, fetch_ended, wait_ended],
        [wait_begun, fetch_begun, wait_ended, fetch_ended],
        [wait_begun, wait_ended, fetch_begun, fetch_ended],
        [fetch_begun, fetch_ended, wait_begun, wait_ended],
    ):
        for event in story:
            telemetry(event)

        assert telemetry._refreshes == {}
