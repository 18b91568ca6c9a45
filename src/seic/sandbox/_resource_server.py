"""The API that access tokens give access to: a list with cursor pagination, an echo, and the routes of other modules.

The gateway's documents describe its lists only in part: at most 50 records, and a cursor that is Base64 of sequential
properties. The names `accounts`, `cursor` and `nextCursor` are the sandbox's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import attrs
from aiohttp import hdrs, web

from seic.sandbox._api_routes import find_api_route, read_digest
from seic.sandbox._dialects.sei_gateway import APP_KEY, check_app_key
from seic.sandbox._error_responses import (
    InvalidField,
    JsonBody,
    insufficient_scope,
    invalid_request,
    invalid_token,
    logged_in_elsewhere,
    unknown_resource,
)
from seic.sandbox._openapi_routes import OpenApiRoute
from seic.sandbox._peer import FORWARDED_CERTIFICATE, Peer, binding_problem, check_certificate
from seic.sandbox._request_reader import find_bearer_token, read_bearer_token
from seic.sandbox._token_registry import Dialect, InactiveToken, TokenFamily, TokenRegistry

_ACCOUNTS_PATH = "/v1/investments/accounts"
_ECHO_PATH = "/v1/echo"
_MAX_LIMIT = 50
_LIMIT_DIGITS = len(str(_MAX_LIMIT))
#: Headers that an echo leaves out, in lower case.
_SECRET_HEADERS = {
    name.lower() for name in (hdrs.AUTHORIZATION, hdrs.PROXY_AUTHORIZATION, hdrs.COOKIE, APP_KEY, FORWARDED_CERTIFICATE)
}
# Two full pages and a part of a third.
_ACCOUNTS = [
    {"externalId": f"ACC-{number:04}", "name": f"Sample account {number}", "currency": "USD", "status": "open"}
    for number in range(1, 121)
]


@attrs.frozen(eq=False, repr=False)
class ResourceServer:
    """Checks the access token of a request by the rules of its dialect, and answers the request."""

    client_id: str
    registry: TokenRegistry
    examples: Sequence[OpenApiRoute] = ()

    async def respond(self, request: web.BaseRequest, peer: Peer | None) -> JsonBody | web.Response:
        """Return the body of a response with status 200, or a response.

        Args:
            request: The request; its body is not yet read.
            peer: The client certificate; None on the api host.

        Raises:
            ErrorResponse: There is no active token, the certificate is wrong, or the request is invalid.
        """
        self._authorize(request, peer)
        if request.path == _ECHO_PATH:
            return await _echo(request, peer)
        if request.path == _ACCOUNTS_PATH and request.method == "GET":
            return _accounts(request)
        if (respond := find_api_route(request)) is not None:
            return await respond()
        for route in self.examples:
            if request.method == route.method and route.path.fullmatch(request.path):
                return await _respond_with_example(request, route)
        raise unknown_resource()

    def dialect_of(self, request: web.BaseRequest) -> Dialect:
        """Return the dialect of the request's token, active or not.

        For a token that was never issued, it is the gateway if the request has an AppKey, else `oauth2`; without a
        token, it is the gateway.
        """
        token = find_bearer_token(request)
        family = None if token is None else self.registry.family_of(token)
        if family is not None:
            return family.dialect
        return "gateway" if token is None or APP_KEY in request.headers else "oauth2"

    def _authorize(self, request: web.BaseRequest, peer: Peer | None) -> None:
        dialect = self.dialect_of(request)
        if dialect == "gateway":
            check_app_key(request, self.client_id)
        # RFC 6750 §3.1: without a token, the challenge has the scheme and no error.
        token = read_bearer_token(request, challenge="Bearer")
        try:
            family = self.registry.find(token).family
        except InactiveToken as inactive:
            raise (logged_in_elsewhere() if inactive.superseded else invalid_token(str(inactive))) from None
        if dialect == "oauth2":
            _check_oauth2(request, family, peer)
        else:
            if (problem := binding_problem(family, peer)) is not None:
                # A new token from this host would help.
                raise invalid_token(f"The access token {problem}.")
            check_certificate(peer, owner=family.username)
        self.registry.touch(token)


def _check_oauth2(request: web.BaseRequest, family: TokenFamily, peer: Peer | None) -> None:
    if family.thumbprint is not None and (peer is None or peer.thumbprint != family.thumbprint):
        # RFC 8705 §3: the same certificate, not only the same subject.
        raise invalid_token("The access token is bound to another client certificate than the one of this request.")
    scope = "read" if request.method in (hdrs.METH_GET, hdrs.METH_HEAD) else "write"
    if scope not in family.scope.split():
        raise insufficient_scope(scope)


def _accounts(request: web.BaseRequest) -> JsonBody:
    limit = _read_limit(request.query.get("limit", str(_MAX_LIMIT)))
    start = _read_cursor(request.query["cursor"]) if "cursor" in request.query else 0
    page = _ACCOUNTS[start : start + limit]
    is_last = start + limit >= len(_ACCOUNTS)
    return {"accounts": page, "nextCursor": None if is_last else _write_cursor(page[-1]["externalId"])}


def _read_limit(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= _LIMIT_DIGITS and 1 <= int(text) <= _MAX_LIMIT:
        return int(text)
    raise invalid_request("The limit is out of range.", InvalidField("limit", "query", f"must be 1 to {_MAX_LIMIT}"))


def _write_cursor(external_id: str) -> str:
    # Standard Base64: its padding must be encoded in a query.
    return base64.b64encode(json.dumps({"externalId": external_id}).encode()).decode()


def _read_cursor(text: str) -> int:
    """Return the index of the record after the cursor."""
    for index, account in enumerate(_ACCOUNTS):
        if _write_cursor(account["externalId"]) == text:
            return index + 1
    field = InvalidField("cursor", "query", "must be the nextCursor of a page")
    raise invalid_request("The cursor is unknown.", field)


async def _respond_with_example(request: web.BaseRequest, route: OpenApiRoute) -> web.Response:
    # Read, so that the body is among the received requests.
    await read_digest(request)
    return route.respond()


async def _echo(request: web.BaseRequest, peer: Peer | None) -> JsonBody:
    length, digest = await read_digest(request)
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower not in _SECRET_HEADERS:
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return {
        "method": request.method,
        "path": request.path,
        "query": [list(pair) for pair in request.query.items()],
        "headers": headers,
        "body_length": length,
        "body_sha256": digest,
        "certificate_common_name": None if peer is None else peer.common_name,
    }
