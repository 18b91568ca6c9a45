"""Who is at the other end: the client certificate, from the connection's TLS or from a reverse proxy's header."""

from __future__ import annotations

import asyncio
import base64
import functools
import urllib.parse

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

#: Where a reverse proxy puts the client certificate: PEM, percent-encoded, as nginx's `$ssl_client_escaped_cert`. Empty
#: or absent means that there was none. RFC 9440 has a standard header, `Client-Cert`, which nginx cannot write.
FORWARDED_CERTIFICATE = "X-SSL-Client-Cert"


@attrs.frozen(kw_only=True)
class Peer:
    """A client that proved its certificate.

    Args:
        common_name: The subject's CN; None where there is none, or more than one.
        thumbprint: SHA-256 of the certificate, base64url: what RFC 8705 §3.1 calls `x5t#S256`.
    """

    common_name: str | None
    thumbprint: str


def peer_of_transport(transport: asyncio.BaseTransport) -> Peer | None:
    """Return who finished the TLS handshake, or None where no certificate was asked for."""
    ssl_object = transport.get_extra_info("ssl_object")
    certificate = None if ssl_object is None else ssl_object.getpeercert(binary_form=True)
    return None if certificate is None else _peer(x509.load_der_x509_certificate(certificate))


@functools.lru_cache(maxsize=64)
def peer_of_header(value: str) -> Peer | None:
    """Return whom the proxy vouches for, or None where it forwarded no certificate.

    Raises:
        ValueError: The value is no percent-encoded PEM certificate.
    """
    if not value:
        return None
    pem = urllib.parse.unquote(value).encode()
    return _peer(x509.load_pem_x509_certificate(pem))


def _peer(certificate: x509.Certificate) -> Peer:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Peer(
        common_name=str(names[0].value) if len(names) == 1 else None,
        thumbprint=base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode(),
    )
