"""`MockDPoP`: the verification of DPoP proofs (RFC 9449), by cryptography alone."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

_REQUIREMENT = "the DPoP proof must have {} (RFC 9449 §4.3)"


class MockDPoP:
    """Verifies the proofs of requests, and remembers which token belongs to which key.

    Attributes:
        proofs: The claims of the accepted proofs, each with `jkt`, the thumbprint of its key.
        nonces: The nonces that requests have to prove, by path.
        challenges: The number of requests that had to be sent again with a nonce.
    """

    def __init__(self) -> None:
        self.proofs: list[dict[str, Any]] = []
        self.nonces: dict[str, str] = {}
        self.challenges = 0
        self._seen: set[str] = set()
        self._keys: dict[str, str] = {}

    def verify(self, request: Any, access_token: str | None) -> bool:
        """Return whether a proof has the nonce that its path requires.

        Args:
            request: The request.
            access_token: The token of the proof; None for a token request.

        Raises:
            AssertionError: The proof is invalid.
        """
        claims = self._claims(request, access_token)
        nonce = self.nonces.get(request.url.path)
        if nonce is not None and claims.get("nonce") != nonce:
            self.challenges += 1
            return False
        self.proofs.append(claims)
        return True

    def bind(self, access_token: str) -> None:
        """Bind a token to the key of the last accepted proof."""
        self._keys[access_token] = self.proofs[-1]["jkt"]

    def is_bound(self, access_token: str, *, has_proof: bool) -> bool:
        """Return whether a token may be used: with the last accepted proof, if it is bound to a key."""
        key = self._keys.get(access_token)
        return key is None or (has_proof and self.proofs[-1]["jkt"] == key)

    def _claims(self, request: Any, access_token: str | None) -> dict[str, Any]:
        signed, _, signature_part = request.headers["DPoP"].rpartition(".")
        header, claims = (json.loads(_decode(part)) for part in signed.split("."))
        signature, jwk = _decode(signature_part), header.pop("jwk")
        _expect(header == {"typ": "dpop+jwt", "alg": "ES256"}, "the header of a JWS with ES256")
        _expect(set(jwk) == {"kty", "crv", "x", "y"}, "a public key of the curve P-256, and no private part")
        x, y = (int.from_bytes(_decode(jwk[name])) for name in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        try:
            key.verify(der, signed.encode(), ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise AssertionError(_REQUIREMENT.format("a valid signature")) from None
        _expect(claims["htm"] == request.method, "the method in `htm`")
        _expect(claims["htu"] == str(request.url.copy_with(query=None)), "the URL without its query in `htu`")
        _expect(claims["jti"] not in self._seen, "a `jti` of its own")
        self._seen.add(claims["jti"])
        if access_token is None:
            _expect("ath" not in claims, "no `ath` in a token request")
        else:
            is_scheme = request.headers["Authorization"].startswith("DPoP ")
            _expect(is_scheme, "the scheme DPoP in the header Authorization")
            _expect(claims["ath"] == _digest(access_token.encode()), "the digest of the token in `ath`")
        members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        return {**claims, "jkt": _digest(members.encode())}


def _expect(condition: object, requirement: str) -> None:
    if not condition:
        raise AssertionError(_REQUIREMENT.format(requirement))


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
