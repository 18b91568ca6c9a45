"""The spans of token refreshes, token requests and waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry import trace

import seic
from seic.events import Event, TokenRefreshEnded, TokenRefreshStarted, TokenWaitEnded, TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE, client_of
from tests._support.observatory import Observatory, facts, id_of, links, parent_of

AT = {"server.address": "api.example", "server.port": 443}
POST = {**AT, "http.request.method": "POST", "url.full": "https://api.example/v2/oauthtoken"}
UNSET, ERROR = trace.StatusCode.UNSET, trace.StatusCode.ERROR


def acquired(track: str) -> dict[str, Any]:
    """Return the attributes of a refresh or a request that brought a token."""
    return {"seic.token.outcome": "acquired", "seic.tracking_id": track}


async def test_a_request_that_waits_has_four_spans(gateway: MockProvider, seen: Observatory) -> None:
    """The application's span with the wait below it, and the refresh, a root, with the token request below it."""
    async with client_of(gateway) as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")

    request, refresh, wait, app = seen.spans
    assert [span.name for span in (request, refresh, wait, app)] == [
        "POST",
        "seic.token.refresh",
        "seic.token.wait",
        "app",
    ]

    assert parent_of(refresh) is None
    assert refresh.kind is trace.SpanKind.INTERNAL
    assert links(refresh) == {id_of(app)}
    assert facts(refresh) == {**AT, **acquired("track-1"), "seic.token.ahead": False}
    assert refresh.status.status_code is UNSET

    assert parent_of(request) == id_of(refresh)
    assert request.kind is trace.SpanKind.CLIENT
    assert facts(request) == {**POST, **acquired("track-1"), "http.response.status_code": 200}
    assert request.status.status_code is UNSET

    assert parent_of(wait) == id_of(app)
    assert links(wait) == {id_of(refresh)}
    assert facts(wait) == AT
    for span in (request, refresh, wait):
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


async def test_a_refresh_is_linked_to_every_request_that_waited(gateway: MockProvider, seen: Observatory) -> None:
    """To those that started it and those that joined later; the wait of each links back."""
    gateway.hold_tokens()

    async def call(client: seic.AsyncClient) -> None:
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")

    async with client_of(gateway) as client:
        seen.instrument(client)
        first = [asyncio.create_task(call(client)) for _ in range(2)]
        assert await gateway.wait_for_token_request(PATIENCE)
        later = [asyncio.create_task(call(client)) for _ in range(3)]
        await asyncio.sleep(0)
        gateway.release_tokens()
        await asyncio.gather(*first, *later)

    apps = seen.named("app")
    waits = seen.named("seic.token.wait")
    refresh = seen.one("seic.token.refresh")
    assert len(apps) == len(waits) == 5
    assert links(refresh) == {id_of(app) for app in apps}
    assert all(links(wait) == {id_of(refresh)} for wait in waits)
    assert {wait.parent.span_id for wait in waits if wait.parent} == {id_of(app) for app in apps}


async def test_a_request_without_a_span_has_no_wait_span(gateway: MockProvider, seen: Observatory) -> None:
    """A thousand waits would otherwise be a thousand traces."""
    async with client_of(gateway) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    assert [span.name for span in seen.spans] == ["POST", "seic.token.refresh"]
    assert links(seen.one("seic.token.refresh")) == set()


def test_a_blocking_client_has_the_same_spans(gateway: MockProvider, seen: Observatory) -> None:
    """Spans, parents and links are the same."""
    with seic.Client(gateway.config(), transport=gateway) as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"):
            client.get("/v1/accounts")

    # The refresh and the wait end in different threads, in any order.
    assert sorted(span.name for span in seen.spans) == ["POST", "app", "seic.token.refresh", "seic.token.wait"]
    refresh, request, wait, app = map(seen.one, ("seic.token.refresh", "POST", "seic.token.wait", "app"))
    assert facts(refresh) == {**AT, **acquired("track-1"), "seic.token.ahead": False}
    assert facts(request) == {**POST, **acquired("track-1"), "http.response.status_code": 200}
    assert facts(wait) == AT
    assert (parent_of(refresh), parent_of(request), parent_of(wait)) == (None, id_of(refresh), id_of(app))
    assert (links(refresh), links(wait)) == ({id_of(app)}, {id_of(refresh)})


async def test_a_failed_refresh_is_an_error_with_both_attempts(gateway: MockProvider, seen: Observatory) -> None:
    """The refresh has the type of its error, without the provider's message."""
    gateway.token_responses.extend(
        [httpx.Response(503, headers={"Retry-After": "0"}, text="password-1"), httpx.ReadError("gone")]
    )
    async with client_of(gateway) as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"), pytest.raises(seic.TokenEndpointUnavailable):
            await client.token()

    first, second, refresh, wait, app = seen.spans
    assert (first.name, second.name, refresh.name, wait.name) == (
        "POST",
        "POST",
        "seic.token.refresh",
        "seic.token.wait",
    )
    failed = {"seic.token.outcome": "unavailable"}
    assert facts(refresh) == {**AT, **failed, "error.type": "unavailable", "seic.token.ahead": False}
    assert facts(first) == {
        **POST,
        **failed,
        "error.type": "503",
        "http.response.status_code": 503,
        "seic.tracking_id": "track-1",
    }
    assert facts(second) == {**POST, **failed, "error.type": "httpx.ReadError", "http.request.resend_count": 1}
    assert {parent_of(span) for span in (first, second)} == {id_of(refresh)}
    assert [span.status.status_code for span in (first, second, refresh, wait)] == [ERROR, ERROR, ERROR, UNSET]
    assert (parent_of(wait), links(wait), links(refresh)) == (id_of(app), {id_of(refresh)}, {id_of(app)})
    assert "password-1" not in "".join(span.to_json() for span in seen.spans)


async def test_a_background_refresh_has_no_links(
    gateway: MockProvider, seen: Observatory, timed_client: seic.AsyncClient, clock: FakeClock
) -> None:
    """It has the attribute `seic.token.ahead`, and is not linked to the request that started it."""
    gateway.expires_in = 1200  # less than the idle lifetime
    async with timed_client as client:
        await client.token()
        seen.instrument(client)
        clock.advance(1100)
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")

    request, refresh, app = seen.spans
    assert (app.name, request.name, refresh.name) == ("app", "POST", "seic.token.refresh")
    assert parent_of(refresh) is None
    assert links(refresh) == set()
    assert facts(refresh) == {**AT, **acquired("track-2"), "seic.token.ahead": True}
    assert parent_of(request) == id_of(refresh)


async def test_a_replay_waits_for_a_second_refresh(gateway: MockProvider, seen: Observatory) -> None:
    """The trace of the request shows the wait for the token that replaces the rejected one."""
    async with client_of(gateway) as client:
        await client.token()
        seen.instrument(client)
        gateway.revoke("token-1")
        with seen.tracer.start_as_current_span("app"):
            reply = await client.get("/v1/accounts")

    assert reply.status_code == 200
    request, refresh, wait, app = seen.spans
    assert [span.name for span in (request, refresh, wait)] == ["POST", "seic.token.refresh", "seic.token.wait"]
    assert facts(refresh) == {**AT, **acquired("track-3"), "seic.token.ahead": False}
    assert facts(request) == {**POST, **acquired("track-3"), "http.response.status_code": 200}
    assert (parent_of(refresh), parent_of(request), parent_of(wait)) == (None, id_of(refresh), id_of(app))
    assert (links(refresh), links(wait)) == ({id_of(app)}, {id_of(refresh)})
    assert [point.attributes for point in seen.points("seic.call.replays")] == [
        {**AT, "seic.replay.outcome": "replayed"}
    ]


async def test_an_abandoned_refresh_ends_its_span(gateway: MockProvider, seen: Observatory) -> None:
    """A client that is closed during a refresh leaves no span open."""
    gateway.hold_tokens()
    client = client_of(gateway)
    seen.instrument(client)
    task = asyncio.create_task(client.token())
    assert await gateway.wait_for_token_request(PATIENCE)
    task.cancel()
    await client.aclose()

    attributes = seen.one("seic.token.refresh").attributes
    assert attributes is not None
    assert attributes["seic.token.outcome"] == "abandoned"


async def test_without_http_there_are_no_spans_of_requests(gateway: MockProvider, seen: Observatory) -> None:
    """If httpx is instrumented already, each request would have two."""
    async with client_of(gateway) as client:
        seen.instrument(client, http=False)
        await client.get("/v1/accounts")

    assert [span.name for span in seen.spans] == ["seic.token.refresh"]
    assert seen.points("http.client.request.duration") == []
    assert seen.point("seic.token.request.duration").count == 1


class Source:
    """An event source whose events the test emits."""

    def __init__(self, config: seic.Config) -> None:
        self.config = config
        self.emit: Callable[[Event], None] = lambda _: None

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Remember the listener."""
        self.emit = listener
        return lambda: None


WAIT_STARTED = TokenWaitStarted(host="api.example", refresh_id=1)
WAIT_ENDED = TokenWaitEnded(host="api.example", refresh_id=1, took=0.1)
REFRESH_STARTED = TokenRefreshStarted(host="api.example", refresh_id=1, ahead=False)
REFRESH_ENDED = TokenRefreshEnded(host="api.example", refresh_id=1, outcome="acquired", took=0.1)


@pytest.fixture
def source(gateway: MockProvider, seen: Observatory) -> Source:
    """An instrumented event source."""
    source = Source(gateway.config())
    seen.instrument(source)
    return source


def test_what_started_before_the_instrumentation_is_left_out(source: Source, seen: Observatory) -> None:
    """An end without a start creates no span and does not lower the number of waiters."""
    source.emit(WAIT_ENDED)
    source.emit(REFRESH_ENDED)

    assert seen.spans == []
    assert seen.points("seic.token.waiters") == []


@pytest.mark.parametrize(
    "events",
    [
        [WAIT_STARTED, REFRESH_STARTED, REFRESH_ENDED, WAIT_ENDED],
        [WAIT_STARTED, REFRESH_STARTED, WAIT_ENDED, REFRESH_ENDED],
        [WAIT_STARTED, WAIT_ENDED, REFRESH_STARTED, REFRESH_ENDED],
        [REFRESH_STARTED, REFRESH_ENDED, WAIT_STARTED, WAIT_ENDED],
    ],
    ids=["refresh first", "wait first", "cancelled", "late wait"],
)
def test_nothing_is_kept_of_a_refresh_that_is_over(events: list[Event], source: Source) -> None:
    """In each order of the ends."""
    for event in events:
        source.emit(event)

    assert source.emit._refreshes == {}  # type: ignore[attr-defined]  # the listener's own
