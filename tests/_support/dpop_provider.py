"""A provider and its API in one, which judge each proof of DPoP by cryptography alone."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import attrs
import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

import seic
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


class Provider:
    """A provider and its API in one, strict about proofs.

    Attributes:
        nonces: The nonce that token endpoint and API demand, by path; None demands none.
        proofs: The claims of the proofs that were taken, with the key's thumbprint.
        refused: How often a nonce was asked for.
        token_type: What the provider calls its tokens.
        bodies: The bodies of the API calls that were taken.
        busy: How many calls the API turns away before it takes one.
        moves: Where calls of a path are sent on to, and with which status.
        hops: The method and path of each API call whose proof was good.
    """

    def __init__(self) -> None:
        self.nonces: dict[str, str | None] = {"/oauth/v2/token": None, "/api": None}
        self.proofs: list[dict[str, Any]] = []
        self.refused = 0
        self.token_type = "DPoP"
        self.access_token = "token-1"
        self.bodies: list[bytes] = []
        self.dead = False
        self.busy = 0
        self.moves: dict[str, tuple[int, str]] = {}
        self.hops: list[tuple[str, str]] = []
        self._seen: set[str] = set()

    def client(self, *, follow_redirects: bool = False, **changes: Any) -> seic.AsyncClient:
        """Return a client of both."""
        transport = httpx.MockTransport(self.answer)
        return seic.AsyncClient(self.config(**changes), transport=transport, follow_redirects=follow_redirects)

    def config(self, **changes: Any) -> seic.Config:
        """Settings that reach it."""
        settings: dict[str, Any] = {
            "provider": attrs.evolve(seic.OAUTH2),
            "hosts": seic.Hosts(api=HOST),
            "client_id": "c",
            "client_secret": "client-secret-1",
            "grant": seic.ClientCredentials(),
            "dpop": seic.DPoP(),
        }
        return seic.Config(**{**settings, **changes})

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        await request.aread()
        return self.answer_now(request)

    def answer_now(self, request: httpx.Request) -> httpx.Response:
        """Answer one call whose body is in memory or can be read."""
        request.read()
        is_token_call = request.url.path == "/oauth/v2/token"
        claims = self._judge(request, access_token=None if is_token_call else self.access_token)
        if not is_token_call:
            self.hops.append((request.method, request.url.path))
        if request.url.path in self.moves or (self.busy and not is_token_call):
            return self._put_off(request.url.path)
        nonce = self.nonces[request.url.path]
        headers = {} if nonce is None else {"DPoP-Nonce": nonce}
        if nonce is not None and claims.get("nonce") != nonce:
            self.refused += 1
            if is_token_call:
                return httpx.Response(400, headers=headers, json={"error": "use_dpop_nonce"})
            challenge = 'DPoP error="use_dpop_nonce", error_description="nonce"'
            return httpx.Response(401, headers={**headers, "WWW-Authenticate": challenge})
        self.proofs.append(claims)
        if is_token_call:
            token = {"access_token": self.access_token, "token_type": self.token_type, "expires_in": 3600}
            return httpx.Response(200, headers=headers, json=token)
        if self.dead:
            self.dead, self.access_token = False, "token-2"
            return httpx.Response(401, headers={**headers, "WWW-Authenticate": 'DPoP error="invalid_token"'})
        self.bodies.append(request.content)
        return httpx.Response(200, headers=headers)

    def _put_off(self, path: str) -> httpx.Response:
        if path in self.moves:
            status, location = self.moves[path]
            return httpx.Response(status, headers={"Location": location})
        self.busy -= 1
        return httpx.Response(503)

    def _judge(self, request: httpx.Request, *, access_token: str | None) -> dict[str, Any]:
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
