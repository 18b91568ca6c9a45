"""The listener that makes spans and metrics of the events about tokens."""

from __future__ import annotations

import time
from typing import Any

import attrs
import httpx
from opentelemetry import context as context_api
from opentelemetry import trace

from seic._events import (
    Event,
    RequestNotRetried,
    RequestRetried,
    TokenRefreshEnded,
    TokenRefreshStarted,
    TokenRequested,
    TokenWaitEnded,
    TokenWaitStarted,
)
from seic._runtime import Lock
from seic.otel.instruments import Attributes, Instruments
from seic.otel.requests import answer_of, server_of

_SUCCESSES = ("acquired", "stored")


@attrs.define
class _Fetch:
    """A fetch under way, its requests so far, and the calls that wait for it."""

    waiting: int = 0
    links: list[trace.Link] = attrs.field(factory=list)
    span: trace.Span | None = None
    attached: Any = None
    running: bool = False
    requests: int = 0


class Telemetry:
    """A listener; each event comes in the context of what it tells of, so the current span is that one's.

    Args:
        instruments: What is told to.
        common: Attributes of everything.
        token_url: Where tokens come from.
        http: Whether token requests have spans.
    """

    def __init__(self, instruments: Instruments, common: Attributes, *, token_url: str, http: bool) -> None:
        self._to = instruments
        self._common = common
        self._http = http
        url = httpx.URL(token_url)
        self._scheme = url.scheme
        # Query and user may hold a key.
        path = url.raw_path.partition(b"?")[0].decode("ascii")
        self._url = f"{url.scheme}://{url.netloc.decode('ascii')}{path}"
        # Waits and fetches are told from any thread.
        self._lock = Lock()
        self._fetches: dict[int, _Fetch] = {}

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case TokenWaitStarted():
                self._wait_begun(event)
            case TokenWaitEnded():
                self._wait_ended(event)
            case TokenRefreshStarted():
                self._fetch_begun(event)
            case TokenRefreshEnded():
                self._fetch_ended(event)
            case TokenRequested():
                self._requested(event)
            case RequestRetried():
                self._to.replays.add(1, {**self._at(event.host), "seic.replay.outcome": "replayed"})
            case RequestNotRetried():
                self._to.replays.add(1, {**self._at(event.host), "seic.replay.outcome": "not_replayed"})

    def _wait_begun(self, event: TokenWaitStarted) -> None:
        self._to.waiters.add(1, self._at(event.host))
        caller = trace.get_current_span().get_span_context()
        with self._lock:
            fetch = self._fetches.setdefault(event.refresh_id, _Fetch())
            fetch.waiting += 1
            if not caller.is_valid:
                return
            if fetch.span is None:
                fetch.links.append(trace.Link(caller))
            elif fetch.running:
                fetch.span.add_link(caller)

    def _wait_ended(self, event: TokenWaitEnded) -> None:
        with self._lock:
            fetch = self._fetches.get(event.refresh_id)
            if fetch is None or fetch.waiting == 0:  # it began before anyone listened
                return
            fetch.waiting -= 1
            self._drop_if_over(event.refresh_id, fetch)
        at = self._at(event.host)
        self._to.waiters.add(-1, at)
        self._to.wait_duration.record(event.took, at)
        # Without a span of the caller's there is no trace to be part of.
        if trace.get_current_span().get_span_context().is_valid:
            links = [] if fetch.span is None else [trace.Link(fetch.span.get_span_context())]
            began = _ago(event.took)
            self._to.tracer.start_span("seic.token.wait", links=links, attributes=at, start_time=began).end()

    def _fetch_begun(self, event: TokenRefreshStarted) -> None:
        attributes = {**self._at(event.host), "seic.token.ahead": event.ahead}
        with self._lock:
            fetch = self._fetches.setdefault(event.refresh_id, _Fetch())
            fetch.span = self._to.tracer.start_span(
                "seic.token.refresh", context=context_api.Context(), links=fetch.links, attributes=attributes
            )
            fetch.running = True
        # What the token request does below shows within this span, by whoever instruments it.
        fetch.attached = context_api.attach(trace.set_span_in_context(fetch.span))

    def _fetch_ended(self, event: TokenRefreshEnded) -> None:
        with self._lock:
            fetch = self._fetches.get(event.refresh_id)
            if fetch is None or fetch.span is None:  # it began before anyone listened
                return
            fetch.running = False
            self._drop_if_over(event.refresh_id, fetch)
        context_api.detach(fetch.attached)
        error = None if event.outcome in _SUCCESSES else event.outcome
        _settle(fetch.span, event.outcome, error, event.tracking_id)

    def _requested(self, event: TokenRequested) -> None:
        attributes = {
            **self._at(event.host),
            **answer_of(status=event.status, version=event.http_version, error=event.error),
        }
        self._to.request_duration.record(event.took, {**attributes, "seic.token.outcome": event.outcome})
        if not self._http:
            return
        attributes.update({"http.request.method": "POST", "url.full": self._url})
        if resends := self._count_request():
            attributes["http.request.resend_count"] = resends
        span = self._to.tracer.start_span(
            "POST", kind=trace.SpanKind.CLIENT, attributes=attributes, start_time=_ago(event.took)
        )
        _settle(span, event.outcome, attributes.get("error.type"), event.tracking_id)

    def _count_request(self) -> int:
        """Return how many requests the fetch that runs here has made before."""
        current = trace.get_current_span()
        with self._lock:
            for fetch in self._fetches.values():
                if fetch.span is current:
                    fetch.requests += 1
                    return fetch.requests - 1
        return 0

    def _drop_if_over(self, number: int, fetch: _Fetch) -> None:
        if fetch.waiting == 0 and not fetch.running:
            self._fetches.pop(number, None)

    def _at(self, host: str) -> Attributes:
        return {**self._common, **server_of(httpx.URL(f"{self._scheme}://{host}"))}


def _ago(seconds: float) -> int:
    """Return when something began that has just ended, in nanoseconds since the epoch."""
    return time.time_ns() - int(seconds * 1e9)


def _settle(span: trace.Span, outcome: str, error: object, tracking_id: str | None) -> None:
    span.set_attribute("seic.token.outcome", outcome)
    if tracking_id is not None:
        span.set_attribute("seic.tracking_id", tracking_id)
    if error is not None:
        span.set_attribute("error.type", str(error))
        span.set_status(trace.StatusCode.ERROR)
    span.end()
