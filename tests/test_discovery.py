"""Discovery: requests, the cache, and invalid metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic import _discovery
from seic._network.transport_factory import TransportFactory
from tests._support.pki import authority

ISSUER = "https://idp.example"
DOCUMENT: dict[str, Any] = {"issuer": ISSUER, "token_endpoint": "https://idp.example/token"}
RFC8414 = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


class Site:
    """A web site with some documents; `paths` are the received paths."""

    def __init__(self, **documents: httpx.Response) -> None:
        self.documents = {RFC8414: documents.get("rfc8414"), OPENID: documents.get("openid")}
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        assert request.method == "GET"
        assert not {"authorization", "cookie"} & set(request.headers)
        self.paths.append(request.url.path)
        return self.documents.get(request.url.path) or httpx.Response(404)


def document(**changes: Any) -> httpx.Response:
    """Return the metadata of the site."""
    return httpx.Response(200, json={**DOCUMENT, **changes})


@pytest.mark.parametrize(
    ("site", "paths"),
    [
        (Site(rfc8414=document(), openid=document()), [RFC8414]),
        (Site(openid=document()), [RFC8414, OPENID]),
        # Servers redirect or return a page for an unknown address.
        (Site(rfc8414=httpx.Response(302, headers={"Location": "/login"}), openid=document()), [RFC8414, OPENID]),
        (Site(rfc8414=httpx.Response(200, text="\n<html>"), openid=document()), [RFC8414, OPENID]),
    ],
    ids=["RFC 8414", "OpenID", "OpenID after a redirect", "OpenID after a page"],
)
async def test_the_order_of_addresses(site: Site, paths: list[str]) -> None:
    """The address of RFC 8414 comes first, then that of OpenID, without credentials."""
    provider = await seic.discover(ISSUER, transport=httpx.MockTransport(site))
    assert (provider.token_url, provider.issuer) == ("https://idp.example/token", ISSUER)
    assert site.paths == paths


def test_blocking_discovery() -> None:
    """The blocking twin behaves the same."""
    site = Site(openid=document())
    assert seic.discover_sync(ISSUER, transport=httpx.MockTransport(site)).issuer == ISSUER


@pytest.mark.parametrize(
    ("answer", "kind", "paths"),
    [
        pytest.param(None, seic.ConfigurationError, [RFC8414, OPENID], id="not found"),
        pytest.param(
            httpx.Response(302, headers={"Location": "/x"}),
            seic.TokenEndpointUnavailable,
            [RFC8414, OPENID],
            id="redirect",
        ),
        pytest.param(httpx.Response(503), seic.TokenEndpointUnavailable, [RFC8414], id="unavailable"),
        pytest.param(httpx.Response(429), seic.TokenEndpointUnavailable, [RFC8414], id="too many requests"),
        pytest.param(httpx.Response(408), seic.TokenEndpointUnavailable, [RFC8414], id="request timeout"),
        pytest.param(httpx.Response(200, text="<html>"), seic.InvalidTokenResponse, [RFC8414, OPENID], id="HTML"),
        pytest.param(httpx.Response(200, text="{"), seic.InvalidTokenResponse, [RFC8414], id="truncated"),
        pytest.param(
            document(issuer="https://other.example"), seic.InvalidTokenResponse, [RFC8414], id="another issuer"
        ),
        pytest.param(
            httpx.Response(200, content=b" " * (2 << 20)), seic.InvalidTokenResponse, [RFC8414], id="too long"
        ),
    ],
)
async def test_an_invalid_response(answer: httpx.Response | None, kind: type[Exception], paths: list[str]) -> None:
    """A typed error is raised, and redirects are not followed."""
    site = Site() if answer is None else Site(rfc8414=answer)
    with pytest.raises(kind):
        await seic.discover(ISSUER, transport=httpx.MockTransport(site))
    assert site.paths == paths


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site that replaces the network, with an empty cache."""
    site = Site(rfc8414=document())
    monkeypatch.setattr(_discovery, "_cache", {})
    monkeypatch.setattr(TransportFactory, "open", lambda _: httpx.MockTransport(site))
    return site


async def test_the_cache(site: Site) -> None:
    """Async and blocking callers share one request an hour."""
    now = [0.0]
    for moment, calls in ((0.0, 1), (3_599.9, 1), (3_600.0, 2)):
        now[0] = moment
        await seic.discover(ISSUER, clock=lambda: now[0])
        seic.discover_sync(ISSUER, clock=lambda: now[0])
        assert len(site.paths) == calls


async def test_invalid_metadata_is_not_cached(site: Site, tmp_path: Path) -> None:
    """It is requested again; another `ca` has its own cache entry."""
    site.documents[RFC8414] = document(issuer="https://other.example")
    with pytest.raises(seic.InvalidTokenResponse):
        await seic.discover(ISSUER)
    site.documents[RFC8414] = document()
    await seic.discover(ISSUER)
    other = tmp_path / "other.pem"
    other.write_bytes(authority(number=77).pem)
    await seic.discover(ISSUER, ca=other)
    assert len(site.paths) == 3


async def test_each_caller_evaluates_the_cached_document(site: Site) -> None:
    """The cache contains the document, not the provider of an earlier caller."""
    site.documents[RFC8414] = document(token_endpoint_auth_methods_supported=["client_secret_post"])
    assert (await seic.discover(ISSUER)).client_authentication == seic.ClientSecretPost()
    with pytest.raises(seic.ConfigurationError):
        await seic.discover(ISSUER, client_authentication=seic.PrivateKeyJwt())
    assert len(site.paths) == 1


async def test_a_discovered_provider_gets_a_token() -> None:
    """The provider of an issuer works for a token request."""
    provider = await seic.discover(ISSUER, transport=httpx.MockTransport(Site(rfc8414=document())))
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=json.dumps({"access_token": "t", "token_type": "Bearer"}))

    config = seic.Config(
        provider=provider,
        hosts=seic.Hosts(api="api.example"),
        client_id="c",
        client_secret="s",
        grant=seic.ClientCredentials(),
    )
    async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
        assert (await client.token()).access_token == "t"
    assert asked == ["https://idp.example/token"]
