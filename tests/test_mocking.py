"""Mocks in users' tests: respx, and `MockTransport` of httpx2."""

from __future__ import annotations

import httpx
import httpx2
import pytest
import respx

import seic
from seic.testing import MockProvider
from tests._support.identities import authority, certificate

TOKEN_PATH = "/v2/oauthtoken"
_TOKEN = {"access_token": "token-1", "token_type": "BearerToken", "expires_in": "3600"}


def _respond(router: respx.MockRouter, host: str) -> None:
    router.post(f"https://{host}{TOKEN_PATH}").respond(json=_TOKEN)
    router.get(f"https://{host}/v1/echo", headers={"Authorization": "Bearer token-1", "AppKey": "AppKey-1"}).respond(
        json={"ok": True}
    )


@pytest.mark.parametrize("with_certificate", [False, True], ids=["api", "mtls"])
async def test_respx_works_with_the_clients(with_certificate: bool, gateway: MockProvider) -> None:
    """Respx intercepts token and API requests without any setting."""
    identity = {"certificate": certificate(), "ca": authority().cert_pem} if with_certificate else {}
    config = gateway.config(**identity)
    with respx.mock as router:
        _respond(router, "mtls.api.example" if with_certificate else "api.example")
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/v1/echo")).json() == {"ok": True}
        with seic.Client(config) as blocking:
            assert blocking.get("/v1/echo").json() == {"ok": True}
        assert len(router.calls) == 4


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded transport"])
async def test_respx_works_with_the_auth_on_a_plain_client(guarded: bool, gateway: MockProvider) -> None:
    """A custom httpx client, with or without `AsyncTransport`, is mocked as usual."""
    config = gateway.config()
    transport = seic.AsyncTransport(config) if guarded else None
    with respx.mock as router:
        _respond(router, "api.example")
        auth = seic.OAuth2Auth(config)
        async with httpx.AsyncClient(auth=auth, transport=transport, base_url=config.base_url) as client:
            assert (await client.get("/v1/echo")).json() == {"ok": True}
        assert len(router.calls) == 2


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded transport"])
def test_respx_works_with_the_auth_on_a_plain_blocking_client(guarded: bool, gateway: MockProvider) -> None:
    """The blocking twin is mocked in the same way."""
    config = gateway.config()
    transport = seic.Transport(config) if guarded else None
    with respx.mock as router:
        _respond(router, "api.example")
        with httpx.Client(auth=seic.OAuth2Auth(config), transport=transport, base_url=config.base_url) as client:
            assert client.get("/v1/echo").json() == {"ok": True}
        assert len(router.calls) == 2


async def test_the_auth_serves_an_httpx2_client(gateway: MockProvider) -> None:
    """One auth serves clients of both libraries with one token."""
    config = gateway.config()
    auth = seic.OAuth2Auth(config, transport=gateway)

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=dict(request.headers))

    async with httpx2.AsyncClient(
        auth=auth,
        transport=httpx2.MockTransport(answer),
        base_url=config.base_url,
    ) as client:
        headers = (await client.get("/v1/echo")).json()
    with httpx2.Client(
        auth=auth,
        transport=httpx2.MockTransport(answer),
        base_url=config.base_url,
    ) as blocking:
        twin = blocking.get("/v1/echo").json()

    assert headers["authorization"] == twin["authorization"] == "Bearer token-1"
    assert headers["appkey"] == twin["appkey"] == "AppKey-1"
