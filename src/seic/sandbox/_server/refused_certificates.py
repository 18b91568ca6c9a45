"""Client certificates that the mtls host refuses in the handshake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from seic.sandbox._certificates import CertificateAuthority, IssuedCertificate, revocation_of
from seic.sandbox._server.loopback import ServerContext, server_context


class RefusedCertificates:
    """Refuses certificates by the TLS alert `certificate_revoked`; may be used from any thread.

    OpenSSL sends an alert only for a certificate that it has verified itself, hence the revocation list.

    Args:
        authority: Signs the revocation list.
        issued: The server's certificate.
        context: The context of the server, which gets a successor with each change.
        close: Closes the connections with a certificate, by its thumbprint.
    """

    def __init__(
        self,
        authority: CertificateAuthority,
        issued: IssuedCertificate,
        context: ServerContext,
        close: Callable[[str], object],
    ) -> None:
        self._authority = authority
        self._issued = issued
        self._context = context
        self._close = close
        self._lock = threading.Lock()  # guards the following
        self._serial_numbers: dict[str, int] = {}

    def refuse(self, certificate: IssuedCertificate) -> None:
        """Refuse a certificate in the next handshakes, and close its connections."""
        with self._lock:
            self._serial_numbers[certificate.thumbprint] = certificate.certificate.serial_number
            self._renew()
        self._close(certificate.thumbprint)

    def accept(self, certificates: Iterable[IssuedCertificate]) -> None:
        """Accept certificates again; without any, all."""
        accepted = {certificate.thumbprint for certificate in certificates}
        with self._lock:
            for thumbprint in accepted or {*self._serial_numbers}:
                self._serial_numbers.pop(thumbprint, None)
            self._renew()

    def thumbprints(self) -> frozenset[str]:
        """Return the refused ones."""
        with self._lock:
            return frozenset(self._serial_numbers)

    def _renew(self) -> None:
        crl_pem = self._authority.sign_crl(map(revocation_of, self._serial_numbers.values()))
        self._context.successor = server_context(
            self._authority, self._issued, demand_certificate=True, crl_pem=crl_pem
        )
