"""docs/providers/: each block of settings gets a token from a server with the paths of that provider.

The server is Authlib's, behind an nginx that terminates TLS. It takes the place of the hosts in the block; issuer
paths, token paths, scopes, audiences and methods are the page's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

import seic
from tests._support.authlib_site import SECRET, Site, open_site
from tests._support.documents import ROOT
from tests._support.jwts import EC_KEY, pem

_PAGES = sorted((ROOT / "docs" / "providers").glob("*.md"))
#: The client that the server knows for each method.
_CLIENTS = {
    "": "basic",
    "client_secret_post": "post",
    "private_key_jwt": "key",
    "tls_client_auth": "tls",
    "self_signed_tls_client_auth": "self-signed",
}
#: The token endpoints that the metadata of each provider names.
_TOKEN_PATHS = {
    "auth0": "/oauth/token",
    "curity": "/oauth/v2/oauth-token",
    "entra-id": "/00000000-0000-0000-0000-000000000000/oauth2/v2.0/token",
    "keycloak": "/realms/main/protocol/openid-connect/token",
    "kong": "/auth/oauth/token",
    "okta": "/oauth2/default/v1/token",
    "ping": "/as/token.oauth2",
}


def _blocks() -> Iterator[tuple[str, dict[str, str]]]:
    for page in _PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            yield page.stem, dict(re.findall(r"^export (\w+)=(.+)$", block, re.MULTILINE))


_BLOCKS = list(_blocks())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Run both, in a folder with the files that pages name."""
    monkeypatch.chdir(tmp_path)
    with open_site(tmp_path, monkeypatch) as opened:
        files = {
            "client.pem": opened.issued.cert_pem,
            "client.key": opened.issued.key_pem,
            "signing.key": pem(EC_KEY),
        }
        for name, content in files.items():
            Path(name).write_bytes(content)
            Path(name).chmod(0o600)
        yield opened


def _moved(site: Site, settings: dict[str, str]) -> dict[str, str]:
    """Return the settings with this server in place of the provider's hosts."""
    state = site.server.state
    host = site.nginx.mtls_url if "SEIC_CERTIFICATE" in settings else site.nginx.api_url
    moved = {**settings, "SEIC_CA": site.ca.decode()}
    if issuer := settings.get("SEIC_ISSUER"):
        state.issuer_path = re.sub(r"^https://[^/]+", "", issuer)
        moved["SEIC_ISSUER"] = state.issuer
    if token_url := settings.get("SEIC_TOKEN_URL"):
        path = re.sub(r"^https://[^/]+", "", token_url)
        state.token_path = path
        moved["SEIC_TOKEN_URL"] = token_url if token_url == path else f"{host}{path}"
    for name in ("SEIC_API_HOST", "SEIC_MTLS_HOST"):
        if name in settings:
            moved[name] = host
    if "SEIC_CLIENT_ASSERTION_AUDIENCE" in settings:
        state.issuer_path = re.sub(r"^https://[^/]+", "", settings["SEIC_CLIENT_ASSERTION_AUDIENCE"])
        moved["SEIC_CLIENT_ASSERTION_AUDIENCE"] = state.issuer
    moved["SEIC_CLIENT_ID"] = _CLIENTS[settings.get("SEIC_CLIENT_AUTH", "")]
    if "SEIC_CLIENT_SECRET" in settings:
        moved["SEIC_CLIENT_SECRET"] = SECRET
    return moved


@pytest.mark.parametrize(("page", "settings"), _BLOCKS, ids=[f"{page}-{n}" for n, (page, _) in enumerate(_BLOCKS)])
async def test_a_block_gets_a_token(site: Site, page: str, settings: dict[str, str]) -> None:
    """The block alone is sufficient, and the API accepts the token."""
    state = site.server.state
    state.token_path = _TOKEN_PATHS.get(page, "")
    if "private_key_jwt" in settings.values() and "SEIC_CLIENT_KEY" not in settings:
        # The certificate's key signs.
        public = load_pem_x509_certificate(site.issued.cert_pem).public_key()
        state.apps["key"].public_key = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    async with seic.AsyncClient.from_env(_moved(site, settings)) as client:
        reply = await client.get("/api")
        token = await client.token()
        assert reply.status_code == 200
        assert token.scope == settings.get("SEIC_SCOPE", "")
    assert any(f"POST {state.token_path} " in line for line in site.nginx.access_log())


def test_each_provider_has_a_page() -> None:
    """Each has blocks, and its token path is known here."""
    assert [page.stem for page in _PAGES] == sorted([*_TOKEN_PATHS, "apigee"])
    assert {page for page, _ in _BLOCKS} == {page.stem for page in _PAGES}
    overview = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert all(f"(providers/{page.name})" in overview for page in _PAGES)


def test_the_forms_of_apigee() -> None:
    """A reply and an error as in Apigee's documents."""
    replies = [
        httpx.Response(401, json={"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}),
        httpx.Response(
            200,
            json={
                "issued_at": "1420262924658",
                "status": "approved",
                "expires_in": "1799",
                "token_type": "BearerToken",
                "access_token": "2l4IQtZXbn5WBJdL6EF7uenOWRsi",
            },
        ),
    ]
    settings = next(block for page, block in _BLOCKS if page == "apigee")
    transport = httpx.MockTransport(lambda _: replies.pop(0))
    with seic.Client.from_env(settings, transport=transport) as client, pytest.raises(seic.SeicError) as caught:
        client.token()
    assert isinstance(caught.value, seic.TokenRequestRefused)
    assert (caught.value.code, caught.value.description) == ("invalid_client", "ClientId is Invalid")
    with seic.Client.from_env(settings, transport=transport) as client:
        assert client.token().expires_in == 1799
