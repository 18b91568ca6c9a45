"""The data of an authorization server for Authlib: clients, tokens, and the certificate that nginx verified."""

# mypy: disable-error-code="misc"
# Authlib has no types, so classes derived from its own have none either.

from __future__ import annotations

import base64
import hashlib
import ssl
import time
from typing import Any
from urllib.parse import unquote

import attrs
from authlib.oauth2 import rfc6749  # type: ignore[import-untyped]  # it has no types
from cryptography import x509
from flask import request
from joserfc.jwk import OctKey

METHODS = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "client_secret_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
GRANTS = {
    "authorization_code",
    "client_credentials",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:saml2-bearer",
}
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
REDIRECT = "https://app.example/back"
PASSWORD = "pass+word with %"


@attrs.define(kw_only=True)
class App(rfc6749.ClientMixin):
    """A registered client: its id, its authentication method and its credential."""

    client_id: str
    method: str
    secret: str = ""
    public_key: bytes = b""
    subject: str = ""
    thumbprint: str = ""

    def get_client_id(self) -> str:
        """Return its id."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """Return its redirect URI."""
        return REDIRECT

    def get_allowed_scope(self, scope: str) -> str:
        """Return the requested scope."""
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Accept the registered URI only."""
        return redirect_uri == REDIRECT

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare the secrets."""
        return bool(self.secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Accept the registered method only, at every endpoint."""
        return method in (self.method, "client_assertion_jwt" if self.method.endswith("_jwt") else "")

    def check_response_type(self, response_type: str) -> bool:
        """Accept codes."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Accept every grant."""
        return grant_type in GRANTS


@attrs.define(eq=False)
class Issued(rfc6749.TokenMixin):
    """An issued token."""

    client: App
    user: Any
    reply: dict[str, Any]
    issued_at: float = attrs.field(factory=time.time)
    revoked: bool = False

    def check_client(self, client: App) -> bool:
        """Whether it belongs to the client."""
        return client.client_id == self.client.client_id

    def get_scope(self) -> str:
        """Return its scope."""
        return str(self.reply.get("scope", ""))

    def get_expires_in(self) -> int:
        """Return its lifetime in seconds."""
        return int(self.reply["expires_in"])

    def is_expired(self) -> bool:
        """Whether it has expired."""
        return time.time() > self.issued_at + self.get_expires_in()

    def is_revoked(self) -> bool:
        """Whether it was revoked."""
        return self.revoked

    def get_user(self) -> Any:
        """Return its user."""
        return self.user

    def get_client(self) -> App:
        """Return its client."""
        return self.client


@attrs.define(eq=False)
class State:
    """The server's data; `calls` has path and certificate subject of each request.

    The issuer and the token endpoint have the paths of the provider that the server plays.
    """

    apps: dict[str, App] = attrs.field(factory=dict)
    issued: list[Issued] = attrs.field(factory=list)
    codes: dict[str, Any] = attrs.field(factory=dict)
    devices: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    approved: set[str] = attrs.field(factory=set)
    used_jtis: set[str] = attrs.field(factory=set)
    calls: list[str] = attrs.field(factory=list)
    api_url: str = ""
    mtls_url: str = ""
    issuer_path: str = ""
    token_path: str = "/oauth/v2/token"

    @property
    def issuer(self) -> str:
        """The issuer, as a client must write it."""
        return f"{self.api_url}{self.issuer_path}"

    @property
    def audiences(self) -> list[str]:
        """The issuer."""
        return [self.issuer, f"{self.api_url}/oauth/v2/token", f"{self.mtls_url}/oauth/v2/token"]

    def find(self, secret: str) -> Issued | None:
        """Return the token with this access or refresh token."""
        halves = ("access_token", "refresh_token")
        return next((each for each in self.issued if secret in map(each.reply.get, halves)), None)


def presented() -> x509.Certificate | None:
    """Return the certificate that nginx verified, if any."""
    pem = unquote(request.headers.get("X-SSL-Client-Cert", ""))
    return x509.load_pem_x509_certificate(pem.encode()) if pem else None


def x5t(certificate: x509.Certificate) -> str:
    """Return the thumbprint of RFC 8705 §3.1, computed by the standard library."""
    from cryptography.hazmat.primitives.serialization import Encoding

    der = ssl.PEM_cert_to_DER_cert(certificate.public_bytes(Encoding.PEM).decode())
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


SIGNING_KEY = OctKey.generate_key(256)
