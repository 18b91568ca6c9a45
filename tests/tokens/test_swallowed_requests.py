"""A call that may be repeated is sent twice if its first request is swallowed: it takes a share of the time only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from starlette.exceptions import HTTPException
from starlette.requests import Request

import seic
from tests._support.bearers import bearer_of
from tests._support.clocks import FakeClock
from tests._support.issuer import JWKS_URL, issuer_of

ISSUER = "https://idp.example"
TOKEN = {"access_token": "token-1", "refresh_token": "refresh-1", "token_type": "Bearer", "expires_in": 3600}
METADATA = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"}
PROVIDER = seic.Provider(
    token_url=f"{ISSUER}/token",
    revocation_url=f"{ISSUER}/revoke",
    introspection_url=f"{ISSUER}/introspect",
    device_authorization_url=f"{ISSUER}/device",
)
DEVICE = {"device_code": "device-1", "user_code": "AB-CD", "verification_uri": f"{ISSUER}/login", "expires_in": 600}

_KEYS = httpx.URL(JWKS_URL).path

#: An error of a transport, or a status.
Failure = Exception | int


class Swallowing(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Answers all requests but the first ones of a path, which fail; `limits` are the read timeouts of that path."""

    def __init__(self, path: str, failures: list[Failure]) -> None:
        self._path = path
        self._failures = failures
        self.limits: list[float] = []
        self.answers: dict[str, Any] = {"/token": TOKEN, "/introspect": {"active": True}, "/revoke": {}}
        self.answers["/device"] = DEVICE

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if request.url.path == self._path:
            self.limits.append(request.extensions["timeout"]["read"])
            if self._failures:
                failure = self._failures.pop(0)
                if isinstance(failure, Exception):
                    raise failure
                return httpx.Response(failure, json={"error": "invalid_request"})
        found = self.answers.get(request.url.path, METADATA)
        return httpx.Response(200, content=json.dumps(found))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        return self.handle_request(request)

    def auth(self) -> seic.OAuth2Auth:
        """Return an auth that sends its requests here."""
        return seic.OAuth2Auth(_config(seic.ClientCredentials()), transport=self, clock=FakeClock().clock)


def _config(grant: seic.Grant) -> seic.Config:
    return seic.Config(
        provider=PROVIDER,
        hosts=seic.Hosts(api="https://api.example"),
        client_id="client-1",
        client_secret="secret-1",
        grant=grant,
        token_timeout=10,
    )


async def _revoke(transport: Swallowing) -> None:
    auth = transport.auth()
    await auth.token()
    await auth.revoke()


async def _describe(transport: Swallowing) -> object:
    return await transport.auth().token_info()


async def _discover(transport: Swallowing) -> object:
    return await seic.discover(ISSUER, transport=transport)


async def _begin_device_login(transport: Swallowing) -> object:
    return await seic.DeviceLogin.begin(_config(seic.DeviceCode()), transport=transport)


async def _fetch_keys(transport: Swallowing) -> object:
    issuer = issuer_of(ECKey.generate_key("P-256", {"kid": "key-1"}))
    transport.answers[_KEYS] = {"keys": issuer.published}
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {issuer.token()}".encode())]}
    return await bearer_of(issuer, transport=transport)(Request(scope))


_CALLS = pytest.mark.parametrize(
    ("call", "path"),
    [
        pytest.param(_revoke, "/revoke", id="revocation"),
        pytest.param(_describe, "/introspect", id="introspection"),
        pytest.param(_discover, "/.well-known/oauth-authorization-server", id="metadata"),
        pytest.param(_begin_device_login, "/device", id="device authorization"),
        pytest.param(_fetch_keys, _KEYS, id="key set"),
    ],
)
Call = Callable[[Swallowing], Coroutine[Any, Any, object]]


@_CALLS
def test_a_swallowed_request_costs_a_share_of_the_time(call: Call, path: str) -> None:
    """The second attempt has the rest."""
    transport = Swallowing(path, [httpx.ReadTimeout("late")])
    asyncio.run(call(transport))
    assert transport.limits[0] == pytest.approx(0.9 * 3)
    assert 0.9 * 6 < transport.limits[1] <= 0.9 * 10


@_CALLS
def test_a_second_request_that_is_swallowed_is_an_error(call: Call, path: str) -> None:
    """There are two at most."""
    transport = Swallowing(path, [httpx.ReadTimeout("late"), httpx.ReadTimeout("late")])
    with pytest.raises((seic.TokenEndpointUnavailable, HTTPException)):
        asyncio.run(call(transport))
    assert len(transport.limits) == 2


def test_a_token_that_may_have_been_revoked_already_is_no_error() -> None:
    """Its reply was lost; the second request is refused, because the token is revoked already."""
    transport = Swallowing("/revoke", [httpx.ReadTimeout("late"), 400])
    asyncio.run(_revoke(transport))
    assert len(transport.limits) == 3  # two of the refresh token, one of the access token
