"""What people and programs want to know of one X.509 certificate, as a value; nothing here imports cryptography."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib

import attrs

from seic._tls.pem import encode


@attrs.frozen(kw_only=True)
class CertificateFacts:
    """One certificate's public facts; two are equal when their DER is.

    Args:
        der: The certificate itself.
        subject: As RFC 4514 writes it (`CN=svc-user,O=Example`).
        common_name: The CN of the subject; None where it has none.
        issuer: As RFC 4514 writes it.
        serial_number: Upper-case hex, as OpenSSL and nginx write it.
        not_before: UTC.
        not_after: UTC.
        key_type: `RSA 2048`, `EC P-256`, `Ed25519`.
        is_ca: Whether the basic constraints say so (RFC 5280 §4.2.1.9).
        is_self_signed: Whether its own key signed it.
    """

    der: bytes = attrs.field(repr=False)
    subject: str = attrs.field(eq=False)
    common_name: str | None = attrs.field(eq=False)
    issuer: str = attrs.field(eq=False)
    serial_number: str = attrs.field(eq=False)
    not_before: dt.datetime = attrs.field(eq=False)
    not_after: dt.datetime = attrs.field(eq=False)
    key_type: str = attrs.field(eq=False)
    is_ca: bool = attrs.field(eq=False)
    is_self_signed: bool = attrs.field(eq=False)

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the DER in lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def x5t_s256(self) -> str:
        """The thumbprint as a certificate-bound token carries it: base64url without padding (RFC 8705 §3.1)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).rstrip(b"=").decode()

    @property
    def pem(self) -> str:
        """The certificate as PEM; public."""
        return encode("CERTIFICATE", self.der).decode()

    @property
    def name(self) -> str:
        """The shortest that tells it apart in a message: the CN, or the whole subject."""
        return f"CN={self.common_name}" if self.common_name else self.subject or f"serial {self.serial_number}"

    @property
    def inline(self) -> str:
        """What a message carries in brackets: `CN=svc-user, expires 2027-01-31`."""
        return f"{self.name}, expires {self.not_after:%Y-%m-%d}"


def moment(when: dt.datetime) -> str:
    """Return a moment as messages write it: `2027-01-31 12:00 UTC`."""
    return f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
