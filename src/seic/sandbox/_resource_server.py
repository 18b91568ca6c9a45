"""The small API behind a live token: a list that is paged by cursor, and an echo. No socket and no counting here.

What a page of the gateway's lists looks like is documented in part only: at most 50 records, and a cursor that is
Base64 of sequential properties. The names `accounts`, `cursor` and `nextCursor` are the sandbox's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from seic.sandbox._dialects.sei_gateway import APP_KEY, binding_problem, check_app_key, check_certificate
from seic.sandbox._error_responses import (
    InvalidField,
    authentication_failure,
    insufficient_scope,
    invalid_request,
    invalid_token,
    logged_in_elsewhere,
    unknown_resource,
)
from seic.sandbox._peer import FORWARDED_CERTIFICATE, Peer
from seic.sandbox._token_registry import Dialect, InactiveToken, TokenFamily, TokenRegistry

ACCOUNTS_PATH = "/v1/investments/accounts"
ECHO_PATH = "/v1/echo"

_MAX_LIMIT = 50
_LIMIT_DIGITS = len(str(_MAX_LIMIT))
_SCHEME = "bearer"
#: Headers that an echo leaves out, in lower case.
_UNSPOKEN = {
    name.lower() for name in (hdrs.AUTHORIZATION, hdrs.PROXY_AUTHORIZATION, hdrs.COOKIE, APP_KEY, FORWARDED_CERTIFICATE)
}
# Two full pages and a rest, so that following the cursor to its end is three calls.
_ACCOUNTS = [
    {"externalId": f"ACC-{number:04}", "name": f"Sample account {number}", "currency": "USD", "status": "open"}
    for number in range(1, 121)
]


class ResourceServer:
    """Answers API calls."""

    def __init__(self, client_id: str, registry: TokenRegistry) -> None:
        self._client_id = client_id
        self._registry = registry

    async def answer(self, request: web.BaseRequest, peer: Peer | None) -> Mapping[str, Any]:
        """Return the body of a 200.

        Args:
            request: The request, its body unread.
            peer: Who proved a client certificate; None on the host that asks for none.

        Raises:
            ErrorResponse: There is no live token, the certificate is another's, or the request itself is wrong.
        """
        self._authorize(request, peer)
        if request.path == ECHO_PATH:
            return await _echo(request, peer)
        if request.path == ACCOUNTS_PATH and request.method == "GET":
            return _accounts(request)
        raise unknown_resource()

    def dialect_of(self, request: web.BaseRequest) -> Dialect:
        """Tell by whose rules a call is judged: its token says so, even a dead one.

        A token that was never issued says nothing; then it is the gateway, whose calls alone carry an AppKey, and the
        plain provider for a bearer token without one.
        """
        token = _bearer_token(request)
        family = None if token is None else self._registry.family_of(token)
        if family is not None:
            return family.dialect
        return "gateway" if token is None or APP_KEY in request.headers else "plain"

    def _authorize(self, request: web.BaseRequest, peer: Peer | None) -> None:
        dialect = self.dialect_of(request)
        if dialect == "gateway":
            check_app_key(request, self._client_id)
        token = _bearer_token(request)
        if token is None:
            # RFC 6750 §3.1: a call without a token is told the scheme and no error.
            raise authentication_failure(
                "The call carries no bearer token, or more than one.",
                InvalidField(hdrs.AUTHORIZATION, "header", "Bearer <access_token> is required, once"),
                challenge="Bearer",
            )
        try:
            record = self._registry.find(token)
        except InactiveToken as death:
            raise (logged_in_elsewhere() if death.elsewhere else invalid_token(str(death))) from None
        if dialect == "plain":
            _check_standards(request, record.family, peer)
        else:
            if (reason := binding_problem(record.family, peer)) is not None:
                # A token minted on this host would do, so the refusal speaks of the token.
                raise invalid_token(f"The access token {reason}.")
            check_certificate(peer, owner=record.username)
        self._registry.touch(token)


def _bearer_token(request: web.BaseRequest) -> str | None:
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return token if scheme.lower() == _SCHEME and token else None


def _check_standards(request: web.BaseRequest, family: TokenFamily, peer: Peer | None) -> None:
    if family.thumbprint is not None and (peer is None or peer.thumbprint != family.thumbprint):
        # RFC 8705 §3: any other certificate is wrong, one for the same subject too.
        raise invalid_token("The access token is bound to a client certificate, and this call has none, or another.")
    needed = "read" if request.method in (hdrs.METH_GET, hdrs.METH_HEAD) else "write"
    if needed not in family.scope.split():
        raise insufficient_scope(needed)


def _accounts(request: web.BaseRequest) -> Mapping[str, Any]:
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
    # Standard Base64, whose padding a caller has to encode in a query.
    return base64.b64encode(json.dumps({"externalId": external_id}).encode()).decode()


def _read_cursor(text: str) -> int:
    """Return the index of the record that the cursor points to."""
    for index, account in enumerate(_ACCOUNTS):
        if _write_cursor(account["externalId"]) == text:
            return index + 1
    raise invalid_request(
        "The cursor is not one that a page gave.", InvalidField("cursor", "query", "must come from a page")
    )


async def _echo(request: web.BaseRequest, peer: Peer | None) -> Mapping[str, Any]:
    digest = hashlib.sha256()
    length = 0
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        length += len(chunk)
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower not in _UNSPOKEN:
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return {
        "method": request.method,
        "path": request.path,
        "query": [list(pair) for pair in request.query.items()],
        "headers": headers,
        "body_length": length,
        "body_sha256": digest.hexdigest(),
        "certificate_common_name": None if peer is None else peer.common_name,
    }
