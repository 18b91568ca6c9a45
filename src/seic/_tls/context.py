"""The TLS context."""

from __future__ import annotations

import os
import ssl

from seic._tls.certificate import ClientCertificate


def create_ssl_context(
    *, certificate: ClientCertificate | None = None, ca: str | os.PathLike[str] | bytes | None = None
) -> ssl.SSLContext:
    """Return a context for the system's trust."""
    return ssl.create_default_context()


def shared_context(certificate: ClientCertificate | None, ca: str | os.PathLike[str] | bytes | None) -> ssl.SSLContext:
    """Return the context of a credential."""
    return create_ssl_context(certificate=certificate, ca=ca)
