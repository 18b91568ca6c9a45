"""Certificates for tests, minted once a run: which one it is does not matter, that it is a real one does."""

from __future__ import annotations

import functools

from seic import ClientCertificate
from seic.sandbox import CertificateAuthority, IssuedCertificate

USERNAME = "svc-user"


@functools.cache
def authority() -> CertificateAuthority:
    """The authority behind the others."""
    return CertificateAuthority("test CA")


def issued(common_name: str = USERNAME) -> IssuedCertificate:
    """A client certificate with its key."""
    return _issued(common_name)


def certificate(common_name: str = USERNAME) -> ClientCertificate:
    """The same as the SDK holds it."""
    return _certificate(common_name)


@functools.cache
def _issued(common_name: str) -> IssuedCertificate:
    return authority().issue(common_name)


@functools.cache
def _certificate(common_name: str) -> ClientCertificate:
    pair = issued(common_name)
    return ClientCertificate.load(pair.cert_pem, key=pair.key_pem)
