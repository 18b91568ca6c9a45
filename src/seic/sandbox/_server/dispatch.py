"""The path of a request through the sandbox: client certificate, route, counts, faults, response, tracking id."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import attrs
from aiohttp import hdrs, web

from seic.sandbox._error_responses import (
    ErrorFormat,
    ErrorResponse,
    JsonBody,
    gateway_error_body,
    internal_error,
    invalid_request,
    oauth2_error_body,
    platform_error_body,
)
from seic.sandbox._peer import FORWARDED_CERTIFICATE, Peer, peer_of_header
from seic.sandbox._resource_server import ResourceServer
from seic.sandbox._server.counts import CountName, HostName, RequestCounter
from seic.sandbox._server.fault import FaultTarget
from seic.sandbox._server.fault_injection import FaultInjector, InjectedFailure
from seic.sandbox._server.fault_responses import error_code_of, respond_with_fault
from seic.sandbox._server.received import RequestKind, RequestRecord, RequestRecorder
from seic.sandbox._token_registry import Dialect

_TRACKING_HEADER = "requesttrackingid"

_LOGGER = logging.getLogger("seic.sandbox")
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_API_ERROR_FORMATS: Mapping[Dialect, ErrorFormat] = {
    "gateway": gateway_error_body,
    "platform": platform_error_body,
    "oauth2": oauth2_error_body,
}


@attrs.frozen
class Route:
    """The endpoint of a path.

    Args:
        respond: Returns the body of a response with status 200, or a response; raises ErrorResponse.
        error_format: The error body of its dialect.
        count: The count of its requests.
    """

    respond: Callable[[web.BaseRequest, Peer | None], Awaitable[JsonBody | web.Response]]
    error_format: ErrorFormat
    count: CountName


@attrs.frozen
class _TrackedErrors:
    """The form of an error response: the dialect's, and the tracking id."""

    format: ErrorFormat
    tracking_id: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dispatcher:
    """Answers every request of both hosts.

    Args:
        find_route: Returns the endpoint of a path.
        resource_server: Answers the paths without one.
        counter: Counts the requests of both.
        recorder: Keeps the requests.
        faults: The planned faults.
        date: Returns the `Date` of a response; None for the true one.
        challenge: Send `WWW-Authenticate` with a 401 of the API; SEI's documents do not say whether SEI does.
        behind_proxy: Read the client certificate from the proxy's header and not from the connection.
    """

    find_route: Callable[[str], Route | None]
    resource_server: ResourceServer
    counter: RequestCounter
    recorder: RequestRecorder
    faults: FaultInjector
    date: Callable[[], str | None]
    challenge: bool
    behind_proxy: bool

    async def respond(self, request: web.BaseRequest, host: HostName, peer: Peer | None) -> web.StreamResponse:
        """Return the response to a request; never raises.

        Args:
            request: The request.
            host: The host that received it.
            peer: The client certificate of the connection.
        """
        tracking_id = str(uuid.uuid4())
        route = self.find_route(request.path)
        if route is None:
            error_format = _API_ERROR_FORMATS[self.resource_server.dialect_of(request)]
        else:
            error_format = route.error_format
        record: RequestRecord | None = None
        response: web.StreamResponse
        try:
            if self.behind_proxy:
                peer = _forwarded_peer(request)
                host = "api" if peer is None else "mtls"
            count: CountName = "api_calls" if route is None else route.count
            self.counter.add(host, count)
            record = self.recorder.add(request, kind=cast("RequestKind", count.partition("_")[0]), host=host, peer=peer)
            response = await self._respond_to(request, route, record, _TrackedErrors(error_format, tracking_id))
        except ErrorResponse as error:
            response = self._error_response(error, error_format, tracking_id)
        except web.RequestPayloadError:
            response = self._error_response(invalid_request("The body cannot be read."), error_format, tracking_id)
        except Exception as error:  # noqa: BLE001 - every request gets a response
            # Without traceback and message: they could repeat a secret of the request.
            _LOGGER.error("the sandbox failed: %s (tracking id %s)", type(error).__qualname__, tracking_id)  # noqa: TRY400
            response = self._error_response(internal_error(), error_format, tracking_id)
        response.headers.setdefault(_TRACKING_HEADER, tracking_id)
        if (date := self.date()) is not None:
            response.headers[hdrs.DATE] = date
        if record is not None:
            # Before it is sent, so that a client that has it finds it here.
            self.recorder.finish(record, response.status)
        _LOGGER.debug(
            "%s: %s request answered with %d (tracking id %s)",
            host,
            "api" if route is None else route.count.partition("_")[0],
            response.status,
            tracking_id,
        )
        return response

    def reject(self) -> web.Response:
        """Return the response to input that is not an HTTP request."""
        tracking_id = str(uuid.uuid4())
        response = self._error_response(invalid_request("This is not HTTP."), gateway_error_body, tracking_id)
        response.headers[_TRACKING_HEADER] = tracking_id
        return response

    async def _respond_to(
        self,
        request: web.BaseRequest,
        route: Route | None,
        record: RequestRecord,
        body: _TrackedErrors,
    ) -> web.StreamResponse:
        host, peer = record.arrived.host, record.peer

        async def respond() -> web.Response:
            try:
                if route is None:
                    return await self._respond_to_api_request(request, host, peer)
                return await self._respond_at_route(route, request, host, peer)
            except ErrorResponse as error:
                # Here and not by the caller, so that a fault can change the response.
                return self._error_response(error, body.format, body.tracking_id)

        if route is not None and route.count != "token_requests":
            return await respond()
        target: FaultTarget = "api" if route is None else "token"
        if target == "token":
            await self.faults.wait()
        fault = self.faults.take(target)
        if fault is None:
            return await respond()
        self.counter.add(host, "api_faults" if target == "api" else "token_faults")
        if isinstance(fault, InjectedFailure):
            return _planned_response(fault, body)
        record.fault = fault.name
        return await respond_with_fault(
            fault,
            request,
            respond=respond,
            fail=lambda status: _planned_response(InjectedFailure(status=status, headers={}, body=None), body),
        )

    async def _respond_at_route(
        self, route: Route, request: web.BaseRequest, host: HostName, peer: Peer | None
    ) -> web.Response:
        is_token_request = route.count == "token_requests"
        try:
            body = await route.respond(request, peer)
        except ErrorResponse:
            if is_token_request:
                self.counter.add(host, "token_refusals")
            raise
        if is_token_request and isinstance(body, Mapping) and "access_token" in body:
            self.counter.add(host, "tokens_issued")
        elif is_token_request or route.count == "revocation_requests":
            self.counter.add(host, "tokens_invalidated")
        return body if isinstance(body, web.Response) else _json(200, body)

    async def _respond_to_api_request(
        self, request: web.BaseRequest, host: HostName, peer: Peer | None
    ) -> web.Response:
        try:
            body = await self.resource_server.respond(request, peer)
        except ErrorResponse as error:
            if error.status in (_UNAUTHORIZED, _FORBIDDEN):
                self.counter.add(host, "api_refusals")
            raise
        return body if isinstance(body, web.Response) else _json(200, body)

    def _error_response(self, error: ErrorResponse, error_format: ErrorFormat, tracking_id: str) -> web.Response:
        response = _json(error.status, error_format(error, tracking_id))
        # The RFCs require it (RFC 6750 §3, RFC 6749 §5.2); SEI's documents do not mention it.
        if error.challenge is not None and (self.challenge or error_format is oauth2_error_body):
            response.headers[hdrs.WWW_AUTHENTICATE] = error.challenge
        return response


def _forwarded_peer(request: web.BaseRequest) -> Peer | None:
    values = request.headers.getall(FORWARDED_CERTIFICATE, [])
    if not values:
        return None
    if len(values) > 1:
        # A proxy that adds its header and keeps the client's would let a client impersonate anybody.
        raise invalid_request(f"There is more than one {FORWARDED_CERTIFICATE} header; the proxy must replace it.")
    try:
        return peer_of_header(values[0])
    except ValueError:
        raise invalid_request(f"The {FORWARDED_CERTIFICATE} header is not percent-encoded PEM.") from None


def _planned_response(failure: InjectedFailure, body: _TrackedErrors) -> web.Response:
    if failure.body is not None:
        headers = {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8", **failure.headers}
        return web.Response(status=failure.status, body=failure.body.encode(), headers=headers)
    code, transient = error_code_of(failure.status)
    error = ErrorResponse(failure.status, code, "This failure was planned.", transient=transient)
    response = _json(failure.status, body.format(error, body.tracking_id))
    response.headers.update(failure.headers)
    return response


def _json(status: int, body: JsonBody) -> web.Response:
    # RFC 6749 §5.1: a response that may have a token must not be cached.
    return web.json_response(body, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})
