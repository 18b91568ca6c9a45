"""Responses of the proxy itself: a problem document (RFC 9457) of one sentence, without a secret."""

from __future__ import annotations

import http
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx
from aiohttp import hdrs, web

from seic._errors import SeicError, TokenEndpointUnavailable

if TYPE_CHECKING:
    from seic._model.hosts import Origin

#: Names the proxy as the sender, since the API may send the same status (RFC 9209).
_PROXY_STATUS = "Proxy-Status"


def problem(status: int, detail: str, headers: Sequence[tuple[str, str]] = (), *, error: str) -> web.Response:
    """Return a response with a problem document.

    Args:
        status: The status.
        detail: The sentence.
        headers: Further headers.
        error: The type of the error, as RFC 9209 §2.3 names it.
    """
    document = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail}
    response = web.Response(
        status=status,
        body=json.dumps(document, ensure_ascii=False).encode(),
        headers={hdrs.CACHE_CONTROL: "no-store", _PROXY_STATUS: f"seic; error={error}"},
        content_type="application/problem+json",
    )
    for name, value in headers:
        response.headers.add(name, value)
    return response


def _title(status: int) -> str:
    return http.HTTPStatus(status).phrase


def describe_failure(error: Exception, *, origin: Origin, timeout: float, connections: int) -> tuple[int, str, str]:
    """Return the status, the sentence and the type of the error for a request that the API did not answer.

    Args:
        error: The failure.
        origin: The origin of the API.
        timeout: The limit without data, in seconds.
        connections: The limit of connections.
    """
    if isinstance(error, SeicError):
        is_late = isinstance(error, TokenEndpointUnavailable) and isinstance(error.__cause__, httpx.TimeoutException)
        return (504 if is_late else 502), sentence(error), "connection_timeout" if is_late else "proxy_internal_error"
    if isinstance(error, httpx.TimeoutException):
        return 504, *_describe_timeout(error, str(origin), timeout, connections)
    if isinstance(error, httpx.LocalProtocolError):
        # h11 quotes the header, which may be a secret.
        return 400, "the request has a header that HTTP does not allow", "http_request_error"
    if isinstance(error, httpx.HTTPError):
        return 502, sentence(error) or f"{origin} did not answer ({type(error).__name__})", "destination_unavailable"
    # Its message may quote a secret, unlike those of seic and httpx.
    name = type(error).__name__
    return 502, f"an unexpected error ({name}); run seic proxy with --debug, and report it", "proxy_internal_error"


def _describe_timeout(error: httpx.TimeoutException, host: str, timeout: float, connections: int) -> tuple[str, str]:
    if isinstance(error, httpx.PoolTimeout):
        detail = f"all {connections} connections to {host} were in use for {timeout:g} s; raise --connections"
        return detail, "connection_limit_reached"
    if isinstance(error, httpx.ConnectTimeout):
        return f"{host} accepted no connection within {timeout:g} s", "connection_timeout"
    what = "took no more of the request" if isinstance(error, httpx.WriteTimeout) else "sent no data"
    return f"{host} {what} for {timeout:g} s; raise --timeout if it may take longer", "http_response_timeout"


def sentence(error: Exception) -> str:
    """Return the message of an error, without a line of the API that h11 quotes: it may have the token."""
    message = str(error).partition(": bytearray(")[0]
    return " ".join([message, *getattr(error, "__notes__", [])])
