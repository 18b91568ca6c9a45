"""Real certificates for tests that need any valid one, issued once per run."""

from __future__ import annotations

import functools

from seic import ClientCertificate
from seic.sandbox import CertificateAuthority, IssuedCertificate

USERNAME = "svc-user"


@functools.cache
def authority() -> CertificateAuthority:
    """Return the authority of the others."""
    return CertificateAuthority("test CA")


def issued(common_name: str = USERNAME) -> IssuedCertificate:
    """Return a client certificate with its key."""
    return _issued(common_name)


def certificate(common_name: str = USERNAME) -> ClientCertificate:
    """Return the same as a ClientCertificate."""
    return _certificate(common_name)


@functools.cache
def _issued(common_name: str) -> IssuedCertificate:
    return authority().issue(common_name)


@functools.cache
def _certificate(common_name: str) -> ClientCertificate:
    pair = issued(common_name)
    return ClientCertificate.load(pair.cert_pem, key=pair.key_pem)
