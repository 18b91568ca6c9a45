"""Providers that only variables describe: Authlib's server behind nginx, and the sandbox's plain provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.authlib_models import PASSWORD
from tests._support.authlib_site import SECRET, Site, assertion_of, open_site
from tests._support.jwts import EC_KEY, pem

_KEY = pem(EC_KEY).decode()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Run both."""
    with open_site(tmp_path, monkeypatch) as opened:
        yield opened


def _variables(site: Site, *, certificate: bool = False, **variables: str) -> dict[str, str]:
    """Return the variables of a container that knows the provider by its issuer."""
    settings = {
        "ISSUER": site.nginx.api_url,
        "API_HOST": site.nginx.api_url,
        "MTLS_HOST": site.nginx.mtls_url,
        "CLIENT_ID": "basic",
        "CLIENT_SECRET": SECRET,
        "SCOPE": "read",
        "CA": site.ca.decode(),
        **({"CERTIFICATE": (site.issued.cert_pem + site.issued.key_pem).decode()} if certificate else {}),
        **variables,
    }
    return {f"SEIC_{name}": text for name, text in settings.items()}


@pytest.mark.parametrize(
    ("client_id", "method", "further", "certificate"),
    [
        ("basic", "client_secret_basic", {}, False),
        ("post", "client_secret_post", {}, False),
        ("hmac", "client_secret_jwt", {}, False),
        ("key", "private_key_jwt", {"CLIENT_KEY": _KEY, "CLIENT_SECRET": ""}, False),
        ("tls", "tls_client_auth", {"CLIENT_SECRET": ""}, True),
        ("self-signed", "self_signed_tls_client_auth", {"CLIENT_SECRET": ""}, True),
        ("basic", "client_secret_basic", {}, True),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_an_issuer_and_each_client_authentication(
    site: Site, client_id: str, method: str, further: dict[str, str], certificate: bool
) -> None:
    """The metadata is read with the first token; calls, introspection and revocation follow it."""
    environ = _variables(site, certificate=certificate, CLIENT_ID=client_id, CLIENT_AUTH=method, **further)
    async with seic.AsyncClient.from_env(environ) as client:
        assert site.server.state.calls == []
        reply = await client.get("/api")
        assert reply.json() == {"client_id": client_id, "user": None}
        assert (await client.token_info()).scope == "read"
        await client.revoke()
        await client.token()
    name = "CN=svc-user" if certificate else "-"
    paths = ("/oauth/v2/token", "/api", "/introspect", "/revoke", "/oauth/v2/token")
    assert site.server.state.calls == [
        # The issuer's host asks for no certificate.
        "/.well-known/oauth-authorization-server -",
        *(f"{path} {name}" for path in paths),
    ]


async def test_the_metadata_chooses_the_client_authentication(site: Site) -> None:
    """Without `SEIC_CLIENT_AUTH` it is the first that the provider offers."""
    async with seic.AsyncClient.from_env(_variables(site)) as client:
        assert (await client.get("/api")).json() == {"client_id": "basic", "user": None}


async def test_a_token_url_needs_no_metadata(site: Site) -> None:
    """The endpoints are variables, too."""
    environ = _variables(
        site, ISSUER="", TOKEN_URL="/oauth/v2/token", REVOCATION_URL="/revoke", INTROSPECTION_URL="/introspect"
    )
    async with seic.AsyncClient.from_env(environ) as client:
        assert (await client.token_info()).active
        await client.revoke()
    assert [call.split()[0] for call in site.server.state.calls] == ["/oauth/v2/token", "/introspect", "/revoke"]


async def test_each_grant(site: Site) -> None:
    """The secret of a grant is a variable like any other."""
    ann = {"client_id": "basic", "user": "ann"}
    password = _variables(site, GRANT="password", USERNAME="ann", PASSWORD=PASSWORD)
    async with seic.AsyncClient.from_env(password) as client:
        assert (await client.get("/api")).json() == ann
        theirs = await client.token()
    refresh = _variables(site, GRANT="refresh_token", REFRESH_TOKEN=theirs.refresh_token or "")
    async with seic.AsyncClient.from_env(refresh) as client:
        assert (await client.get("/api")).json() == ann
        theirs = await client.token()
    exchange = _variables(site, GRANT="token-exchange", SUBJECT_TOKEN=theirs.access_token, AUDIENCE="orders")
    async with seic.AsyncClient.from_env(exchange) as client:
        assert (await client.get("/api")).json() == ann
    saml = "<Assertion><Subject><NameID>ann</NameID></Subject></Assertion>"
    saml_bearer = "urn:ietf:params:oauth:grant-type:saml2-bearer"
    async with seic.AsyncClient.from_env(_variables(site, GRANT=saml_bearer, ASSERTION=saml)) as client:
        assert (await client.get("/api")).json() == ann
    jwt = {"SEIC_CLIENT_ID": "key", "SEIC_CLIENT_AUTH": "private_key_jwt", "SEIC_CLIENT_KEY": _KEY}
    bearer = {**_variables(site, GRANT="jwt-bearer", ASSERTION=assertion_of(site)()), **jwt}
    async with seic.AsyncClient.from_env(bearer) as client:
        assert (await client.get("/api")).json() == {"client_id": "key", "user": "ann"}


def test_a_blocking_client(site: Site) -> None:
    """The portal reads the metadata."""
    with seic.Client.from_env(_variables(site, certificate=True)) as client:
        assert client.get("/api").status_code == 200
        assert client.stats.token_requests == 1


async def test_an_issuer_that_is_down_is_asked_again(site: Site) -> None:
    """Its failure is that of a token request; the next one reads the metadata again."""
    issuer = f"{site.nginx.api_url}/nowhere"
    async with seic.AsyncClient.from_env(_variables(site, ISSUER=issuer)) as client:
        with pytest.raises(seic.ConfigurationError, match="has no metadata"):
            await client.token()
    assert len(site.server.state.calls) == 2  # at both addresses


async def test_a_grant_that_the_issuer_does_not_offer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known with the metadata."""
    environ = _variables(site, GRANT="password", USERNAME="ann", PASSWORD=PASSWORD)
    monkeypatch.setattr("tests._support.authlib_server.GRANTS", ["client_credentials"])
    async with seic.AsyncClient.from_env(environ) as client:
        with pytest.raises(seic.ConfigurationError, match="does not offer password"):
            await client.token()


async def test_the_sandbox_by_its_issuer(sandbox: Sandbox) -> None:
    """The plain provider of the sandbox, with a certificate and without."""
    pair = sandbox.issue_certificate()
    environ = {
        "SEIC_ISSUER": sandbox.api_url,
        "SEIC_API_HOST": sandbox.api_url,
        "SEIC_MTLS_HOST": sandbox.mtls_url,
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET": sandbox.client_secret,
        "SEIC_CA": sandbox.ca_pem.decode(),
    }
    for further in ({}, {"SEIC_CERTIFICATE": (pair.cert_pem + pair.key_pem).decode()}):
        async with seic.AsyncClient.from_env({**environ, **further}) as client:
            assert (await client.get("/v1/investments/accounts")).status_code == 200
            assert (await client.token_info()).active
