"""Nonces of DPoP (RFC 9449 §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import attrs
import httpx
import pytest

import seic
from seic.testing import MockProvider
from tests._support.jwts import parts
from tests._support.mocks import HOST, api_requests, client_of, dpop_mock


async def test_nonces() -> None:
    """Token endpoint and API have separate nonces, which are remembered and updated."""
    provider = dpop_mock()
    provider.require_nonce("/oauth/v2/token", "nonce-1")
    provider.require_nonce("/api", "nonce-2")
    async with client_of(provider) as client:
        assert (await client.get("/api")).status_code == 200
        assert provider.nonce_challenges == 2
        assert (await client.get("/api")).status_code == 200
        assert provider.nonce_challenges == 2
        provider.require_nonce("/api", "nonce-3")
        assert (await client.get("/api")).status_code == 200
        assert provider.nonce_challenges == 3
        assert client.stats.token_requests == 2
        assert client.stats.token_failures == 0
    assert [proof.get("nonce") for proof in provider.dpop_proofs] == ["nonce-1", "nonce-2", "nonce-2", "nonce-3"]


async def test_a_nonce_challenge_is_an_event() -> None:
    """Both token requests emit an event; the first is neither a failure nor a token."""
    provider = dpop_mock()
    provider.require_nonce("/oauth/v2/token", "nonce-1")
    heard: list[seic.events.Event] = []
    async with client_of(provider) as client:
        client.listen(heard.append)
        await client.token()
    told = [event for event in heard if isinstance(event, seic.events.TokenRequested)]
    assert [(event.outcome, event.status, event.error) for event in told] == [
        ("challenged", 400, None),
        ("acquired", 200, None),
    ]


async def test_a_response_can_contain_the_next_nonce() -> None:
    """The next request uses it without a challenge (§8.2)."""
    dpop = seic.DPoP()
    provider = dpop_mock()
    async with client_of(provider, {"dpop": dpop}) as client:
        await client.token()
        dpop.remember_nonce(httpx.Request("GET", HOST), {"DPoP-Nonce": "ahead"}, api=True)
        provider.require_nonce("/api", "ahead")
        assert (await client.get("/api")).status_code == 200
    assert provider.nonce_challenges == 0


class Crowd:
    """A transport that holds the first request to a path until the second arrives."""

    def __init__(self, provider: MockProvider, path: str) -> None:
        self._provider = provider
        self._path = path
        self._arrived = 0
        self._both = asyncio.Event()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if request.url.path == self._path:
            self._arrived += 1
            if self._arrived == 2:
                self._both.set()
            await self._both.wait()
        response: httpx.Response = await self._provider.handle_async_request(request)
        return response


async def test_two_concurrent_challenges_of_the_api() -> None:
    """Both requests are sent again, although the second finds the nonce already known."""
    provider = dpop_mock()
    provider.require_nonce("/api", "nonce")
    transport = httpx.MockTransport(Crowd(provider, "/api").answer)
    async with seic.AsyncClient(provider.config(), transport=transport) as client:
        replies = await asyncio.gather(client.get("/api"), client.get("/api"))
    assert [reply.status_code for reply in replies] == [200, 200]
    assert provider.nonce_challenges == 2


async def test_two_concurrent_challenges_of_the_token_endpoint() -> None:
    """The same for two tokens that are bound to one key."""
    provider = dpop_mock()
    provider.require_nonce("/oauth/v2/token", "nonce")
    transport = httpx.MockTransport(Crowd(provider, "/oauth/v2/token").answer)
    config = provider.config()
    async with (
        seic.AsyncClient(config, transport=transport) as ann,
        seic.AsyncClient(attrs.evolve(config, grant=seic.ClientCredentials(scope="b")), transport=transport) as bob,
    ):
        await asyncio.gather(ann.token(), bob.token())
    assert provider.nonce_challenges == 2


async def test_an_api_that_rejects_its_own_nonce() -> None:
    """The request is not sent a third time."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api":
            return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})
        calls.append(request)
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "always"}
        return httpx.Response(401, headers=challenge)

    async with seic.AsyncClient(dpop_mock().config(), transport=httpx.MockTransport(answer)) as client:
        assert (await client.get("/api")).status_code == 401
        assert len(calls) == 2
        assert (await client.get("/api")).status_code == 401
    assert len(calls) == 3


async def test_an_api_with_a_new_nonce_in_each_response() -> None:
    """The request is retried only once."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api":
            return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})
        calls.append(request)
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": f"n{len(calls)}"}
        return httpx.Response(401, headers=challenge)

    config = dpop_mock().config()
    async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
        assert (await client.get("/api")).status_code == 401
        assert client.stats.token_requests == 1
    assert len(calls) == 2


async def test_a_token_endpoint_with_a_new_nonce_in_each_response() -> None:
    """The request is retried once, then an error is raised."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(400, headers={"DPoP-Nonce": f"n{len(calls)}"}, json={"error": "use_dpop_nonce"})

    async with seic.AsyncClient(dpop_mock().config(), transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()
    assert (caught.value.code, len(calls)) == ("use_dpop_nonce", 2)


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_challenge_after_a_redirect(blocking: bool) -> None:
    """Only the last request is sent again."""
    provider = dpop_mock()
    provider.add_response(303, path="/old", headers={"Location": "/api"}, times=None)
    provider.require_nonce("/api", "nonce")
    if blocking:
        transport = provider
        with seic.Client(provider.config(), transport=transport, follow_redirects=True) as blocking_client:
            assert blocking_client.post("/old", content=b"body").status_code == 200
    else:
        async with client_of(provider, follow_redirects=True) as client:
            assert (await client.post("/old", content=b"body")).status_code == 200
    assert api_requests(provider) == [("POST", "/old"), ("GET", "/api"), ("GET", "/api")]
    assert provider.nonce_challenges == 1


@pytest.mark.parametrize("nonce", ["", "a b", "a\x7f", "n" * 1025])
def test_an_invalid_nonce_is_ignored(nonce: str) -> None:
    """It cannot be sent in a proof."""
    dpop = seic.DPoP()
    assert not dpop.remember_nonce(httpx.Request("POST", HOST), {"DPoP-Nonce": nonce}, api=False)
    assert "nonce" not in parts(dpop.prove("GET", httpx.URL(HOST), now=0.0))[1]


def test_the_nonces_of_two_servers() -> None:
    """Each server receives only its own nonce."""
    dpop = seic.DPoP()
    dpop.remember_nonce(httpx.Request("POST", HOST), {"DPoP-Nonce": "one"}, api=False)

    def nonces() -> Iterator[str | None]:
        for url, token in ((HOST, None), (HOST, "t"), ("https://api.example", None), (f"{HOST}:8443", None)):
            yield parts(dpop.prove("GET", httpx.URL(url), now=0.0, access_token=token))[1].get("nonce")

    assert list(nonces()) == ["one", None, None, None]
