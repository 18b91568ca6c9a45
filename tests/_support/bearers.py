"""An application that requires bearer tokens, and requests to it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from seic.fastapi import BearerTokens
from seic.sandbox import CertificateAuthority
from seic.testing import MockIssuer
from tests._support.issuer import AUDIENCE, JWKS_URL, NOW, URL

ISSUED = CertificateAuthority().issue("svc-user")
DER = ISSUED.certificate.public_bytes(Encoding.DER)
THUMBPRINT = base64.urlsafe_b64encode(hashlib.sha256(DER).digest()).rstrip(b"=").decode()


def bearer_of(keys: MockIssuer, /, **options: Any) -> BearerTokens:
    """Return the dependency for tokens of the issuer."""
    settings: dict[str, Any] = {"issuer": URL, "audience": AUDIENCE, "jwks_url": JWKS_URL}
    return BearerTokens(**{**settings, "transport": keys.transport, "now": lambda: NOW, **options})


def ask(bearer: BearerTokens, token: str | None, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a request with a token to an application that answers with its claims."""

    async def whoami(request: Request) -> JSONResponse:
        claims = await bearer(request)
        return JSONResponse({"sub": claims.subject, "scopes": sorted(claims.scopes), "bound": claims.thumbprint})

    authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
    app = Starlette(routes=[Route("/", whoami)])
    return TestClient(app).get("/", headers={**authorization, **(headers or {})})  # type: ignore[return-value]


async def check(bearer: BearerTokens, token: str) -> int:
    """Return the status of a request with a token."""
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]}
    try:
        await bearer(Request(scope))
    except HTTPException as error:
        return error.status_code
    return 200
