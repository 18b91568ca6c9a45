"""One request from arrival to reply: who calls, what it counts as, who answers, and a tracking id on every reply."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import attrs
from aiohttp import hdrs, web

from seic.sandbox._error_responses import (
    AUTHENTICATION_FAILURE,
    INTERNAL_ERROR,
    REQUEST_INVALID,
    ErrorFormat,
    ErrorResponse,
    gateway_error_body,
    internal_error,
    invalid_request,
    oauth2_error_body,
    platform_error_body,
)
from seic.sandbox._peer import FORWARDED_CERTIFICATE, Peer, peer_of_header
from seic.sandbox._resource_server import ResourceServer
from seic.sandbox._server.counts import Counted, HostName, RequestCounter
from seic.sandbox._server.faults import FaultInjector, PlannedFailure
from seic.sandbox._token_registry import Dialect

TRACKING_HEADER = "requesttrackingid"

_LOGGER = logging.getLogger("seic.sandbox")
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 401, 403, 429, 500
_API_FORMS: Mapping[Dialect, ErrorFormat] = {
    "gateway": gateway_error_body,
    "platform": platform_error_body,
    "plain": oauth2_error_body,
}

Answer: TypeAlias = "Mapping[str, Any] | web.Response"


@attrs.frozen(kw_only=True)
class Route:
    """What stands at one path.

    Args:
        answer: Returns the body of a 200, or a whole response; raises ErrorResponse.
        form: How its refusals are written.
        counted: What a call of it counts as.
        kills: Whether a success means that a token is dead.
    """

    answer: Callable[[web.BaseRequest, Peer | None], Awaitable[Answer]]
    form: ErrorFormat
    counted: Counted
    kills: bool = False


class Dispatcher:
    """Answers every request of both hosts.

    Args:
        routes: Who answers, by path.
        api: Answers all else.
        counter: Counts both.
        faults: What goes wrong on purpose at the token endpoints.
        challenge: Send `WWW-Authenticate` with a 401 of an API call; SEI's documents do not say whether SEI does.
        behind_proxy: Take the client certificate from the proxy's header, not from the connection.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        api: ResourceServer,
        counter: RequestCounter,
        faults: FaultInjector,
        challenge: bool,
        behind_proxy: bool,
    ) -> None:
        self._routes = routes
        self._api = api
        self._counter = counter
        self._faults = faults
        self._challenge = challenge
        self._behind_proxy = behind_proxy

    async def reply(self, request: web.BaseRequest, host: HostName, peer: Peer | None) -> web.Response:
        """Return the reply, whatever happens.

        Args:
            request: The request.
            host: The listener that it came in by.
            peer: Who finished the TLS handshake with a certificate.
        """
        tracking_id = str(uuid.uuid4())
        route = self._routes.get(request.path)
        form = _API_FORMS[self._api.dialect_of(request)] if route is None else route.form
        try:
            if self._behind_proxy:
                peer = _forwarded_peer(request)
                host = "api" if peer is None else "mtls"
            if route is None:
                response = await self._answer_api_call(request, host, peer)
            else:
                response = await self._answer_route(route, request, host, peer, tracking_id)
        except ErrorResponse as refusal:
            response = self._refuse(refusal, form, tracking_id)
        except web.RequestPayloadError:
            response = self._refuse(invalid_request("The body cannot be read."), form, tracking_id)
        except Exception as error:  # noqa: BLE001 - a server answers whatever happens
            # No traceback: the error's own words could repeat what was sent.
            _LOGGER.error("the sandbox failed: %s (tracking id %s)", type(error).__qualname__, tracking_id)  # noqa: TRY400
            response = self._refuse(internal_error(), form, tracking_id)
        response.headers.setdefault(TRACKING_HEADER, tracking_id)
        _LOGGER.debug(
            "%s: %s call answered %d (tracking id %s)",
            host,
            "api" if route is None else route.counted.partition("_")[0],
            response.status,
            tracking_id,
        )
        return response

    def reject(self) -> web.Response:
        """Return the reply to what is no HTTP request."""
        tracking_id = str(uuid.uuid4())
        response = self._refuse(invalid_request("This is no HTTP request."), gateway_error_body, tracking_id)
        response.headers[TRACKING_HEADER] = tracking_id
        return response

    async def _answer_route(
        self, route: Route, request: web.BaseRequest, host: HostName, peer: Peer | None, tracking_id: str
    ) -> web.Response:
        self._counter.add(host, route.counted)
        is_token_call = route.counted == "token_requests"
        if is_token_call and (failure := await self._faults.next_failure()) is not None:
            self._counter.add(host, "token_faults")
            return _fail(failure, route.form, tracking_id)
        try:
            answer = await route.answer(request, peer)
        except ErrorResponse:
            if is_token_call:
                self._counter.add(host, "token_refusals")
            raise
        if is_token_call and isinstance(answer, Mapping) and "access_token" in answer:
            self._counter.add(host, "tokens_issued")
        elif is_token_call or route.kills:
            self._counter.add(host, "tokens_invalidated")
        return answer if isinstance(answer, web.Response) else _json(200, answer)

    async def _answer_api_call(self, request: web.BaseRequest, host: HostName, peer: Peer | None) -> web.Response:
        self._counter.add(host, "api_calls")
        try:
            return _json(200, await self._api.answer(request, peer))
        except ErrorResponse as refusal:
            if refusal.status in (_UNAUTHORIZED, _FORBIDDEN):
                self._counter.add(host, "api_refusals")
            raise

    def _refuse(self, refusal: ErrorResponse, form: ErrorFormat, tracking_id: str) -> web.Response:
        response = _json(refusal.status, form(refusal, tracking_id))
        # The standard demands it (RFC 6750 §3, RFC 6749 §5.2); of SEI nobody knows.
        if refusal.challenge is not None and (self._challenge or form is oauth2_error_body):
            response.headers[hdrs.WWW_AUTHENTICATE] = refusal.challenge
        return response


def _forwarded_peer(request: web.BaseRequest) -> Peer | None:
    values = request.headers.getall(FORWARDED_CERTIFICATE, [])
    if not values:
        return None
    if len(values) > 1:
        # A proxy that adds its header where it should replace it would let a caller name anybody.
        raise invalid_request(f"There is more than one {FORWARDED_CERTIFICATE} header; the proxy must replace it.")
    try:
        return peer_of_header(values[0])
    except ValueError:
        raise invalid_request(f"The {FORWARDED_CERTIFICATE} header is no percent-encoded PEM.") from None


def _fail(failure: PlannedFailure, form: ErrorFormat, tracking_id: str) -> web.Response:
    if failure.body is not None:
        headers = {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8", **failure.headers}
        return web.Response(status=failure.status, body=failure.body.encode(), headers=headers)
    if failure.status == _UNAUTHORIZED:
        code = AUTHENTICATION_FAILURE
    elif failure.status >= _SERVER_ERROR:
        code = INTERNAL_ERROR
    else:
        code = REQUEST_INVALID
    transient = failure.status >= _SERVER_ERROR or failure.status == _TOO_MANY
    refusal = ErrorResponse(failure.status, code, "This failure was planned.", transient=transient)
    response = _json(failure.status, form(refusal, tracking_id))
    response.headers.update(failure.headers)
    return response


def _json(status: int, body: Mapping[str, Any]) -> web.Response:
    # RFC 6749 §5.1: what may hold a token is kept by nobody on its way.
    return web.json_response(body, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})
