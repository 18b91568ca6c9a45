"""Attributes of HTTP requests by the semantic conventions for HTTP clients, and the duration of each request."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import metrics

from seic._api.retry import RetryTransport
from seic._errors import HostNotAllowed
from seic._tokens.backoff import error_class_name
from seic._tokens.exchange import http_version
from seic.otel._instruments import Attributes

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FIRST_ERROR = 400
#: RFC 9110 §9, RFC 5789, and QUERY of the HTTP working group.
_KNOWN_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)  # fmt: skip


def server_attributes(url: Any) -> Attributes:
    """Return host and port of a URL of httpx or httpx2."""
    return {"server.address": url.host, "server.port": url.port or _DEFAULT_PORTS[url.scheme]}


def response_attributes(*, status: int | None, version: str | None, error: str | None) -> Attributes:
    """Return the outcome of a request.

    Args:
        status: The status of the response; None without one.
        version: The HTTP version of the response, if known.
        error: The class of the exception; None without one.
    """
    attributes: Attributes = {}
    if status is not None:
        attributes["http.response.status_code"] = status
        if status >= _FIRST_ERROR:
            error = str(status)
    if version is not None:
        attributes["network.protocol.version"] = version
    if error is not None:
        attributes["error.type"] = error
    return attributes


def measure(transport: Any, duration: metrics.Histogram, common: Attributes) -> Callable[[], None]:
    """Record the time from each request of a transport to the start of its response; the returned function ends that.

    Args:
        transport: A transport of httpx or httpx2.
        duration: Receives the durations, in seconds.
        common: Attributes of each duration.
    """
    if isinstance(transport, RetryTransport):
        # Each retry is a request of its own.
        return measure(transport.inner, duration, common)
    recorder = _Recorder(duration, common)
    wrappers: dict[str, Any] = {}
    if hasattr(transport, "handle_async_request"):
        wrappers["handle_async_request"] = recorder.wrap(transport.handle_async_request)
    if hasattr(transport, "handle_request"):
        wrappers["handle_request"] = recorder.wrap_sync(transport.handle_request)
    vars(transport).update(wrappers)

    def end() -> None:
        for name in wrappers:
            vars(transport).pop(name, None)

    return end


class _Recorder:
    """Records the duration of requests."""

    def __init__(self, duration: metrics.Histogram, common: Attributes) -> None:
        self._duration = duration
        self._common = common
        methods = os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
        self._methods = _KNOWN_METHODS if methods is None else {method.strip() for method in methods.split(",")}

    def wrap(self, handle: Any) -> Any:
        async def timed(request: Any) -> Any:
            started = time.perf_counter()
            try:
                response = await handle(request)
            except BaseException as error:
                self._record(request, started, error=error)
                raise
            self._record(request, started, response)
            return response

        return timed

    def wrap_sync(self, handle: Any) -> Any:
        def timed(request: Any) -> Any:
            started = time.perf_counter()
            try:
                response = handle(request)
            except BaseException as error:
                self._record(request, started, error=error)
                raise
            self._record(request, started, response)
            return response

        return timed

    def _record(self, request: Any, started: float, response: Any = None, error: BaseException | None = None) -> None:
        if isinstance(error, HostNotAllowed):  # not sent
            return
        attributes = {
            **self._common,
            **server_attributes(request.url),
            "http.request.method": request.method if request.method in self._methods else "_OTHER",
            **response_attributes(
                status=None if response is None else response.status_code,
                version=None if response is None else http_version(response.extensions),
                error=None if error is None else error_class_name(error),
            ),
        }
        self._duration.record(time.perf_counter() - started, attributes)
