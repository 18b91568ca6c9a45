"""The thumbprint of the client certificate that a TLS-terminating proxy forwards in a header.

The header alone proves nothing: the proxy has to verify the certificate and to set the header on every request, so that
clients cannot send their own, and clients must not reach the application without the proxy. A malformed or repeated
header is an error; it is never ignored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Protocol
from urllib.parse import unquote_to_bytes

import attrs
from starlette.datastructures import Headers

# The base64 of the DER in a PEM block (RFC 7468 §3).
_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
# A byte sequence of structured fields (RFC 8941 §3.3.5).
_BYTE_SEQUENCE = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
# One key=value of Envoy's header; a quoted value may hold the separators.
_ENVOY_PAIR = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^";,]*)(;|,|$)')
# Keys that identify the certificate; the others may be repeated.
_ONCE = frozenset({"hash", "cert", "chain"})
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class MalformedCertificate(ValueError):
    """The header has no certificate, or several."""


class ForwardedCertificate(Protocol):
    """Reads the thumbprint of the forwarded certificate."""

    def thumbprint(self, headers: Headers) -> str | None:
        """Return the thumbprint in the form of `x5t#S256` (RFC 8705 §3.1), or None without a client certificate.

        Raises:
            MalformedCertificate: The header has no certificate, or several.
        """
        ...


@attrs.frozen
class ClientCertHeader:
    """`Client-Cert: :MIIB…:` (RFC 9440), the DER encoding as a structured field."""

    name: str = "Client-Cert"

    def thumbprint(self, headers: Headers) -> str | None:
        """Return the thumbprint, or None without the header."""
        text = _only(headers, self.name)
        if text is None:
            return None
        match = _BYTE_SEQUENCE.fullmatch(text.strip())
        if match is None:
            raise MalformedCertificate(f"{self.name} is not a byte sequence (RFC 8941 §3.3.5)")
        return _digest(_decode(match[1]))


@attrs.frozen
class NginxHeader:
    """`proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;`: percent-encoded PEM, or empty."""

    name: str = "X-SSL-Client-Cert"

    def thumbprint(self, headers: Headers) -> str | None:
        """Return the thumbprint, or None if the header is empty or missing."""
        text = _only(headers, self.name)
        return _digest_pem(text, self.name) if text else None


@attrs.frozen
class EnvoyHeader:
    """`x-forwarded-client-cert` with `forward_client_cert_details: SANITIZE_SET`: `Hash=…` or `Cert="…"`.

    Other settings of Envoy append an element for each hop; such a header is an error, because its first element may
    come from the client.
    """

    name: str = "X-Forwarded-Client-Cert"

    def thumbprint(self, headers: Headers) -> str | None:
        """Return the thumbprint, or None without the header."""
        text = _only(headers, self.name)
        if not text:
            return None
        pairs = self._pairs(text)
        if (encoded := pairs.get("hash")) is not None:
            if _SHA256_HEX.fullmatch(encoded) is None:
                raise MalformedCertificate(f"Hash in {self.name} is not a SHA-256 digest in hex")
            return _encode(bytes.fromhex(encoded))
        if (pem := pairs.get("cert")) is not None:
            return _digest_pem(pem, self.name)
        raise MalformedCertificate(f"{self.name} has neither Hash nor Cert; set cert: true in Envoy")

    def _pairs(self, text: str) -> dict[str, str]:
        pairs: dict[str, str] = {}
        position = 0
        while position < len(text):
            match = _ENVOY_PAIR.match(text, position)
            if match is None or match[1].lower() in pairs.keys() & _ONCE:
                raise MalformedCertificate(f"{self.name} is malformed")
            if match[3] == ",":
                raise MalformedCertificate(f"{self.name} has several elements")
            pairs[match[1].lower()] = match[2].strip('"')
            position = match.end()
        return pairs


def _only(headers: Headers, name: str) -> str | None:
    values = headers.getlist(name)
    if len(values) > 1:
        raise MalformedCertificate(f"{name} was sent {len(values)} times")
    return values[0] if values else None


def _digest_pem(escaped: str, name: str) -> str:
    match = _PEM.fullmatch(unquote_to_bytes(escaped))
    if match is None:
        raise MalformedCertificate(f"{name} is not one certificate in PEM")
    return _digest(_decode(b"".join(match[1].split()).decode("ascii")))


def _decode(text: str) -> bytes:
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise MalformedCertificate("the certificate is not Base64") from None
    if not der:
        raise MalformedCertificate("the certificate is empty")
    return der


def _digest(der: bytes) -> str:
    return _encode(hashlib.sha256(der).digest())


def _encode(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
