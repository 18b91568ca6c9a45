"""A provider with DPoP (RFC 9449) in memory: it and its API verify each proof by cryptography alone."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

import seic
from tests._support.fakes.server import FakeServer
from tests._support.jwts import parts

HOST = "https://idp.example"
TOKEN_URL = f"{HOST}/oauth/v2/token"


def number(text: str) -> int:
    """An unsigned number in base64url."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def thumbprint_of(jwk: dict[str, str]) -> str:
    """RFC 7638."""
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class FakeDPoPProvider(FakeServer):
    """A provider and its API, both strict about proofs.

    Attributes:
        nonces: The nonce that the token endpoint and the API require, by path; None requires none.
        proofs: The claims of the accepted proofs, with the thumbprint of the key.
        refused: The number of requests for a nonce.
        token_type: The type of the tokens.
        bodies: The bodies of the accepted API requests.
        busy: The number of API requests that are refused with 503.
        hops: Method and path of each API request with a valid proof.
    """

    challenge = 'DPoP error="invalid_token"'

    def __init__(self) -> None:
        super().__init__()
        self.nonces: dict[str, str | None] = {self.token_path: None, "/api": None}
        self.proofs: list[dict[str, Any]] = []
        self.refused = 0
        self.token_type = "DPoP"
        self.bodies: list[bytes] = []
        self.busy = 0
        self.hops: list[tuple[str, str]] = []
        self._seen: set[str] = set()

    def settings(self) -> dict[str, Any]:
        """Return the arguments of a configuration that reaches this server."""
        return {
            "provider": seic.OAUTH2,
            "hosts": seic.Hosts(api=HOST),
            "client_id": "c",
            "client_secret": "client-secret-1",
            "grant": seic.ClientCredentials(),
            "dpop": seic.DPoP(),
        }

    def client(self, *, follow_redirects: bool = False, **changes: Any) -> seic.AsyncClient:
        """Return a client whose configuration has changes."""
        return seic.AsyncClient(self.config(**changes), transport=self, follow_redirects=follow_redirects)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Verify the proof, and answer the request."""
        path, is_token_request = request.url.path, self.is_token_request(request)
        claims = self._verify(request, access_token=None if is_token_request else f"token-{self.tokens}")
        if not is_token_request:
            self.hops.append((request.method, path))
            if (redirect := self.redirect(path)) is not None:
                return redirect
            if self.busy:
                self.busy -= 1
                return httpx.Response(503)
        nonce = self.nonces[path]
        if nonce is not None and claims.get("nonce") != nonce:
            self.refused += 1
            reply = self._require_nonce(is_token_request=is_token_request)
        else:
            self.proofs.append(claims)
            reply = super().answer(request)
            if not is_token_request and reply.is_success:
                self.bodies.append(request.content)
        if nonce is not None:
            reply.headers["DPoP-Nonce"] = nonce
        return reply

    def answer_token(self, form: dict[str, str]) -> httpx.Response:
        """Issue a token."""
        return self.issue(token_type=self.token_type)

    @staticmethod
    def _require_nonce(*, is_token_request: bool) -> httpx.Response:
        if is_token_request:
            return httpx.Response(400, json={"error": "use_dpop_nonce"})
        challenge = 'DPoP error="use_dpop_nonce", error_description="nonce"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    def _verify(self, request: httpx.Request, *, access_token: str | None) -> dict[str, Any]:
        header, claims, signature, signed = parts(request.headers["DPoP"])
        jwk = header.pop("jwk")
        assert header == {"typ": "dpop+jwt", "alg": "ES256"}
        assert set(jwk) == {"kty", "crv", "x", "y"}
        key = ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        key.verify(der, signed, ec.ECDSA(SHA256()))
        assert claims["htm"] == request.method
        assert claims["htu"] == str(request.url.copy_with(query=None))
        assert claims["jti"] not in self._seen
        self._seen.add(claims["jti"])
        if access_token is None:
            assert "ath" not in claims
        else:
            scheme, _, sent = request.headers["Authorization"].partition(" ")
            assert scheme == "DPoP"
            digest = hashlib.sha256(sent.encode()).digest()
            assert claims["ath"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return {**claims, "jkt": thumbprint_of(jwk)}
