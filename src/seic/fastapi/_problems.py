"""Errors as HTTP responses: problem details (RFC 9457) with the right status that reveal no internals."""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seic import (
    ApiError,
    CertificateError,
    SeicError,
    TokenEndpointUnavailable,
    TokenError,
    TokenRequestRefused,
)
from seic._event_types import in_line
from seic.fastapi._app_state import find_state, login_redirect

#: Seconds to wait if the provider named none: a few times the pause between two attempts of seic.
_DEFAULT_RETRY_AFTER = 5
#: The longest `Retry-After`, in seconds. A provider that asks for an hour shall not keep callers away from this service
#: for an hour; if they come back sooner the provider is not asked, because seic's own pauses hold.
_MAX_RETRY_AFTER = 300

_logger = logging.getLogger("seic.fastapi")


#: The JSON schema of a problem, for OpenAPI.
_SCHEMA: Mapping[str, Any] = {
    "title": "Problem",
    "description": "Problem details (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The phrase of the status."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A stable code for programs."},
        "tracking_id": {"type": "string", "description": "The id of the failed request, for support."},
    },
}
#: The statuses of `problem_of`, for OpenAPI.
_STATUSES = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A response for the caller: status, a stable code for programs, a sentence for people, an id for support.

    As a model in FastAPI (`responses={502: {"model": Problem}}`) it describes the body of the response.
    """

    status: HTTPStatus
    code: str
    detail: str
    tracking_id: str | None = None
    retry_after: float | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Any]:
        return dict(_SCHEMA)

    def response(self) -> Response:
        """Return it as an HTTP response."""
        document: dict[str, Any] = {
            # "about:blank": the status alone tells the kind of problem (RFC 9457 §4.2.1).
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
        }
        if self.tracking_id is not None:
            document["tracking_id"] = self.tracking_id
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}
        return JSONResponse(document, self.status, headers, media_type="application/problem+json")


def problem_of(error: SeicError | httpx.TransportError) -> Problem:
    """Return the problem that reports an error of a provider.

    None of these is the caller's fault, so no status is a 4xx: 503 with `Retry-After` (300 seconds at most) if another
    attempt may succeed, 504 after a timeout, else 502.
    """
    retry_after: float | None = None
    if _is_timeout(error):
        status, code = HTTPStatus.GATEWAY_TIMEOUT, "upstream_timeout"
        detail = "An upstream service did not answer in time."
    elif _is_temporary(error):
        status, code = HTTPStatus.SERVICE_UNAVAILABLE, "upstream_unavailable"
        detail = "An upstream service is unavailable; try again later."
        retry_after = min(getattr(error, "retry_after", None) or _DEFAULT_RETRY_AFTER, _MAX_RETRY_AFTER)
    else:
        status, code = HTTPStatus.BAD_GATEWAY, "upstream_failed"
        detail = "An upstream service rejected the request of this service; another attempt is unlikely to succeed."
    tracking_id = getattr(error, "tracking_id", None)
    return Problem(status=status, code=code, detail=detail, tracking_id=tracking_id, retry_after=retry_after)


def _is_timeout(error: Exception) -> bool:
    if isinstance(error, ApiError):
        return error.status == HTTPStatus.GATEWAY_TIMEOUT
    cause = error.__cause__ if isinstance(error, TokenEndpointUnavailable) else error
    return isinstance(cause, httpx.TimeoutException | TimeoutError)


def _is_temporary(error: Exception) -> bool:
    if isinstance(error, ApiError):
        temporary = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        return error.status in temporary if error.transient is None else error.transient
    if isinstance(error, TokenRequestRefused):
        return error.transient
    return isinstance(error, TokenEndpointUnavailable | httpx.TransportError)


def add_exception_handlers(app: Starlette) -> None:
    """Respond to errors of seic with problem details, and log the errors in full under `seic.fastapi`.

    Handled are `TokenError`, `ApiError`, `CertificateError`, and failed connections to a host of this application's
    clients or logins. `ConfigurationError` and `HostNotAllowed` are mistakes in this application and stay a 500, and so
    do errors of other clients. If the session of a user ends while a handler runs, they are sent to log in, as by
    `Logins.client`. FastAPI's OpenAPI document lists the statuses 502, 503 and 504 for each operation.
    """
    for kind in (TokenError, ApiError, CertificateError):
        app.add_exception_handler(kind, _respond)
    app.add_exception_handler(httpx.TransportError, _respond_for_known_host)
    documented: Any = app
    if hasattr(documented, "openapi"):  # FastAPI's; Starlette has none
        documented.openapi = _with_problems(documented.openapi)


def _with_problems(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return a function that adds the responses of errors to each operation of an OpenAPI document."""

    def document_with_problems() -> dict[str, Any]:
        document = openapi()
        schema = {"$ref": "#/components/schemas/Problem"}
        for path in document.get("paths", {}).values():
            for operation in path.values():
                if isinstance(operation, dict):
                    for status in _STATUSES:
                        response = {
                            "description": status.phrase,
                            "content": {"application/problem+json": {"schema": schema}},
                        }
                        operation.setdefault("responses", {}).setdefault(str(status.value), response)
        document.setdefault("components", {}).setdefault("schemas", {}).setdefault("Problem", dict(_SCHEMA))
        return document

    return document_with_problems


async def _respond(request: Request, error: Exception) -> Response:
    # A web socket takes no HTTP response; its server closes it.
    if request.scope["type"] != "http" or not isinstance(error, SeicError | httpx.TransportError):
        raise error
    if isinstance(error, TokenRequestRefused) and (login := login_redirect(request)) is not None:
        return JSONResponse({"detail": login.detail}, login.status_code, login.headers)
    problem = problem_of(error)
    # Without the query, which may hold the caller's secrets.
    path, kind = in_line(request.url.path), type(error).__name__
    facts = {"method": request.method, "path": path, "status": problem.status.value, "error": kind}
    _logger.error(
        "%s %s %d: %s: %s tracking_id=%s",
        *facts.values(),
        error,
        problem.tracking_id,
        extra={**facts, "code": problem.code, "tracking_id": problem.tracking_id},
    )
    return problem.response()


async def _respond_for_known_host(request: Request, error: Exception) -> Response:
    state = find_state(request)
    host = _host_of(error)
    if state is None or all(host != monitor.host for monitor in state.monitors):
        raise error
    return await _respond(request, error)


def _host_of(error: Exception) -> str | None:
    try:
        return error.request.url.host if isinstance(error, httpx.TransportError) else None
    except RuntimeError:  # it has no request
        return None
