"""Signs the plain provider's access tokens: JWTs (RFC 7519) with ES256 (RFC 7518 §3.4). Knows no HTTP and no claims."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# P-256 has coordinates of so many bytes, and signatures of two such numbers.
_COORDINATE = 32


class JwtSigner:
    """Signs with a key of its own, made anew each time."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        point = {"crv": "P-256", "kty": "EC", "x": _encode_number(numbers.x), "y": _encode_number(numbers.y)}
        # RFC 7638: the members in alphabetical order, without blanks, are what the thumbprint covers.
        digest = hashes.Hash(hashes.SHA256())
        digest.update(json.dumps(point, separators=(",", ":"), sort_keys=True).encode())
        self._key_id = encode(digest.finalize())
        self.public_jwk: Mapping[str, str] = {**point, "alg": "ES256", "use": "sig", "kid": self._key_id}

    def sign(self, claims: Mapping[str, Any], *, kind: str) -> str:
        """Return a signed token.

        Args:
            claims: What it says.
            kind: The header's `typ`.
        """
        header = {"alg": "ES256", "typ": kind, "kid": self._key_id}
        signed = ".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        # JOSE wants both numbers side by side, not in DER.
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encode(r.to_bytes(_COORDINATE, 'big') + s.to_bytes(_COORDINATE, 'big'))}"


def encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_number(number: int) -> str:
    return encode(number.to_bytes(_COORDINATE, "big"))
