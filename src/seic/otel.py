"""Spans and metrics for OpenTelemetry, made of the events; needs `opentelemetry-api` alone.

    seic.otel.instrument(client)

A span `seic.token.fetch` stands for each fetch of a token. It is a root, since it serves many, and is linked to the
span of every call that waited for it; in the trace of such a call a span `seic.token.wait` links back. Each token
request is a client span within the fetch.

Names of its own begin with `seic.`; all others, and the units, are those of the semantic conventions.
"""

from __future__ import annotations

import contextlib
import functools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import attrs
import httpx

try:
    from opentelemetry import context as context_api
    from opentelemetry import metrics, trace
except ModuleNotFoundError as error:
    raise ImportError('seic.otel needs opentelemetry-api: run pip install "seic[otel]"') from error

from seic._auth import OAuth2Auth
from seic._errors import CertificateError, ConfigurationError
from seic._events import (
    CallNotReplayed,
    CallReplayed,
    Event,
    TokenFetchBegun,
    TokenFetchEnded,
    TokenRequested,
    TokenWaitBegun,
    TokenWaitEnded,
)
from seic._runtime import Lock

__all__ = ["instrument"]

_HTTPS = 443
#: What the conventions advise for the duration of an HTTP request, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SUCCESSES = ("acquired", "stored")
_FIRST_ERROR = 400

_Attributes: TypeAlias = dict[str, str | int | bool]


def instrument(
    client: httpx.AsyncClient | httpx.Client | OAuth2Auth,
    *,
    name: str | None = None,
    http: bool = True,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Callable[[], None]:
    """Make spans and metrics of what a client, or an auth of your own client's, does from now on.

    An auth that several clients share is to be instrumented once; its clients then are not.

    Args:
        client: Whose tokens and calls; an auth tells of tokens alone.
        name: Tells clients of the same host apart, as the attribute `seic.client.name`.
        http: Tell of HTTP requests, too: a span for each token request, and `http.client.request.duration` for the
            calls of the client. False where an instrumentation of httpx already does.
        tracer_provider: Where spans go; None is the global one.
        meter_provider: Where metrics go; None is the global one.

    Returns:
        What ends it.

    Raises:
        ConfigurationError: The client's auth is none of seic's.
    """
    auth = client if isinstance(client, OAuth2Auth) else client.auth
    if not isinstance(auth, OAuth2Auth):
        raise ConfigurationError("client: its auth must be a seic.OAuth2Auth", field="client")
    instruments = _instruments(tracer_provider, meter_provider)
    common: _Attributes = {} if name is None else {"seic.client.name": name}
    forget = instruments.observe(auth, common)
    endings = [auth.listen(_Telemetry(instruments, common, http=http)), forget]
    if http and not isinstance(client, OAuth2Auth):
        endings.append(_measure_calls(client, instruments.call_duration, common))

    def end() -> None:
        while endings:
            endings.pop()()

    return end


@functools.lru_cache(maxsize=32)
def _instruments(
    tracer_provider: trace.TracerProvider | None, meter_provider: metrics.MeterProvider | None
) -> _Instruments:
    """Return the instruments of the providers: made twice, a gauge would be observed twice."""
    return _Instruments(
        trace.get_tracer("seic.otel", tracer_provider=tracer_provider),
        metrics.get_meter("seic.otel", meter_provider=meter_provider),
    )


class _Instruments:
    """What spans and metrics are made with, and the auths whose gauges are read."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self.tracer = tracer
        self.request_duration = meter.create_histogram(
            "seic.token.request.duration",
            unit="s",
            description="Duration of token requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.wait_duration = meter.create_histogram(
            "seic.token.wait.duration",
            unit="s",
            description="Time that calls waited for a token.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.waiters = meter.create_up_down_counter(
            "seic.token.waiters", unit="{call}", description="Calls that wait for a token now."
        )
        self.replays = meter.create_counter(
            "seic.call.replays", unit="{call}", description="Calls that met a 401, replayed or not."
        )
        self.call_duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        meter.create_observable_gauge(
            "seic.token.time_to_expiry",
            callbacks=[self._observe_tokens],
            unit="s",
            description="Time until the token in hand expires.",
        )
        meter.create_observable_gauge(
            "seic.certificate.time_to_expiry",
            callbacks=[self._observe_certificates],
            unit="d",
            description="Time until the client certificate expires.",
        )
        # A client that is forgotten without being closed must not be kept alive by its gauges.
        self._observed: weakref.WeakKeyDictionary[OAuth2Auth, _Attributes] = weakref.WeakKeyDictionary()

    def observe(self, auth: OAuth2Auth, common: _Attributes) -> Callable[[], None]:
        self._observed[auth] = common

        def forget() -> None:
            self._observed.pop(auth, None)

        return forget

    def _observe_tokens(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for auth, attributes in self._each():
            token = auth.source.current
            if token is not None and token.expires_at is not None:
                yield metrics.Observation(token.expires_at.timestamp() - time.time(), attributes)

    def _observe_certificates(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for auth, attributes in self._each():
            with contextlib.suppress(CertificateError):  # a callback that gives none is told of by a rejection
                if auth.certificate is not None:
                    yield metrics.Observation(auth.certificate.days_left(), attributes)

    def _each(self) -> Iterator[tuple[OAuth2Auth, _Attributes]]:
        for auth, common in list(self._observed.items()):
            origin = auth.config.origin
            yield auth, {**common, "server.address": origin.host, "server.port": origin.port}


@attrs.define
class _Fetch:
    """A fetch under way, and the calls that wait for it."""

    waiting: int = 0
    links: list[trace.Link] = attrs.field(factory=list)
    span: trace.Span | None = None
    attached: Any = None
    running: bool = False


class _Telemetry:
    """A listener; each event comes in the context of what it tells of, so the current span is that one's."""

    def __init__(self, instruments: _Instruments, common: _Attributes, *, http: bool) -> None:
        self._to = instruments
        self._common = common
        self._http = http
        # Waits and fetches are told from any thread.
        self._lock = Lock()
        self._fetches: dict[int, _Fetch] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case TokenWaitBegun():
                self._wait_begun(event)
            case TokenWaitEnded():
                self._wait_ended(event)
            case TokenFetchBegun():
                self._fetch_begun(event)
            case TokenFetchEnded():
                self._fetch_ended(event)
            case TokenRequested():
                self._requested(event)
            case CallReplayed():
                self._to.replays.add(1, {**self._at(event.host), "seic.replay.outcome": "replayed"})
            case CallNotReplayed():
                self._to.replays.add(1, {**self._at(event.host), "seic.replay.outcome": "not_replayed"})

    def _wait_begun(self, event: TokenWaitBegun) -> None:
        self._to.waiters.add(1, self._at(event.host))
        caller = trace.get_current_span().get_span_context()
        with self._lock:
            fetch = self._fetches.setdefault(event.fetch, _Fetch())
            fetch.waiting += 1
            if not caller.is_valid:
                return
            if fetch.span is None:
                fetch.links.append(trace.Link(caller))
            elif fetch.running:
                fetch.span.add_link(caller)

    def _wait_ended(self, event: TokenWaitEnded) -> None:
        with self._lock:
            fetch = self._fetches.get(event.fetch)
            if fetch is None or fetch.waiting == 0:  # it began before anyone listened
                return
            fetch.waiting -= 1
            self._drop_if_over(event.fetch, fetch)
        at = self._at(event.host)
        self._to.waiters.add(-1, at)
        self._to.wait_duration.record(event.took, at)
        # Without a span of the caller's there is no trace to be part of.
        if trace.get_current_span().get_span_context().is_valid:
            links = [] if fetch.span is None else [trace.Link(fetch.span.get_span_context())]
            began = _ago(event.took)
            self._to.tracer.start_span("seic.token.wait", links=links, attributes=at, start_time=began).end()

    def _fetch_begun(self, event: TokenFetchBegun) -> None:
        attributes = {**self._at(event.host), "seic.token.ahead": event.ahead}
        with self._lock:
            fetch = self._fetches.setdefault(event.fetch, _Fetch())
            fetch.span = self._to.tracer.start_span(
                "seic.token.fetch", context=context_api.Context(), links=fetch.links, attributes=attributes
            )
            fetch.running = True
        # What the token request does below shows within this span, by whoever instruments it.
        fetch.attached = context_api.attach(trace.set_span_in_context(fetch.span))

    def _fetch_ended(self, event: TokenFetchEnded) -> None:
        with self._lock:
            fetch = self._fetches.get(event.fetch)
            if fetch is None or fetch.span is None:  # it began before anyone listened
                return
            fetch.running = False
            self._drop_if_over(event.fetch, fetch)
        context_api.detach(fetch.attached)
        _settle(fetch.span, event.outcome, event.tracking_id)

    def _requested(self, event: TokenRequested) -> None:
        attributes = self._at(event.host)
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.outcome not in _SUCCESSES:
            attributes["error.type"] = event.outcome
        self._to.request_duration.record(event.took, {**attributes, "seic.token.outcome": event.outcome})
        if self._http:
            span = self._to.tracer.start_span(
                "POST",
                kind=trace.SpanKind.CLIENT,
                attributes={**attributes, "http.request.method": "POST"},
                start_time=_ago(event.took),
            )
            _settle(span, event.outcome, event.tracking_id)

    def _drop_if_over(self, number: int, fetch: _Fetch) -> None:
        if fetch.waiting == 0 and not fetch.running:
            self._fetches.pop(number, None)

    def _at(self, host: str) -> _Attributes:
        return {**self._common, **_server(host)}


def _server(host: str) -> _Attributes:
    url = httpx.URL(f"https://{host}")
    return {"server.address": url.host, "server.port": url.port or _HTTPS}


def _ago(seconds: float) -> int:
    """Return when something began that has just ended, in nanoseconds since the epoch."""
    return time.time_ns() - int(seconds * 1e9)


def _settle(span: trace.Span, outcome: str, tracking_id: str | None) -> None:
    span.set_attribute("seic.token.outcome", outcome)
    if tracking_id is not None:
        span.set_attribute("seic.tracking_id", tracking_id)
    if outcome not in _SUCCESSES:
        span.set_attribute("error.type", outcome)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def _measure_calls(
    client: httpx.AsyncClient | httpx.Client, duration: metrics.Histogram, common: _Attributes
) -> Callable[[], None]:
    """Time what goes through `client.send`: a call of the user's with all its redirects and its replay is one."""
    send: Any = client.send

    def record(request: httpx.Request, began: float, status: int | None, error: BaseException | None) -> None:
        attributes = {**common, "http.request.method": request.method, **_server(request.url.netloc.decode("ascii"))}
        if status is not None:
            attributes["http.response.status_code"] = status
            if status >= _FIRST_ERROR:
                attributes["error.type"] = str(status)
        if error is not None:
            attributes["error.type"] = type(error).__qualname__
        duration.record(time.perf_counter() - began, attributes)

    async def send_async(request: httpx.Request, **options: Any) -> httpx.Response:
        began = time.perf_counter()
        try:
            response: httpx.Response = await send(request, **options)
        except BaseException as error:
            record(request, began, None, error)
            raise
        record(request, began, response.status_code, None)
        return response

    def send_blocking(request: httpx.Request, **options: Any) -> httpx.Response:
        began = time.perf_counter()
        try:
            response: httpx.Response = send(request, **options)
        except BaseException as error:
            record(request, began, None, error)
            raise
        record(request, began, response.status_code, None)
        return response

    # httpx has no hook that sees a failed call; `send` is public, and every way of calling goes through it.
    vars(client)["send"] = send_async if isinstance(client, httpx.AsyncClient) else send_blocking

    def end() -> None:
        vars(client).pop("send", None)

    return end
