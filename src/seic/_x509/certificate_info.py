"""`CertificateInfo`: the public facts of one X.509 certificate, and their form in messages."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib

import attrs

from seic._public import publish
from seic._values import frozen

# "Soon" is less than this and less than this share of the lifetime: a certificate that lives for a day would otherwise
# always expire soon.
_SOON = dt.timedelta(days=30)
_SOON_SHARE = 0.2


@frozen(kw_only=True)
class CertificateInfo:
    """One certificate's public facts; two are equal if their DER is.

    Args:
        der: The certificate itself.
        subject: In the form of RFC 4514 (`CN=svc-user,O=Example`).
        common_name: The CN of the subject; None without one.
        issuer: In the form of RFC 4514.
        serial_number: Upper-case hex, as OpenSSL and nginx print it.
        not_before: UTC.
        not_after: UTC.
        key_type: `RSA 2048`, `EC P-256`, `Ed25519`.
        is_ca: Whether the basic constraints mark an authority (RFC 5280 §4.2.1.9).
        is_self_signed: Whether its own key signed it.
        allows_client_auth: Whether the extended key usage names clientAuth, or is absent (RFC 5280 §4.2.1.12).
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
    allows_client_auth: bool = attrs.field(eq=False)

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
        """The certificate as PEM."""
        import ssl

        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def name(self) -> str:
        """The shortest name for messages: the CN, else the subject, else the serial number."""
        name = f"CN={self.common_name}" if self.common_name else self.subject or f"serial {self.serial_number}"
        return printable(name)

    @property
    def summary(self) -> str:
        """Name and expiry for messages: `CN=svc-user, expires 2027-01-31`."""
        return f"{self.name}, expires {self.not_after:%Y-%m-%d}"

    def is_valid(self, now: dt.datetime) -> bool:
        """Return whether `now` lies within the validity period."""
        return self.not_before <= now < self.not_after

    def days_left(self, now: dt.datetime) -> float:
        """Return the days until it expires; negative after that."""
        return (self.not_after - now) / dt.timedelta(days=1)

    def expires_soon(self, now: dt.datetime) -> bool:
        """Return whether less than 30 days and less than a fifth of its lifetime are left."""
        return self.not_after - now < min(_SOON, (self.not_after - self.not_before) * _SOON_SHARE)


def format_time(when: dt.datetime) -> str:
    """Return a time as messages show it: `2027-01-31 12:00 UTC`."""
    return f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def clock_says(now: dt.datetime) -> str:
    """Return the words by which messages about dates name this machine's clock."""
    return f"this machine's clock says {format_time(now)}"


def printable(name: str) -> str:
    """Return a name for a message: the certificate may come from others, and terminals obey control characters."""
    return name if name.isprintable() else repr(name)[1:-1]


publish("seic", ["CertificateInfo"], globals())
