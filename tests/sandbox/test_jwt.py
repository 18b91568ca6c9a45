from __future__ import annotations

import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from seic.sandbox._dialects.jwt_signer import JwtSigner, encode


def decode(text: str) -> bytes:
    """Undo base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_token_verifies_with_the_public_key() -> None:
    """Signature, header and claims are those of RFC 7515 and RFC 7518 §3.4, with short numbers padded."""
    signer = JwtSigner()
    jwk = signer.public_jwk
    x, y = (int.from_bytes(decode(jwk[name]), "big") for name in ("x", "y"))
    public_key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    for number in range(300):
        header, claims, signature = signer.sign({"n": number}, kind="at+jwt").split(".")
        assert json.loads(decode(header)) == {"alg": "ES256", "typ": "at+jwt", "kid": jwk["kid"]}
        assert json.loads(decode(claims)) == {"n": number}
        raw = decode(signature)
        assert len(raw) == 64
        r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        public_key.verify(encode_dss_signature(r, s), f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))


def test_key_is_named_by_its_thumbprint() -> None:
    """RFC 7638, so that nobody takes one key for another."""
    jwk = JwtSigner().public_jwk
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert jwk["kid"] == encode(hashlib.sha256(canonical.encode()).digest())
    assert (jwk["alg"], jwk["use"]) == ("ES256", "sig")
    assert JwtSigner().public_jwk["kid"] != jwk["kid"]
