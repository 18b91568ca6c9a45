"""The plain provider and RFC 8705 against Authlib's server, behind an nginx that terminates mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import seic
from tests._support.authlib_models import PASSWORD, REDIRECT
from tests._support.authlib_site import SECRET, Site, assertion_of, open_site
from tests._support.jwts import EC_KEY, pem


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Run both."""
    with open_site(tmp_path, monkeypatch) as opened:
        yield opened


_METHODS: list[Any] = [
    pytest.param("basic", seic.ClientSecretBasic(), id="client_secret_basic"),
    pytest.param("post", seic.ClientSecretPost(), id="client_secret_post"),
    pytest.param("key", seic.PrivateKeyJwt(key=pem(EC_KEY)), id="private_key_jwt"),
    pytest.param("hmac", seic.ClientSecretJwt(), id="client_secret_jwt"),
    pytest.param("tls", seic.TlsClientAuth(), id="tls_client_auth"),
    pytest.param("self-signed", seic.SelfSignedTlsClientAuth(), id="self_signed_tls_client_auth"),
]


_WAYS: list[Any] = [
    pytest.param(*row.values, certificate, id=f"{row.id}, {'mutual TLS' if certificate else 'plain host'}")
    for row in _METHODS
    for certificate in (False, True)
    # These two authenticate with the certificate only.
    if certificate or not isinstance(row.values[1], seic.TlsClientAuth)
]


@pytest.mark.parametrize(("client_id", "method", "certificate"), _WAYS)
async def test_client_authentication(site: Site, client_id: str, method: Any, certificate: bool) -> None:
    """Each method works for tokens, API calls, introspection and revocation, and tokens are bound."""
    async with seic.AsyncClient(site.config(method, client_id=client_id, certificate=certificate)) as client:
        reply = await client.get("/api")
        assert reply.json() == {"client_id": client_id, "user": None}
        info = await client.token_info()
        assert (info.active, info.scope, info.client_id) == (True, "read", client_id)
        assert ("cnf" in info.extra) is certificate
        await client.revoke()
        assert (await client.get("/api")).status_code == 200
        assert client.stats.token_requests == 2
    name = "CN=svc-user" if certificate else "-"
    assert site.server.state.calls == [
        f"{path} {name}" for path in ("/oauth/v2/token", "/api", "/introspect", "/revoke", "/oauth/v2/token", "/api")
    ]


async def test_another_certificate_is_refused(site: Site) -> None:
    """A certificate with another name does not authenticate, although its signature is valid."""
    issued = site.authority.issue("somebody-else")
    other = seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)
    config = attrs.evolve(site.config(seic.TlsClientAuth(), client_id="tls", certificate=True), certificate=other)
    async with seic.AsyncClient(config) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()
    assert caught.value.code == "invalid_client"


async def test_a_bound_token_is_refused_with_another_certificate(site: Site) -> None:
    """The server refuses the token from a connection without its certificate (RFC 8705 §3)."""
    async with seic.AsyncClient(site.config(certificate=True)) as client:
        token = await client.token()
        assert (await client.get("/api")).status_code == 200
    context = seic.create_ssl_context(ca=site.ca)
    async with httpx.AsyncClient(verify=context, base_url=site.nginx.api_url) as thief:
        reply = await thief.get("/api", headers={"Authorization": f"Bearer {token.access_token}"})
    assert reply.status_code == 401


@pytest.mark.parametrize(("client_id", "method"), _METHODS)
async def test_discovery(site: Site, client_id: str, method: Any) -> None:
    """With a certificate, the issuer's metadata leads to the mutual-TLS aliases."""
    provider = await site.discover(client_authentication=method)
    assert provider.certificate_bound_tokens
    config = site.config(client_id=client_id, provider=provider, certificate=True)
    assert config.token_url == f"{site.nginx.mtls_url}/oauth/v2/token"
    async with seic.AsyncClient(config) as client:
        assert (await client.get("/api")).status_code == 200
        await client.revoke()
    assert [line for line in site.server.state.calls if line.startswith("/revoke")] == ["/revoke CN=svc-user"]


async def test_a_discovered_provider_without_a_certificate(site: Site) -> None:
    """The normal endpoints are used."""
    provider = await site.discover()
    assert isinstance(provider.client_authentication, seic.ClientSecretBasic)
    async with seic.AsyncClient(site.config(provider=provider)) as client:
        assert (await client.get("/api")).status_code == 200


async def test_the_password_grant_and_its_refresh_tokens(site: Site) -> None:
    """The server rotates refresh tokens; after it has revoked the family, the password is used."""
    grant = seic.Password(username="ann", password=lambda: PASSWORD, scope="read")
    async with seic.AsyncClient(site.config(grant=grant)) as client:
        first = await client.token()
        second = await client.token(force=True)
        assert first.refresh_token != second.refresh_token
        assert (await client.get("/api")).json()["user"] == "ann"
        for issued in site.server.state.issued:
            issued.revoked = True
        assert (await client.get("/api")).status_code == 200
        assert client.stats.replays == 1


async def test_the_code_flow(site: Site) -> None:
    """A login with PKCE: its code is used once, then its refresh tokens."""
    provider = site.provider(seic.ClientIdOnly())
    hosts = seic.Hosts(api=site.nginx.api_url)
    login = seic.Login.begin(provider=provider, client_id="public", redirect_uri=REDIRECT, hosts=hosts, scope="read")
    async with httpx.AsyncClient(verify=seic.create_ssl_context(ca=site.ca)) as browser:
        callback = (await browser.get(login.url)).headers["Location"]
    grant = login.finish(callback)
    config = site.config(provider=provider, client_id="public", client_secret=None, grant=grant)
    async with seic.AsyncClient(config) as client:
        assert (await client.get("/api")).json() == {"client_id": "public", "user": "ann"}
        await client.token(force=True)
        assert (await client.get("/api")).status_code == 200
    thief = attrs.evolve(config, grant=attrs.evolve(grant, subject="thief"))
    async with seic.AsyncClient(thief) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()
    assert (caught.value.code, caught.value.status) == ("invalid_grant", 400)


async def test_the_refresh_token_grant(site: Site) -> None:
    """A refresh token from elsewhere is used once, and then each of its successors."""
    async with seic.AsyncClient(site.config(grant=seic.Password(username="ann", password=PASSWORD))) as client:
        theirs = await client.token()
    config = site.config(grant=seic.RefreshToken(refresh_token=theirs.refresh_token or ""))
    async with seic.AsyncClient(config) as client:
        assert (await client.get("/api")).json() == {"client_id": "basic", "user": "ann"}
        first = await client.token()
        assert first.refresh_token not in (None, theirs.refresh_token)
        second = await client.token(force=True)
        assert second.refresh_token not in (None, first.refresh_token)
        assert client.stats.token_requests == 2


async def test_the_jwt_bearer_grant(site: Site) -> None:
    """A callable returns a new assertion for each token."""
    grant = seic.JwtBearer(assertion=assertion_of(site), subject="ann")
    config = site.config(seic.PrivateKeyJwt(key=pem(EC_KEY)), client_id="key", grant=grant)
    async with seic.AsyncClient(config) as client:
        assert (await client.get("/api")).json() == {"client_id": "key", "user": "ann"}


async def test_token_exchange(site: Site) -> None:
    """The token of a user is exchanged for a token for another API (RFC 8693), also on renewal."""
    password = seic.Password(username="ann", password=PASSWORD)
    async with seic.AsyncClient(site.config(grant=password)) as client:
        theirs = await client.token()
    grant = seic.TokenExchange(subject_token=lambda: theirs.access_token, audience="orders", subject="ann")
    async with seic.AsyncClient(site.config(grant=grant)) as client:
        first = await client.token()
        assert first.extra["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        assert (await client.get("/api")).json() == {"client_id": "basic", "user": "ann"}
        assert (await client.token(force=True)).access_token != first.access_token


async def test_the_saml_bearer_grant(site: Site) -> None:
    """The assertion has the format of RFC 7522."""
    assertion = b"<Assertion><Subject><NameID>ann\xc3\xbf?></NameID></Subject></Assertion>"
    async with seic.AsyncClient(site.config(grant=seic.SamlBearer(assertion=assertion))) as client:
        assert (await client.get("/api")).json() == {"client_id": "basic", "user": "ann\xff?>"}


async def test_the_device_login(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polling continues until the user confirms; the token works for the API."""

    async def go_on(_seconds: float) -> None:
        pass

    monkeypatch.setattr("anyio.sleep", go_on)
    config = site.config(
        seic.ClientIdOnly(), client_id="public", client_secret=None, grant=seic.DeviceCode(scope="read")
    )
    login = await seic.DeviceLogin.begin(config)
    assert login.verification_uri == f"{site.nginx.api_url}/activate"
    site.server.state.approved.add(login.user_code)
    async with seic.AsyncClient(attrs.evolve(config, grant=await login.finish())) as client:
        assert (await client.get("/api")).json() == {"client_id": "public", "user": "ann"}


def test_a_blocking_client(site: Site) -> None:
    """Token, call, introspection and revocation of the blocking client, over mutual TLS."""
    config = site.config(seic.TlsClientAuth(), client_id="tls", certificate=True)
    with seic.Client(config) as client:
        assert client.get("/api").status_code == 200
        assert client.token_info().active
        client.revoke()
    assert site.server.state.issued[0].revoked


async def test_wrong_credentials(site: Site) -> None:
    """The error has the server's message, and a hint about `form_encoded`, since the secret has reserved characters."""
    config = site.config(seic.ClientSecretBasic(form_encoded=False))
    async with seic.AsyncClient(config) as client:
        with pytest.raises(seic.TokenRequestRefused, match="form_encoded=True") as caught:
            await client.token()
    assert caught.value.code == "invalid_client"
    assert SECRET not in str(caught.value)
