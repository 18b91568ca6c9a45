"""An issuer of JWTs in memory: rotating keys, valid and invalid tokens, and a key set."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

URL = "https://idp.example"
JWKS_URL = f"{URL}/jwks"
AUDIENCE = "accounts"
NOW = 1_800_000_000


def encode(part: object) -> str:
    """Encode a part of a token by hand, also an invalid one."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


class Issuer:
    """Sign tokens with `key`, and publish the key set `published`.

    Attributes:
        fetches: The number of requests for the key set.
        reply: The response, or the exception, in place of the key set.
        gate: If set, the response waits for it.
    """

    def __init__(self, key: RSAKey | ECKey | OKPKey | None = None) -> None:
        self.key = key or RSAKey.generate_key(2048, {"kid": "key-1"})
        self.published: list[dict[str, Any]] = [self.public(self.key)]
        self.fetches = 0
        self.reply: httpx.Response | Exception | None = None
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()

    @staticmethod
    def public(key: RSAKey | ECKey | OKPKey, **members: Any) -> dict[str, Any]:
        """Return the public key as it is published."""
        return {**key.as_dict(private=False), **members}

    def rotate(self, kid: str, *, keep: bool = True) -> None:
        """Sign with a new key, and publish it in addition to the old ones or in place of them."""
        self.key = ECKey.generate_key("P-256", {"kid": kid})
        self.published = [*(self.published if keep else []), self.public(self.key)]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a valid token; None removes a claim."""
        claims: dict[str, Any] = {
            "iss": URL,
            "aud": AUDIENCE,
            "sub": "user-1",
            "client_id": "client-1",
            "scope": "read write",
            "iat": NOW - 10,
            "exp": NOW + 300,
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
        """Return a signed token.

        Args:
            header: Changes of its header; None leaves a parameter out.
            key: The signing key, instead of the issuer's own.
            changes: Changes of its claims.
        """
        key = key or self.key
        algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}[key.key_type]
        whole = {"alg": algorithm, "typ": "at+jwt", "kid": self.key.kid, **(header or {})}
        whole = {name: value for name, value in whole.items() if value is not None}
        registry = JWSRegistry(algorithms=[whole["alg"]], strict_check_header=False)
        return jwt.encode(whole, self.claims(**changes), key, registry=registry)

    @property
    def transport(self) -> httpx.MockTransport:
        """The transport for requests of the key set."""
        return httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("GET", JWKS_URL)
        self.fetches += 1
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply or httpx.Response(200, json={"keys": self.published})
