"""Discovery: what is asked, what is remembered, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic import _discovery
from seic._network.proxies import Network
from tests._support.pki import authority

ISSUER = "https://idp.example"
DOCUMENT: dict[str, Any] = {"issuer": ISSUER, "token_endpoint": "https://idp.example/token"}
RFC8414 = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


class Site:
    """A web site with some documents; `paths` is what was asked for."""

    def __init__(self, **documents: httpx.Response) -> None:
        self.documents = {RFC8414: documents.get("rfc8414"), OPENID: documents.get("openid")}
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        assert request.method == "GET"
        assert not {"authorization", "cookie"} & set(request.headers)
        self.paths.append(request.url.path)
        return self.documents.get(request.url.path) or httpx.Response(404)


def document(**changes: Any) -> httpx.Response:
    """The site's metadata."""
    return httpx.Response(200, json={**DOCUMENT, **changes})


@pytest.mark.parametrize(
    ("site", "paths"),
    [
        (Site(rfc8414=document(), openid=document()), [RFC8414]),
        (Site(openid=document()), [RFC8414, OPENID]),
        # What a server does with an address that it does not know.
        (Site(rfc8414=httpx.Response(302, headers={"Location": "/login"}), openid=document()), [RFC8414, OPENID]),
        (Site(rfc8414=httpx.Response(200, text="\n<html>"), openid=document()), [RFC8414, OPENID]),
    ],
    ids=["RFC 8414", "OpenID", "OpenID, behind a redirect", "OpenID, behind a page"],
)
async def test_where_it_is_asked(site: Site, paths: list[str]) -> None:
    """Expect the RFC's place first, then OpenID's, without a credential."""
    provider = await seic.discover(ISSUER, transport=httpx.MockTransport(site))
    assert (provider.token_url, provider.issuer) == ("https://idp.example/token", ISSUER)
    assert site.paths == paths


def test_asking_while_blocking() -> None:
    """Expect the same of the blocking twin."""
    site = Site(openid=document())
    assert seic.discover_sync(ISSUER, transport=httpx.MockTransport(site)).issuer == ISSUER


@pytest.mark.parametrize(
    ("answer", "kind", "paths"),
    [
        pytest.param(None, seic.ConfigurationError, [RFC8414, OPENID], id="nothing there"),
        pytest.param(
            httpx.Response(302, headers={"Location": "/x"}),
            seic.TokenEndpointUnavailable,
            [RFC8414, OPENID],
            id="redirect",
        ),
        pytest.param(httpx.Response(503), seic.TokenEndpointUnavailable, [RFC8414], id="unavailable"),
        pytest.param(httpx.Response(429), seic.TokenEndpointUnavailable, [RFC8414], id="too many requests"),
        pytest.param(httpx.Response(408), seic.TokenEndpointUnavailable, [RFC8414], id="too slow"),
        pytest.param(httpx.Response(200, text="<html>"), seic.InvalidTokenResponse, [RFC8414, OPENID], id="HTML"),
        pytest.param(httpx.Response(200, text="{"), seic.InvalidTokenResponse, [RFC8414], id="cut off"),
        pytest.param(
            document(issuer="https://other.example"), seic.InvalidTokenResponse, [RFC8414], id="another issuer"
        ),
        pytest.param(
            httpx.Response(200, content=b" " * (2 << 20)), seic.InvalidTokenResponse, [RFC8414], id="too long"
        ),
    ],
)
async def test_an_answer_that_cannot_be_used(
    answer: httpx.Response | None, kind: type[Exception], paths: list[str]
) -> None:
    """Expect a typed error, and a redirect not to be followed."""
    site = Site() if answer is None else Site(rfc8414=answer)
    with pytest.raises(kind):
        await seic.discover(ISSUER, transport=httpx.MockTransport(site))
    assert site.paths == paths


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site in the place of the network, and nothing remembered before or after."""
    site = Site(rfc8414=document())
    monkeypatch.setattr(_discovery, "_known", {})
    monkeypatch.setattr("seic._identity.shared_context", lambda *_, **__: None)
    monkeypatch.setattr(Network, "new_async_transport", lambda *_: httpx.MockTransport(site))
    monkeypatch.setattr(Network, "new_transport", lambda *_: httpx.MockTransport(site))
    return site


async def test_what_is_remembered(site: Site) -> None:
    """Expect one call in an hour for async and blocking callers alike, and another after it."""
    now = [0.0]
    for moment, calls in ((0.0, 1), (3_599.9, 1), (3_600.0, 2)):
        now[0] = moment
        await seic.discover(ISSUER, clock=lambda: now[0])
        seic.discover_sync(ISSUER, clock=lambda: now[0])
        assert len(site.paths) == calls


async def test_what_is_not_remembered(site: Site, tmp_path: Path) -> None:
    """Expect a refused document to be asked for anew, and another authority's word not to be taken for this one's."""
    site.documents[RFC8414] = document(issuer="https://other.example")
    with pytest.raises(seic.InvalidTokenResponse):
        await seic.discover(ISSUER)
    site.documents[RFC8414] = document()
    await seic.discover(ISSUER)
    other = tmp_path / "other.pem"
    other.write_bytes(authority(number=77).pem)
    await seic.discover(ISSUER, ca=other)
    assert len(site.paths) == 3


async def test_each_caller_reads_the_document_for_itself(site: Site) -> None:
    """Expect what is remembered to be the document, not what an earlier caller made of it."""
    site.documents[RFC8414] = document(token_endpoint_auth_methods_supported=["client_secret_post"])
    assert (await seic.discover(ISSUER)).client_authentication == seic.ClientSecretPost()
    with pytest.raises(seic.ConfigurationError):
        await seic.discover(ISSUER, client_authentication=seic.PrivateKeyJwt())
    assert len(site.paths) == 1


async def test_a_discovered_provider_gets_a_token() -> None:
    """Expect the whole way, from the issuer to a token."""
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
