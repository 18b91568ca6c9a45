"""Signed JWTs (RFC 7519) with ES256 (RFC 7518 §3.4), and the JWK that verifies them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# The bytes of a coordinate of P-256; a signature has two numbers of this size.
_COORDINATE = 32


class JwtSigner:
    """Signs with a new key."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        point = {"crv": "P-256", "kty": "EC", "x": _encode_number(numbers.x), "y": _encode_number(numbers.y)}
        # RFC 7638: the members in alphabetical order, without blanks.
        digest = hashes.Hash(hashes.SHA256())
        digest.update(json.dumps(point, separators=(",", ":"), sort_keys=True).encode())
        self._key_id = _encode(digest.finalize())
        self.public_jwk: Mapping[str, str] = {**point, "alg": "ES256", "use": "sig", "kid": self._key_id}

    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        """Return a signed token.

        Args:
            claims: The payload.
            typ: The `typ` of the header.
        """
        header = {"alg": "ES256", "typ": typ, "kid": self._key_id}
        signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        # JOSE concatenates both numbers; cryptography returns DER.
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(_bytes(r) + _bytes(s))}"


def _bytes(number: int) -> bytes:
    return number.to_bytes(_COORDINATE, "big")


def _encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_number(number: int) -> str:
    return _encode(_bytes(number))
