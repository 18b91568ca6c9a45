"""`MockIssuer`: tokens, keys and a key set for an application that requires tokens."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import Request

from seic.fastapi import BearerTokens
from seic.testing import MockClocks, MockIssuer


async def status_of(bearer: BearerTokens, token: str) -> int:
    """Return 200, or the status with which a token is refused."""
    header = (b"authorization", f"Bearer {token}".encode())
    try:
        await bearer(Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [header]}))
    except Exception as error:  # noqa: BLE001 - Starlette's or FastAPI's, with a status
        return int(getattr(error, "status_code", 500))
    return 200


async def test_tokens_of_an_issuer(seic_issuer: MockIssuer, seic_clock: MockClocks) -> None:
    """A valid one is accepted for five minutes, and the key set is requested once."""
    bearer = BearerTokens(**seic_issuer.settings())
    token = seic_issuer.token()
    assert [await status_of(bearer, each) for each in (token, seic_issuer.token(iss="x"), "x")] == [200, 401, 401]
    seic_clock.advance(400)
    assert await status_of(bearer, token) == 401
    assert seic_issuer.key_set_requests == 1


async def test_a_key_set_that_waits(seic_issuer: MockIssuer) -> None:
    """The request arrives, and the token is checked after the release."""
    bearer = BearerTokens(**seic_issuer.settings())
    seic_issuer.hold_keys()
    call = asyncio.create_task(status_of(bearer, seic_issuer.token()))
    assert await seic_issuer.wait_for_key_request()
    assert not call.done()
    seic_issuer.release_keys()
    assert await call == 200


def test_another_request_is_an_error(seic_issuer: MockIssuer) -> None:
    """Its key set is all that it has."""

    async def ask() -> None:
        async with httpx.AsyncClient(transport=seic_issuer.transport) as client:
            await client.get("https://idp.example/token")

    with pytest.raises(AssertionError, match=r"only GET https://idp.example/jwks"):
        asyncio.run(ask())
