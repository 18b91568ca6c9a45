"""Requests with a scope, an audience or a resource of their own: each combination has a token of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest

import seic
import seic.httpx2
from seic.events import CertificateRotated, TokenAcquired
from seic.testing import MockProvider
from tests._support.identities import authority
from tests._support.mocks import client_of

_READ = {"seic.scope": "read"}


def _scopes(gateway: MockProvider) -> list[str | None]:
    return [form.get("scope") for form in gateway.forms]


def _sent(gateway: MockProvider) -> list[str]:
    return [request.headers["Authorization"] for request in gateway.requests if request.url.path == "/v1"]


def _async_clients() -> dict[str, Callable[[seic.Config, MockProvider], Any]]:
    def own(config: seic.Config, gateway: MockProvider) -> httpx.AsyncClient:
        auth = seic.OAuth2Auth(config, transport=gateway)
        return httpx.AsyncClient(auth=auth, transport=gateway, base_url=config.base_url)

    return {
        "seic": lambda config, gateway: seic.AsyncClient(config, transport=gateway),
        "httpx2": lambda config, gateway: seic.httpx2.AsyncClient(config, transport=gateway),
        "own": own,
    }


@pytest.mark.parametrize("kind", ["seic", "httpx2", "own"])
async def test_each_has_its_own_cached_token(gateway: MockProvider, kind: str) -> None:
    """One request for all callers of one scope, audience and resource; the grant's own token is another."""
    async with _async_clients()[kind](gateway.config(), gateway) as client:
        await client.get("/v1")
        for extensions in (_READ, {"seic.audience": "orders"}, {"seic.resource": "https://a.example/"}):
            await asyncio.gather(*[client.get("/v1", extensions=extensions) for _ in range(20)])
        await client.get("/v1")
        await client.get("/v1", extensions={})
    parameters = [(form.get("scope"), form.get("audience"), form.get("resource")) for form in gateway.forms]
    assert parameters == [
        (None, None, None),
        ("read", None, None),
        (None, "orders", None),
        (None, None, "https://a.example/"),
    ]
    sent = _sent(gateway)
    assert [sent.count(f"Bearer token-{number}") for number in range(1, 5)] == [3, 20, 20, 20]


@pytest.mark.parametrize("kind", [seic.Client, seic.httpx2.Client])
def test_a_blocking_client(gateway: MockProvider, kind: Any) -> None:
    """It shares the tokens of one auth with others."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    for _ in range(2):
        with kind(gateway.config(), auth=auth, transport=gateway) as client:
            client.get("/v1", extensions=_READ)
            client.get("/v1")
    assert _scopes(gateway) == ["read", None]
    assert _sent(gateway) == ["Bearer token-1", "Bearer token-2"] * 2


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_401_renews_the_same_token(gateway: MockProvider, blocking: bool) -> None:
    """The retry has the same scope, and the other tokens stay."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)

    def call() -> None:
        with httpx.Client(auth=auth, transport=gateway, base_url=gateway.config().base_url) as client:
            client.get("/v1")
            client.get("/v1", extensions=_READ)
            gateway.revoke("token-2")
            assert client.get("/v1", extensions=_READ).status_code == 200
            client.get("/v1")

    if blocking:
        await asyncio.to_thread(call)
    else:
        async with seic.AsyncClient(gateway.config(), auth=auth, transport=gateway) as client:
            await client.get("/v1")
            await client.get("/v1", extensions=_READ)
            gateway.revoke("token-2")
            assert (await client.get("/v1", extensions=_READ)).status_code == 200
            await client.get("/v1")
    assert _scopes(gateway) == [None, "read", "read"]
    assert _sent(gateway)[-2:] == ["Bearer token-3", "Bearer token-1"]
    assert auth.stats == seic.Stats(token_requests=3, replays=1)


async def test_their_number_is_bounded(gateway: MockProvider) -> None:
    """Of 65, the one that was used longest ago is requested again."""
    async with client_of(gateway) as client:
        for number in (*range(64), 0, 64, 0, 1):
            await client.get("/v1", extensions={"seic.scope": f"scope-{number}"})
    assert _scopes(gateway) == [f"scope-{number}" for number in (*range(65), 1)]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("seic.scope", ["read"], "must be a string, not list"),
        ("seic.scope", "", "must be a string, not empty"),
        ("seic.scope", b"read", "must be a string, not bytes"),
        ("seic.audience", 7, "must be a string, not int"),
        ("seic.resource", [], "must be a string, or several, not empty"),
        ("seic.resource", ["https://a.example/", None], "must be a string, or several, not NoneType"),
        ("seic.resource", "not a uri", "^seic.resource: must be an absolute URI"),
        ("seic.scopes", "read", "^seic.scopes: unknown extension of a request; did you mean seic.scope"),
        ("Seic.Audience", "a", "^Seic.Audience: .* did you mean seic.audience"),
        ("seic.xyz", "a", "^seic.xyz: .* known: seic.scope, seic.audience, seic.resource"),
    ],
)
async def test_wrong_values_are_refused(gateway: MockProvider, name: str, value: object, words: str) -> None:
    """Before anything is sent."""
    async with client_of(gateway) as client:
        with pytest.raises(seic.ConfigurationError, match=words):
            await client.get("/v1", extensions={name: value})
    assert gateway.requests == []


async def test_a_request_can_be_sent_twice(gateway: MockProvider) -> None:
    """The extensions that seic adds itself are known, and those of others are theirs."""
    async with client_of(gateway) as client:
        request = client.build_request("GET", "/v1", extensions={"seic.scope": None, "other.scopes": "a"})
        for _ in range(2):
            assert (await client.send(request)).status_code == 200
    assert _scopes(gateway) == [None]


async def test_a_grant_for_one_token_is_refused(gateway: MockProvider) -> None:
    """A refresh token cannot request a scope that is not its own."""
    config = gateway.config(
        provider=attrs.evolve(seic.SEI_GATEWAY, grants=None), grant=seic.RefreshToken(refresh_token="r-1")
    )
    async with seic.AsyncClient(config, transport=gateway) as client:
        with pytest.raises(seic.ConfigurationError, match="one token only") as caught:
            await client.get("/v1", extensions=_READ)
    assert caught.value.field == "grant"
    assert gateway.requests == []


async def test_another_origin_gets_no_token(gateway: MockProvider) -> None:
    """The guard is the same."""
    async with client_of(gateway) as client:
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://elsewhere.example/", extensions=_READ)
    assert gateway.requests == []


async def test_a_rotation_and_the_events(gateway: MockProvider) -> None:
    """One identity for all: a rotated certificate is told once, and renews each token."""
    pairs = [authority().issue("svc-user") for _ in range(2)]
    given = [seic.ClientCertificate.load(pair.cert_pem, key=pair.key_pem) for pair in pairs]
    told: list[object] = []
    config = gateway.config(certificate=lambda: given[0])
    async with seic.AsyncClient(config, transport=gateway, on_event=told.append) as client:
        await client.get("/v1", extensions=_READ)
        await client.get("/v1")
        given.pop(0)
        assert await client.reload_certificate()
        await client.get("/v1", extensions=_READ)
        await client.get("/v1")
    assert sum(isinstance(event, CertificateRotated) for event in told) == 1
    assert sum(isinstance(event, TokenAcquired) for event in told) == 4
    assert _scopes(gateway) == ["read", None, "read", None]


async def test_a_revocation_is_for_all(gateway: MockProvider) -> None:
    """No token is left."""
    provider = seic.Provider(token_url="/v2/oauthtoken", revocation_url="/revoke")
    hosts = seic.Hosts(api="api.seic.com")
    config = gateway.config(provider=provider, hosts=hosts, grant=seic.ClientCredentials())
    async with seic.AsyncClient(config, transport=gateway) as client:
        await client.get("/v1")
        await client.get("/v1", extensions=_READ)
        await client.revoke()
        await client.get("/v1", extensions=_READ)
    assert sum(request.url.path == "/revoke" for request in gateway.requests) == 2
    assert _scopes(gateway) == [None, "read", "read"]


async def test_a_proof_is_for_the_token_of_the_request(gateway: MockProvider) -> None:
    """DPoP signs the request once, with the token that it is sent with (RFC 9449 §4.2)."""
    async with seic.AsyncClient(gateway.config(dpop=seic.DPoP()), transport=gateway) as client:
        gateway.token_responses += [
            httpx.Response(200, json={"access_token": f"t{n}", "token_type": "DPoP"}) for n in range(2)
        ]
        await client.get("/v1")
        await client.get("/v1", extensions=_READ)
    for request, token in zip([one for one in gateway.requests if one.url.path == "/v1"], ["t0", "t1"], strict=True):
        assert request.headers["Authorization"] == f"DPoP {token}"
        (proof,) = request.headers.get_list("DPoP")
        claims = json.loads(base64.urlsafe_b64decode(proof.split(".")[1] + "=="))
        digest = hashlib.sha256(token.encode()).digest()
        assert claims["ath"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
