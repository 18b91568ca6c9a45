"""HTTP requests in the words of the semantic conventions for HTTP clients, and the time that each one takes."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from opentelemetry import metrics

from seic._api.retry import RetryTransport
from seic._errors import HostNotAllowed
from seic._tokens.outcomes import name_class
from seic._tokens.sending import http_version
from seic.otel.instruments import Attributes

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FIRST_ERROR = 400
#: RFC 9110 §9, RFC 5789, and the QUERY of the HTTP working group.
_KNOWN_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)  # fmt: skip

_Record: TypeAlias = Callable[..., None]


def server_of(url: Any) -> Attributes:
    """Return where a request goes; `url` is one of httpx's."""
    return {"server.address": url.host, "server.port": url.port or _DEFAULT_PORTS[url.scheme]}


def answer_of(*, status: int | None, version: str | None, error: str | None) -> Attributes:
    """Return how a request ended.

    Args:
        status: The status of the answer; None where there was none.
        version: The version of HTTP that it came in, where it is known.
        error: The class of what went wrong; None where nothing did.
    """
    told: Attributes = {}
    if status is not None:
        told["http.response.status_code"] = status
        if status >= _FIRST_ERROR:
            error = str(status)
    if version is not None:
        told["network.protocol.version"] = version
    if error is not None:
        told["error.type"] = error
    return told


def measure(transport: Any, duration: metrics.Histogram, common: Attributes) -> Callable[[], None]:
    """Time each request that a transport of httpx or httpx2 carries, until its answer begins; the result ends that."""
    if isinstance(transport, RetryTransport):
        # Each repetition is a request of its own.
        return measure(transport.inner, duration, common)
    record = _recorder(duration, common)
    stand_ins = {
        name: timed(getattr(transport, name), record)
        for name, timed in (("handle_async_request", _timed), ("handle_request", _timed_blocking))
        if hasattr(transport, name)
    }
    vars(transport).update(stand_ins)

    def end() -> None:
        for name in stand_ins:
            vars(transport).pop(name, None)

    return end


def _recorder(duration: metrics.Histogram, common: Attributes) -> _Record:
    stated = os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
    known = _KNOWN_METHODS if stated is None else frozenset(method.strip() for method in stated.split(","))

    def record(request: Any, began: float, response: Any = None, error: BaseException | None = None) -> None:
        attributes = {
            **common,
            **server_of(request.url),
            "http.request.method": request.method if request.method in known else "_OTHER",
            **answer_of(
                status=None if response is None else response.status_code,
                version=None if response is None else http_version(response.extensions),
                error=None if error is None else name_class(error),
            ),
        }
        duration.record(time.perf_counter() - began, attributes)

    return record


def _timed(handle: Callable[[Any], Awaitable[Any]], record: _Record) -> Callable[[Any], Awaitable[Any]]:
    async def timed(request: Any) -> Any:
        began = time.perf_counter()
        try:
            response = await handle(request)
        except HostNotAllowed:  # it was not sent
            raise
        except BaseException as error:
            record(request, began, error=error)
            raise
        record(request, began, response)
        return response

    return timed


def _timed_blocking(handle: Callable[[Any], Any], record: _Record) -> Callable[[Any], Any]:
    def timed(request: Any) -> Any:
        began = time.perf_counter()
        try:
            response = handle(request)
        except HostNotAllowed:  # it was not sent
            raise
        except BaseException as error:
            record(request, began, error=error)
            raise
        record(request, began, response)
        return response

    return timed
