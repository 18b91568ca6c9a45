"""The signatures of the plain provider's tokens."""

from __future__ import annotations

import base64
import hashlib
import json

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from seic.sandbox import Sandbox
from tests._support.sandbox_client import api_client, basic

#: Of so many signatures, about two have a number that needs padding.
SIGNATURES = 250


def decode(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data: bytes) -> str:
    """Encode base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk_of(client: httpx.Client) -> dict[str, str]:
    """Return the only published key."""
    (jwk,) = client.get("/oauth/v2/keys").json()["keys"]
    assert isinstance(jwk, dict)
    return jwk


def test_published_key_verifies_the_tokens() -> None:
    """Header and signature follow RFC 7515 and RFC 7518 §3.4; short numbers are padded."""
    with Sandbox(client_secret="secret") as sandbox, api_client(sandbox) as client:
        jwk = jwk_of(client)
        x, y = (int.from_bytes(decode(jwk[name]), "big") for name in ("x", "y"))
        public_key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        headers = {"Authorization": basic(sandbox.client_id, sandbox.client_secret)}
        for _ in range(SIGNATURES):
            reply = client.post("/oauth/v2/token", headers=headers, data={"grant_type": "client_credentials"})
            header, claims, signature = reply.json()["access_token"].split(".")
            assert json.loads(decode(header)) == {"alg": "ES256", "typ": "at+jwt", "kid": jwk["kid"]}
            raw = decode(signature)
            assert len(raw) == 64
            r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
            public_key.verify(encode_dss_signature(r, s), f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))


def test_key_id_is_the_thumbprint(api: httpx.Client) -> None:
    """RFC 7638; each sandbox has another key."""
    jwk = jwk_of(api)
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert jwk["kid"] == encode(hashlib.sha256(canonical.encode()).digest())
    assert (jwk["alg"], jwk["use"]) == ("ES256", "sig")
    with Sandbox() as other, api_client(other) as client:
        assert jwk_of(client)["kid"] != jwk["kid"]
