"""One request from arrival to reply: who calls, what it counts as, who answers, and a tracking id on every reply."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from seic.sandbox.api import Api
from seic.sandbox.counts import Counter, HostName
from seic.sandbox.faults import Faults, PlannedFailure
from seic.sandbox.gateway import TOKEN_PATH, TokenEndpoint
from seic.sandbox.peer import FORWARDED_CERTIFICATE, Peer, peer_of_header
from seic.sandbox.refusals import (
    AUTHENTICATION_FAILURE,
    INTERNAL_ERROR,
    REQUEST_INVALID,
    Refusal,
    internal_error,
    invalid_request,
)

TRACKING_HEADER = "requesttrackingid"

_LOGGER = logging.getLogger("seic.sandbox")
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 401, 403, 429, 500


class Dispatcher:
    """Answers every request of both hosts.

    Args:
        token_endpoint: Answers the token calls.
        api: Answers all others.
        counter: Counts both.
        faults: What goes wrong on purpose.
        challenge: Send `WWW-Authenticate` with a 401 of an API call; the documents do not say whether the gateway does.
        behind_proxy: Take the client certificate from the proxy's header, not from the connection.
    """

    def __init__(
        self,
        *,
        token_endpoint: TokenEndpoint,
        api: Api,
        counter: Counter,
        faults: Faults,
        challenge: bool,
        behind_proxy: bool,
    ) -> None:
        self._token_endpoint = token_endpoint
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
        is_token_call = request.path == TOKEN_PATH
        try:
            if self._behind_proxy:
                peer = _forwarded_peer(request)
                host = "api" if peer is None else "mtls"
            answer = self._answer_token_call if is_token_call else self._answer_api_call
            response = await answer(request, host, peer, tracking_id)
        except Refusal as refusal:
            response = self._refuse(refusal, tracking_id)
        except web.RequestPayloadError:
            response = self._refuse(invalid_request("The body cannot be read."), tracking_id)
        except Exception as error:  # noqa: BLE001 - a gateway answers whatever happens
            # No traceback: the error's own words could repeat what was sent.
            _LOGGER.error("the sandbox failed: %s (tracking id %s)", type(error).__qualname__, tracking_id)  # noqa: TRY400
            response = self._refuse(internal_error(), tracking_id)
        _LOGGER.debug(
            "%s: %s call answered %d (tracking id %s)",
            host,
            "token" if is_token_call else "api",
            response.status,
            tracking_id,
        )
        return response

    def reject(self) -> web.Response:
        """Return the reply to what is no HTTP request."""
        return self._refuse(invalid_request("This is no HTTP request."), str(uuid.uuid4()))

    async def _answer_token_call(
        self, request: web.BaseRequest, host: HostName, peer: Peer | None, tracking_id: str
    ) -> web.Response:
        self._counter.add(host, "token_requests")
        failure = await self._faults.next_failure()
        if failure is not None:
            self._counter.add(host, "token_faults")
            return _fail(failure, tracking_id)
        try:
            body = await self._token_endpoint.answer(request, peer)
        except Refusal:
            self._counter.add(host, "token_refusals")
            raise
        self._counter.add(host, "tokens_issued" if "access_token" in body else "tokens_invalidated")
        return _json(200, body, tracking_id)

    async def _answer_api_call(
        self, request: web.BaseRequest, host: HostName, peer: Peer | None, tracking_id: str
    ) -> web.Response:
        self._counter.add(host, "api_calls")
        try:
            body = await self._api.answer(request, peer)
        except Refusal as refusal:
            if refusal.status in (_UNAUTHORIZED, _FORBIDDEN):
                self._counter.add(host, "api_refusals")
            raise
        return _json(200, body, tracking_id)

    def _refuse(self, refusal: Refusal, tracking_id: str) -> web.Response:
        response = _json(refusal.status, refusal.form(tracking_id), tracking_id)
        if self._challenge and refusal.challenge is not None:
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


def _fail(failure: PlannedFailure, tracking_id: str) -> web.Response:
    if failure.body is not None:
        headers = {TRACKING_HEADER: tracking_id, hdrs.CONTENT_TYPE: "text/plain; charset=utf-8", **failure.headers}
        return web.Response(status=failure.status, body=failure.body.encode(), headers=headers)
    if failure.status == _UNAUTHORIZED:
        code = AUTHENTICATION_FAILURE
    elif failure.status >= _SERVER_ERROR:
        code = INTERNAL_ERROR
    else:
        code = REQUEST_INVALID
    transient = failure.status >= _SERVER_ERROR or failure.status == _TOO_MANY
    refusal = Refusal(failure.status, code, "This failure was planned.", transient=transient)
    response = _json(failure.status, refusal.form(tracking_id), tracking_id)
    response.headers.update(failure.headers)
    return response


def _json(status: int, body: Mapping[str, Any], tracking_id: str) -> web.Response:
    return web.json_response(body, status=status, headers={TRACKING_HEADER: tracking_id})
