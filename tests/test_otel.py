from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import seic
import seic.otel
from seic._events import TokenFetchBegun, TokenFetchEnded, TokenWaitBegun, TokenWaitEnded
from seic.sandbox import CertificateAuthority
from tests._support.fake_gateway import FakeGateway

AT = {"server.address": "api.seic.com", "server.port": 443}


class Observatory:
    """The SDK with exporters in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])
        self.tracer = self.tracer_provider.get_tracer("app")

    def instrument(self, client: Any, **options: Any) -> Any:
        """Instrument with these providers."""
        return seic.otel.instrument(
            client, tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **options
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their end."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of a name."""
        (span,) = self.named(name)
        return span

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric; none where it was not recorded."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def point(self, name: str) -> Any:
        """Return the only data point of a metric."""
        (point,) = self.points(name)
        return point


@pytest.fixture
def seen() -> Iterator[Observatory]:
    """What was exported."""
    observatory = Observatory()
    yield observatory
    observatory.tracer_provider.shutdown()
    observatory.meter_provider.shutdown()


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()


def links(span: ReadableSpan) -> set[int]:
    """Return the ids of the spans that a span is linked to."""
    return {link.context.span_id for link in span.links}


def id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    assert span.context is not None
    return int(span.context.span_id)


# Spans


async def test_a_call_that_waited_is_told_span_by_span(gateway: FakeGateway, seen: Observatory) -> None:
    """Four spans: the app's own, the fetch apart from it, the request within the fetch, the wait within the app's."""
    async with gateway.client() as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"):
            await client.get("/v1/accounts")

    request, fetch, wait, app = seen.spans
    assert [span.name for span in (request, fetch, wait, app)] == ["POST", "seic.token.fetch", "seic.token.wait", "app"]

    assert fetch.parent is None
    assert fetch.kind is trace.SpanKind.INTERNAL
    assert links(fetch) == {id_of(app)}
    assert fetch.attributes == {
        **AT,
        "seic.token.ahead": False,
        "seic.token.outcome": "acquired",
        "seic.tracking_id": "track-1",
    }
    assert fetch.status.status_code is trace.StatusCode.UNSET

    assert request.parent is not None
    assert request.parent.span_id == id_of(fetch)
    assert request.kind is trace.SpanKind.CLIENT
    assert request.attributes == {
        **AT,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "seic.token.outcome": "acquired",
        "seic.tracking_id": "track-1",
    }

    assert wait.parent is not None
    assert wait.parent.span_id == id_of(app)
    assert links(wait) == {id_of(fetch)}
    assert wait.attributes == AT
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
    fetch = seen.one("seic.token.fetch")
    assert len(apps) == len(waits) == 5
    assert links(fetch) == {id_of(app) for app in apps}
    assert all(links(wait) == {id_of(fetch)} for wait in waits)
    assert {wait.parent.span_id for wait in waits if wait.parent} == {id_of(app) for app in apps}


async def test_a_call_without_a_span_gets_none(gateway: FakeGateway, seen: Observatory) -> None:
    """Where the application traces nothing, a thousand waits would be a thousand traces."""
    async with gateway.client() as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    assert [span.name for span in seen.spans] == ["POST", "seic.token.fetch"]
    assert links(seen.one("seic.token.fetch")) == set()


def test_a_blocking_client_is_told_alike(gateway: FakeGateway, seen: Observatory) -> None:
    """The fetch runs in a thread of its own there; parents and links are the same."""
    with seic.Client(gateway.config(), transport=gateway.blocking_transport) as client:
        seen.instrument(client)
        with seen.tracer.start_as_current_span("app"):
            client.get("/v1/accounts")

    fetch, request = seen.one("seic.token.fetch"), seen.one("POST")
    assert fetch.parent is None
    assert request.parent is not None
    assert request.parent.span_id == id_of(fetch)
    assert links(fetch) == {id_of(seen.one("app"))}


async def test_a_fetch_that_fails_is_an_error_with_its_attempts(gateway: FakeGateway, seen: Observatory) -> None:
    """Both attempts are there, and the fetch says by its type what went wrong, without the provider's words."""
    gateway.plan.extend([httpx.Response(503, headers={"Retry-After": "0"}, text="password-1"), httpx.Response(503)])
    async with gateway.client() as client:
        seen.instrument(client)
        with pytest.raises(seic.TokenEndpointUnavailable):
            await client.token()

    fetch = seen.one("seic.token.fetch")
    requests = seen.named("POST")
    assert fetch.status.status_code is trace.StatusCode.ERROR
    assert fetch.attributes is not None
    assert fetch.attributes["error.type"] == fetch.attributes["seic.token.outcome"] == "unavailable"
    assert len(requests) == 2
    for request in requests:
        assert request.attributes is not None
        assert request.attributes["http.response.status_code"] == 503
        assert request.attributes["error.type"] == "unavailable"
        assert request.status.status_code is trace.StatusCode.ERROR
    assert "password-1" not in "".join(span.to_json() for span in seen.spans)


async def test_an_abandoned_fetch_ends_its_span(gateway: FakeGateway, seen: Observatory) -> None:
    """A client that is closed in the middle of a fetch leaves no span open."""
    gateway.gate = asyncio.Event()
    client = gateway.client()
    seen.instrument(client)
    task = asyncio.create_task(client.token())
    await gateway.arrived.wait()
    task.cancel()
    await client.aclose()

    attributes = seen.one("seic.token.fetch").attributes
    assert attributes is not None
    assert attributes["seic.token.outcome"] == "abandoned"


async def test_without_http_the_requests_are_left_to_others(gateway: FakeGateway, seen: Observatory) -> None:
    """Where httpx is instrumented already, each request would be told twice."""
    async with gateway.client() as client:
        seen.instrument(client, http=False)
        await client.get("/v1/accounts")

    assert [span.name for span in seen.spans] == ["seic.token.fetch"]
    assert seen.points("http.client.request.duration") == []
    assert seen.point("seic.token.request.duration").count == 1


# Metrics


async def test_token_requests_are_counted_and_timed_by_outcome(gateway: FakeGateway, seen: Observatory) -> None:
    """A refusal and a token are told apart by their attributes; the count of the histogram is the count of requests."""
    gateway.plan.append(httpx.Response(400, json={"error": "invalid_grant"}))
    for _ in range(2):
        async with gateway.client() as client:
            seen.instrument(client)
            await client.token() if not gateway.plan else await _refused(client)

    points = {point.attributes["seic.token.outcome"]: point for point in seen.points("seic.token.request.duration")}
    assert set(points) == {"acquired", "refused"}
    assert points["acquired"].count == points["refused"].count == 1
    assert points["acquired"].attributes == {
        **AT,
        "http.response.status_code": 200,
        "seic.token.outcome": "acquired",
    }
    assert points["refused"].attributes == {
        **AT,
        "http.response.status_code": 400,
        "error.type": "refused",
        "seic.token.outcome": "refused",
    }


async def _refused(client: seic.AsyncClient) -> None:
    with pytest.raises(seic.TokenRequestRefused):
        await client.token()


async def test_waiters_go_up_and_come_down(gateway: FakeGateway, seen: Observatory) -> None:
    """The gauge shows who waits now, one who gave up no more; the histogram counts all who waited."""
    gateway.gate = asyncio.Event()
    async with gateway.client() as client:
        seen.instrument(client)
        tasks = [asyncio.create_task(client.get("/v1/accounts")) for _ in range(3)]
        await gateway.arrived.wait()
        assert seen.point("seic.token.waiters").value == 3
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert seen.point("seic.token.waiters").value == 2
        gateway.gate.set()
        await asyncio.gather(*tasks[1:])

    waiters = seen.point("seic.token.waiters")
    assert isinstance(waiters, NumberDataPoint)
    assert waiters.value == 0
    assert waiters.attributes == AT
    assert seen.point("seic.token.wait.duration").count == 3


async def test_replays_are_counted_apart_from_401s_handed_on(gateway: FakeGateway, seen: Observatory) -> None:
    """A rise of either means something else."""
    async with gateway.client() as client:
        seen.instrument(client)
        await client.get("/v1/accounts")
        gateway.dead.add("token-1")
        await client.get("/v1/accounts")
        gateway.dead.add("token-2")
        gateway.challenges = False
        await client.get("/v1/accounts")

    points = {point.attributes["seic.replay.outcome"]: point.value for point in seen.points("seic.call.replays")}
    assert points == {"replayed": 1, "not_replayed": 1}


async def test_seconds_to_expiry_are_read_from_the_token_in_hand(gateway: FakeGateway, seen: Observatory) -> None:
    """Nothing before the first token; then what is left of its lifetime, by any clock at most that."""
    async with gateway.client() as client:
        seen.instrument(client)
        assert seen.points("seic.token.time_to_expiry") == []
        await client.token()
        point = seen.point("seic.token.time_to_expiry")

    assert 0 < point.value <= 3600
    assert point.attributes == AT


async def test_days_to_expiry_are_read_from_the_certificate_in_service(gateway: FakeGateway, seen: Observatory) -> None:
    """From the start, before any call; a client without a certificate has no such point, nor has one that gets none."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=20)
    issued = CertificateAuthority().issue("svc-user", not_after=end, not_before=end - dt.timedelta(days=700))
    certificate = seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)

    def from_vault() -> seic.ClientCertificate:
        raise LookupError("sealed")

    configs = [gateway.config(certificate=given) for given in (certificate, None, from_vault)]
    auths = [seic.OAuth2Auth(config, transport=gateway.transport) for config in configs]
    for auth in auths:
        seen.instrument(auth)

    point = seen.point("seic.certificate.time_to_expiry")
    assert 19.9 < point.value <= 20
    assert point.attributes == {"server.address": "mtls.api.seic.com", "server.port": 443}


async def test_calls_are_timed_by_status_and_by_error(gateway: FakeGateway, seen: Observatory) -> None:
    """As the conventions for HTTP clients have it; a call with its token's fetch and its replay is one."""
    async with gateway.client() as client:
        stop = seen.instrument(client)
        await client.get("/v1/accounts")
        gateway.dead.add("token-1")
        await client.get("/v1/accounts")
        gateway.dead.add("token-2")
        gateway.challenges = False
        await client.post("/v1/accounts")
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://elsewhere.example:8443/")
        stop()
        await client.get("/v1/accounts")

    points = [(dict(point.attributes), point.count) for point in seen.points("http.client.request.duration")]
    assert points == [
        ({**AT, "http.request.method": "GET", "http.response.status_code": 200}, 2),
        ({**AT, "http.request.method": "POST", "http.response.status_code": 401, "error.type": "401"}, 1),
        (
            {
                "server.address": "elsewhere.example",
                "server.port": 8443,
                "http.request.method": "GET",
                "error.type": "HostNotAllowed",
            },
            1,
        ),
    ]


def test_blocking_calls_are_timed_too(gateway: FakeGateway, seen: Observatory) -> None:
    """The same histogram, with success and failure."""
    with seic.Client(gateway.config(), transport=gateway.blocking_transport) as client:
        seen.instrument(client)
        client.get("/v1/accounts")
        with pytest.raises(seic.HostNotAllowed):
            client.get("https://elsewhere.example/")

    assert [point.count for point in seen.points("http.client.request.duration")] == [1, 1]


async def test_durations_fall_into_the_buckets_that_the_conventions_advise(
    gateway: FakeGateway, seen: Observatory
) -> None:
    """The SDK's own boundaries are made for milliseconds and would put every call into one bucket."""
    async with gateway.client() as client:
        seen.instrument(client)
        await client.get("/v1/accounts")

    for name in ("seic.token.request.duration", "seic.token.wait.duration", "http.client.request.duration"):
        point = seen.point(name)
        assert isinstance(point, HistogramDataPoint)
        assert list(point.explicit_bounds)[:3] == [0.005, 0.01, 0.025]


async def test_clients_of_one_host_are_told_apart_by_name(gateway: FakeGateway, seen: Observatory) -> None:
    """Two clients, one process, the same providers: no gauge is read twice, and each has its name."""
    async with gateway.client() as one, gateway.client() as two:
        seen.instrument(one, name="one")
        seen.instrument(two, name="two")
        await one.token()
        await two.token()

        for metric in ("seic.token.time_to_expiry", "seic.token.request.duration"):
            assert sorted(point.attributes["seic.client.name"] for point in seen.points(metric)) == ["one", "two"]


async def test_after_the_end_nothing_is_told(gateway: FakeGateway, seen: Observatory) -> None:
    """Ending it twice is the same as once."""
    async with gateway.client() as client:
        stop = seen.instrument(client)
        stop()
        stop()
        await client.get("/v1/accounts")

        assert seen.spans == []
        for metric in ("seic.token.request.duration", "seic.token.time_to_expiry", "http.client.request.duration"):
            assert seen.points(metric) == []


async def test_an_auth_on_a_client_of_ones_own_is_instrumented(gateway: FakeGateway, seen: Observatory) -> None:
    """By the client that carries it, or by itself, which then tells of tokens alone."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway.transport)
    async with httpx.AsyncClient(auth=auth, transport=gateway.transport) as client:
        seen.instrument(auth)
        await client.get("https://api.seic.com/v1/accounts")

    assert len(seen.named("seic.token.fetch")) == 1
    assert seen.points("http.client.request.duration") == []


def test_a_client_without_such_an_auth_is_refused() -> None:
    """It would be told of nothing, silently."""
    with httpx.Client(auth=("user", "password")) as client, pytest.raises(seic.ConfigurationError):
        seic.otel.instrument(client)


def test_what_began_before_anyone_listened_is_left_out(gateway: FakeGateway, seen: Observatory) -> None:
    """An end without its beginning makes no span and moves no gauge below zero."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway.transport)
    seen.instrument(auth)
    auth._emit(TokenWaitEnded(host="api.seic.com", fetch=-1, took=0.1))
    auth._emit(TokenFetchEnded(host="api.seic.com", fetch=-1, outcome="acquired", took=0.1))

    assert seen.spans == []
    assert seen.points("seic.token.waiters") == []


def test_nothing_is_kept_of_fetches_that_are_over(gateway: FakeGateway, seen: Observatory) -> None:
    """In whichever order the last waiter and the fetch end, or where a caller gave up before the fetch began."""
    telemetry = seic.otel._Telemetry(seic.otel._instruments(seen.tracer_provider, seen.meter_provider), {}, http=True)
    begun = {"host": "h.example", "fetch": 1}
    ended = {**begun, "took": 0.1}
    wait_begun, wait_ended = TokenWaitBegun(**begun), TokenWaitEnded(**ended)  # type: ignore[arg-type]
    fetch_begun = TokenFetchBegun(**begun, ahead=False)  # type: ignore[arg-type]
    fetch_ended = TokenFetchEnded(**ended, outcome="acquired")  # type: ignore[arg-type]
    for story in (
        [wait_begun, fetch_begun, fetch_ended, wait_ended],
        [wait_begun, fetch_begun, wait_ended, fetch_ended],
        [wait_begun, wait_ended, fetch_begun, fetch_ended],
        [fetch_begun, fetch_ended, wait_begun, wait_ended],
    ):
        for event in story:
            telemetry(event)

        assert telemetry._fetches == {}


# The door


def test_a_missing_extra_names_the_command() -> None:
    """Who imports the door without its package is told what to install."""
    script = (
        "import sys; sys.modules['opentelemetry'] = None\ntry:\n import seic.otel\nexcept ImportError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == 'seic.otel needs opentelemetry-api: run pip install "seic[otel]"'


def test_the_root_imports_no_opentelemetry() -> None:
    """The core stays free of it, and starts without it."""
    script = "import sys, seic; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
