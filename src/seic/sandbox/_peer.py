"""The client certificate of a request, and the rules that bind tokens to it."""

from __future__ import annotations

import asyncio
import functools
import urllib.parse

import attrs
from cryptography import x509

from seic.sandbox._certificates import common_name_of, thumbprint_of
from seic.sandbox._error_responses import certificate_mismatch
from seic.sandbox._token_registry import TokenFamily

#: The header in which a reverse proxy forwards the client certificate, as percent-encoded PEM like nginx's
#: `$ssl_client_escaped_cert`; empty or absent without a certificate. nginx cannot write the header of RFC 9440.
FORWARDED_CERTIFICATE = "X-SSL-Client-Cert"


@attrs.frozen(kw_only=True)
class Peer:
    """A client that has authenticated with a certificate.

    Args:
        common_name: The CN of the subject; None if there is none, or more than one.
        thumbprint: SHA-256 of the certificate, base64url: `x5t#S256` of RFC 8705 §3.1.
    """

    common_name: str | None
    thumbprint: str


def peer_of_transport(transport: asyncio.BaseTransport) -> Peer | None:
    """Return the peer of a TLS connection; None if no certificate was requested."""
    ssl_object = transport.get_extra_info("ssl_object")
    certificate = None if ssl_object is None else ssl_object.getpeercert(binary_form=True)
    return None if certificate is None else _peer(x509.load_der_x509_certificate(certificate))


@functools.lru_cache(maxsize=64)
def peer_of_header(value: str) -> Peer | None:
    """Return the peer that a reverse proxy has verified; None if the proxy forwarded no certificate.

    Raises:
        ValueError: The value is not a percent-encoded PEM certificate.
    """
    if not value:
        return None
    pem = urllib.parse.unquote(value).encode()
    return _peer(x509.load_pem_x509_certificate(pem))


def _peer(certificate: x509.Certificate) -> Peer:
    return Peer(
        common_name=common_name_of(certificate),
        thumbprint=thumbprint_of(certificate),
    )


def check_certificate(peer: Peer | None, *, owner: str) -> None:
    """Check that the client certificate, if there is one, has the user name as its CN.

    Raises:
        ErrorResponse: It has another CN.
    """
    if peer is not None and peer.common_name != owner:
        raise certificate_mismatch(
            "The subject CN of the client certificate is not the user name of the service account."
        )


def binding_problem(family: TokenFamily, peer: Peer | None) -> str | None:
    """Return the reason why a token cannot be used on this host; None if it was issued on it.

    A server-based application uses the mutual-TLS host "for every call, token and API alike" (SEI's developer portal);
    any other application uses the plain host.
    """
    if family.thumbprint is not None and peer is None:
        return "is bound to a client certificate, and this request has none"
    if family.thumbprint is None and peer is not None:
        return "was issued without a client certificate; an application must use one host for token and API requests"
    return None


def check_refresh_binding(family: TokenFamily, peer: Peer | None) -> None:
    """Check that a refresh comes to the host of the login, with the account's certificate.

    Raises:
        ErrorResponse: It comes to the other host, or with another certificate.
    """
    if (problem := binding_problem(family, peer)) is not None:
        raise certificate_mismatch(f"The token {problem}.")
    check_certificate(peer, owner=family.username)
