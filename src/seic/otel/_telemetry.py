"""A listener that turns token events into spans and metrics."""

from __future__ import annotations

import time
from typing import Any

import attrs
import httpx
from opentelemetry import context as context_api
from opentelemetry import trace

from seic._concurrency import ForkSafeLock
from seic._event_types import (
    Event,
    RequestNotRetried,
    RequestRetried,
    TokenEndpointDown,
    TokenRefreshEnded,
    TokenRefreshStarted,
    TokenRefused,
    TokenRequested,
    TokenWaitEnded,
    TokenWaitStarted,
)
from seic.otel._http_attributes import response_attributes, server_attributes
from seic.otel._instruments import Attributes, Instruments

_SUCCESSES = ("acquired", "stored")


@attrs.define
class _RefreshState:
    """A token refresh: its span, its requests so far, and the number of requests to the API that wait for it."""

    waiting: int = 0
    links: list[trace.Link] = attrs.field(factory=list)
    span: trace.Span | None = None
    attached: Any = None
    running: bool = False
    requests: int = 0


class Telemetry:
    """Records each event; an event arrives in the context of its cause, so the current span is the cause's.

    Args:
        instruments: Create the spans and metrics.
        common: Attributes of every span and metric.
        token_url: The token endpoint.
        http: Whether token requests have spans.
    """

    def __init__(self, instruments: Instruments, common: Attributes, *, token_url: str, http: bool) -> None:
        self._instruments = instruments
        self._common = common
        self._http = http
        #: Whether the last token request failed.
        self.failed = False
        url = httpx.URL(token_url)
        self._scheme = url.scheme
        # The query and the user info may hold a key.
        path = url.raw_path.partition(b"?")[0].decode("ascii")
        self._url = f"{url.scheme}://{url.netloc.decode('ascii')}{path}"
        # Events arrive from any thread.
        self._lock = ForkSafeLock()
        self._refreshes: dict[int, _RefreshState] = {}

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case TokenWaitStarted():
                self._wait_started(event)
            case TokenWaitEnded():
                self._wait_ended(event)
            case TokenRefreshStarted():
                self._refresh_started(event)
            case TokenRefreshEnded():
                self._refresh_ended(event)
            case TokenRefused() | TokenEndpointDown():
                self.failed = True
            case TokenRequested():
                self._token_requested(event)
            case RequestRetried():
                self._count_replay(event.host, "replayed")
            case RequestNotRetried():
                self._count_replay(event.host, "not_replayed")

    def _count_replay(self, host: str, outcome: str) -> None:
        self._instruments.replays.add(1, {**self._attributes(host), "seic.replay.outcome": outcome})

    def _wait_started(self, event: TokenWaitStarted) -> None:
        self._instruments.waiters.add(1, self._attributes(event.host))
        caller = trace.get_current_span().get_span_context()
        with self._lock:
            refresh = self._refreshes.setdefault(event.refresh_id, _RefreshState())
            refresh.waiting += 1
            if not caller.is_valid:
                return
            if refresh.span is None:
                refresh.links.append(trace.Link(caller))
            elif refresh.running:
                refresh.span.add_link(caller)

    def _wait_ended(self, event: TokenWaitEnded) -> None:
        with self._lock:
            refresh = self._refreshes.get(event.refresh_id)
            if refresh is None or refresh.waiting == 0:  # it started before this listener was added
                return
            refresh.waiting -= 1
            self._remove_if_over(event.refresh_id, refresh)
        attributes = self._attributes(event.host)
        self._instruments.waiters.add(-1, attributes)
        self._instruments.wait_duration.record(event.took, attributes)
        # If the caller has no span, there is no trace to add one to.
        if trace.get_current_span().get_span_context().is_valid:
            links = [] if refresh.span is None else [trace.Link(refresh.span.get_span_context())]
            self._instruments.tracer.start_span(
                "seic.token.wait", links=links, attributes=attributes, start_time=_start_time(event.took)
            ).end()

    def _refresh_started(self, event: TokenRefreshStarted) -> None:
        attributes = {**self._attributes(event.host), "seic.token.ahead": event.ahead}
        with self._lock:
            refresh = self._refreshes.setdefault(event.refresh_id, _RefreshState())
            refresh.span = self._instruments.tracer.start_span(
                "seic.token.refresh", context=context_api.Context(), links=refresh.links, attributes=attributes
            )
            refresh.running = True
        # Any instrumentation of httpx then puts its spans of token requests below this span.
        refresh.attached = context_api.attach(trace.set_span_in_context(refresh.span))

    def _refresh_ended(self, event: TokenRefreshEnded) -> None:
        if event.outcome in _SUCCESSES:
            self.failed = False
        with self._lock:
            refresh = self._refreshes.get(event.refresh_id)
            if refresh is None or refresh.span is None:  # it started before this listener was added
                return
            refresh.running = False
            self._remove_if_over(event.refresh_id, refresh)
        context_api.detach(refresh.attached)
        error = None if event.outcome in _SUCCESSES else event.outcome
        _end_span(refresh.span, event.outcome, error, event.tracking_id)

    def _token_requested(self, event: TokenRequested) -> None:
        attributes = {
            **self._attributes(event.host),
            **response_attributes(status=event.status, version=event.http_version, error=event.error),
        }
        self._instruments.request_duration.record(event.took, {**attributes, "seic.token.outcome": event.outcome})
        if not self._http:
            return
        attributes.update({"http.request.method": "POST", "url.full": self._url})
        if resends := self._count_request():
            attributes["http.request.resend_count"] = resends
        span = self._instruments.tracer.start_span(
            "POST", kind=trace.SpanKind.CLIENT, attributes=attributes, start_time=_start_time(event.took)
        )
        _end_span(span, event.outcome, attributes.get("error.type"), event.tracking_id)

    def _count_request(self) -> int:
        """Return the number of earlier requests of the refresh that is current here."""
        current = trace.get_current_span()
        with self._lock:
            for refresh in self._refreshes.values():
                if refresh.span is current:
                    refresh.requests += 1
                    return refresh.requests - 1
        return 0

    def _remove_if_over(self, refresh_id: int, refresh: _RefreshState) -> None:
        if refresh.waiting == 0 and not refresh.running:
            self._refreshes.pop(refresh_id, None)

    def _attributes(self, host: str) -> Attributes:
        return {**self._common, **server_attributes(httpx.URL(f"{self._scheme}://{host}"))}


def _start_time(seconds: float) -> int:
    """Return the start of an operation that has just ended, in nanoseconds since the epoch."""
    return time.time_ns() - int(seconds * 1e9)


def _end_span(span: trace.Span, outcome: str, error: object, tracking_id: str | None) -> None:
    span.set_attribute("seic.token.outcome", outcome)
    if tracking_id is not None:
        span.set_attribute("seic.tracking_id", tracking_id)
    if error is not None:
        span.set_attribute("error.type", str(error))
        span.set_status(trace.StatusCode.ERROR)
    span.end()
