"""Authlib's server behind an nginx that terminates mutual TLS, with a registered client of each kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

import seic
from seic.sandbox import CertificateAuthority, IssuedCertificate
from tests._support.authlib_server import AuthlibServer
from tests._support.jwts import EC_KEY, pem
from tests._support.nginx import Nginx

# Without form encoding, Authlib would decode an A in it.
SECRET = "a+secret with %41 that is long enough"
PUBLIC_KEY = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@attrs.frozen(kw_only=True)
class Site:
    """The server, and the nginx in front of it."""

    server: AuthlibServer
    nginx: Nginx
    authority: CertificateAuthority
    issued: IssuedCertificate
    certificate: seic.ClientCertificate
    ca: bytes

    def provider(self, method: Any = None, **changes: Any) -> seic.Provider:
        """The plain provider with the endpoints of this server; paths are relative to the selected host."""
        return attrs.evolve(
            seic.OAUTH2,
            client_authentication=method,
            authorize_url="/authorize",
            revocation_url="/revoke",
            introspection_url="/introspect",
            device_authorization_url="/device",
            certificate_bound_tokens=True,
            **changes,
        )

    def config(self, method: Any = None, *, certificate: bool = False, **changes: Any) -> seic.Config:
        """Return a configuration of one of its clients."""
        settings: dict[str, Any] = {
            "provider": self.provider(method),
            "hosts": seic.Hosts(api=self.nginx.api_url, mtls=self.nginx.mtls_url),
            "client_id": "basic",
            "client_secret": SECRET,
            "grant": seic.ClientCredentials(scope="read"),
            "certificate": self.certificate if certificate else None,
            "ca": self.ca,
        }
        return seic.Config(**{**settings, **changes})

    async def discover(self, **options: Any) -> seic.Provider:
        """Return the provider from its metadata."""
        return await seic.discover(self.nginx.api_url, ca=self.ca, max_age=0, **options)


@contextmanager
def open_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Run both, with a registered client of each kind."""
    # nginx terminates TLS.
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    authority = CertificateAuthority("Clients CA")
    issued = authority.issue("svc-user")
    certificate = seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)
    with (
        AuthlibServer() as server,
        Nginx(folder / "nginx", upstream=server.url, authority=authority) as nginx,
    ):
        server.state.api_url, server.state.mtls_url = nginx.api_url, nginx.mtls_url
        server.register("basic", "client_secret_basic", secret=SECRET)
        server.register("post", "client_secret_post", secret=SECRET)
        server.register("key", "private_key_jwt", public_key=PUBLIC_KEY)
        server.register("hmac", "client_secret_jwt", secret=SECRET)
        server.register("tls", "tls_client_auth", subject="CN=svc-user")
        server.register("self-signed", "self_signed_tls_client_auth", thumbprint=certificate.x5t_s256)
        server.register("public", "none")
        yield Site(
            server=server,
            nginx=nginx,
            authority=authority,
            issued=issued,
            certificate=certificate,
            ca=authority.cert_pem,
        )


def assertion_of(site: Site) -> Callable[[], str]:
    """Return a function that signs a JWT for the client `key`, about the user ann."""

    def make() -> str:
        now = int(time.time())
        claims = {"iss": "key", "sub": "ann", "aud": site.nginx.api_url, "iat": now, "exp": now + 60}
        return jwt.encode({"alg": "ES256"}, claims, ECKey.import_key(pem(EC_KEY)))

    return make
