"""Turns errors of seic into answers: problem details (RFC 9457) with the right status, and nothing of the inside."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

import attrs
import httpx
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from seic._errors import (
    ApiError,
    CertificateError,
    SeicError,
    TokenEndpointUnavailable,
    TokenError,
    TokenRequestRefused,
)
from seic._events import in_line
from seic.fastapi._clients import calls, login_again

#: Seconds for a caller to wait where the far side named none: a few times the pause between two attempts of seic's.
_RETRY_AFTER = 5
#: The longest that a caller is told to wait. What a provider asks of us, an hour say, would reach callers as an hour
#: away from this service; they come back sooner, and cost the provider nothing, for our own pauses hold.
_LONGEST_RETRY_AFTER = 300

_logger = logging.getLogger("seic.fastapi")


@attrs.frozen(kw_only=True)
class Problem:
    """What a caller is told: a status, a stable word for programs, a sentence for people, and an id for support."""

    status: HTTPStatus
    code: str
    detail: str
    tracking_id: str | None = None
    retry_after: float | None = None

    def response(self) -> Response:
        """Return it as an answer."""
        document: dict[str, Any] = {
            # "about:blank" says that the status tells the kind of problem (RFC 9457 §4.2.1).
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
    """Return what a caller is told of an error that keeps this service from answering.

    Nothing here is the caller's fault, so no status is a 4xx: 503 with `Retry-After`, of five minutes at most, where
    trying again may help, 504 where time ran out, else 502.
    """
    tracking_id = getattr(error, "tracking_id", None)
    if _ran_out_of_time(error):
        return Problem(
            status=HTTPStatus.GATEWAY_TIMEOUT,
            code="upstream_timeout",
            detail="An upstream service did not answer in time.",
            tracking_id=tracking_id,
        )
    if _may_pass(error):
        return Problem(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            code="upstream_unavailable",
            detail="An upstream service is unavailable; try again later.",
            tracking_id=tracking_id,
            retry_after=min(getattr(error, "retry_after", None) or _RETRY_AFTER, _LONGEST_RETRY_AFTER),
        )
    return Problem(
        status=HTTPStatus.BAD_GATEWAY,
        code="upstream_failed",
        detail="An upstream service did not do what this service asked of it; trying again is unlikely to help.",
        tracking_id=tracking_id,
    )


def _ran_out_of_time(error: Exception) -> bool:
    if isinstance(error, ApiError):
        return error.status == HTTPStatus.GATEWAY_TIMEOUT
    cause = error.__cause__ if isinstance(error, TokenEndpointUnavailable) else error
    return isinstance(cause, httpx.TimeoutException | TimeoutError)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, ApiError):
        temporary = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        return error.status in temporary if error.transient is None else error.transient
    if isinstance(error, TokenRequestRefused):
        return error.transient
    return isinstance(error, TokenEndpointUnavailable | httpx.TransportError)


def add_exception_handlers(app: Starlette) -> None:
    """Have errors of seic answered with problem details, and logged under `seic.fastapi` as they are.

    Answered are `TokenError`, `ApiError`, `CertificateError`, and a connection to a host of this application's clients
    or of its logins that failed. A `ConfigurationError` or `HostNotAllowed` is a mistake in this application and stays
    a 500, and so does what other clients raise. Whose login turns out to be over in the middle of a handler is sent to
    log in, as by `Logins.client`.
    """
    for kind in (TokenError, ApiError, CertificateError):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(httpx.TransportError, _answer_if_ours)


async def _answer(request: Request, error: Exception) -> Response:
    # A web socket is no place for an HTTP answer; its server closes it.
    if request.scope["type"] != "http" or not isinstance(error, SeicError | httpx.TransportError):
        raise error
    if isinstance(error, TokenRequestRefused) and (over := login_again(request)) is not None:
        return JSONResponse({"detail": over.detail}, over.status_code, over.headers)
    problem = problem_of(error)
    # The path only: what stands in a query is the caller's.
    path, kind = in_line(request.url.path), type(error).__name__
    _logger.error(
        "%s %s %d: %s: %s tracking_id=%s", request.method, path, problem.status, kind, error, problem.tracking_id
    )
    return problem.response()


async def _answer_if_ours(request: Request, error: Exception) -> Response:
    if not isinstance(error, httpx.TransportError) or not _went_to_ours(request, error):
        raise error
    return await _answer(request, error)


def _went_to_ours(connection: HTTPConnection, error: httpx.TransportError) -> bool:
    try:
        url = error.request.url
    except RuntimeError:  # it never had a request
        return False
    return calls(connection, url.host)
