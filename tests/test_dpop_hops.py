"""DPoP proofs of retries and redirects."""

from __future__ import annotations

import httpx
import pytest

import seic
from tests._support.mocks import HOST, api_requests, client_of, dpop_mock

_ONCE_MORE = seic.Retry(longest_pause=0)


async def test_a_retry() -> None:
    """Each attempt has its own proof, since a server accepts each once (§11.1)."""
    provider = dpop_mock()
    provider.add_response(503, path="/api", times=2)
    transport = provider
    async with seic.AsyncClient(provider.config(), transport=transport, retry=_ONCE_MORE) as client:
        assert (await client.get("/api")).status_code == 200
    assert api_requests(provider) == [("GET", "/api")] * 3


def test_a_blocking_retry() -> None:
    """The blocking twin behaves the same."""
    provider = dpop_mock()
    provider.add_response(503, path="/api", times=2)
    transport = provider
    with seic.Client(provider.config(), transport=transport, retry=_ONCE_MORE) as client:
        assert client.get("/api").status_code == 200
    assert api_requests(provider) == [("GET", "/api")] * 3


async def test_a_retry_in_a_custom_client() -> None:
    """Each attempt has its own proof, without a transport of seic below the retries."""
    provider = dpop_mock()
    provider.add_response(503, path="/api", times=2)
    carrier = provider
    auth = seic.OAuth2Auth(provider.config(), transport=carrier)
    transport = seic.RetryTransport(carrier, _ONCE_MORE, provider=seic.OAUTH2)
    async with httpx.AsyncClient(auth=auth, transport=transport, base_url=HOST) as client:
        assert (await client.get("/api")).status_code == 200
    await auth.aclose()
    assert api_requests(provider) == [("GET", "/api")] * 3


@pytest.mark.parametrize(
    ("status", "method"), [pytest.param(307, "POST", id="same method"), pytest.param(303, "GET", id="changed to GET")]
)
async def test_a_redirect(status: int, method: str) -> None:
    """Each request has its own proof for its method and URL (§4.2)."""
    provider = dpop_mock()
    provider.add_response(status, path="/old", headers={"Location": "/api?page=2"}, times=None)
    async with client_of(provider, follow_redirects=True) as client:
        assert (await client.post("/old", content=b"body")).status_code == 200
    assert api_requests(provider) == [("POST", "/old"), (method, "/api")]


def test_a_blocking_redirect() -> None:
    """The blocking twin behaves the same."""
    provider = dpop_mock()
    provider.add_response(302, path="/old", headers={"Location": "/api"}, times=None)
    transport = provider
    with seic.Client(provider.config(), transport=transport, follow_redirects=True) as client:
        assert client.get("/old").status_code == 200
    assert api_requests(provider) == [("GET", "/old"), ("GET", "/api")]


async def test_a_redirect_to_another_origin() -> None:
    """The token is not sent there, and a nonce from there causes no second request."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/v2/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})
        if request.url.host == "idp.example":
            return httpx.Response(307, headers={"Location": "https://elsewhere.example/"})
        seen.append(request.headers)
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "foreign-nonce"}
        return httpx.Response(401, headers=challenge)

    transport = httpx.MockTransport(answer)
    auth = seic.OAuth2Auth(dpop_mock().config(), transport=transport)
    async with httpx.AsyncClient(auth=auth, transport=transport, base_url=HOST, follow_redirects=True) as client:
        assert (await client.get("/api")).status_code == 401
    await auth.aclose()
    assert ["authorization" in headers for headers in seen] == [False]
