"""What can be wrong, as stable codes for programs, and the two ways of saying it: an error and a warning.

The message beside a code is for people and may change; a code never changes its meaning.
"""

from __future__ import annotations

import enum

from seic._errors import CertificateError


class Reason(enum.StrEnum):
    """What is wrong with a certificate, a key or a handshake, one code each."""

    # The file
    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    IS_A_DIRECTORY = "is-a-directory"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    UNKNOWN_FORMAT = "unknown-format"

    # What stands in it
    NO_CERTIFICATE = "no-certificate"
    NO_KEY = "no-key"
    CERTIFICATE_AS_KEY = "certificate-as-key"
    KEY_AS_CERTIFICATE = "key-as-certificate"
    CERTIFICATE_REQUEST = "certificate-request"
    PUBLIC_KEY = "public-key"
    IS_A_CA = "is-a-ca"
    NOT_A_CA = "not-a-ca"
    KEY_MISMATCH = "key-mismatch"
    PASSPHRASE_MISSING = "passphrase-missing"
    PASSPHRASE_WRONG = "passphrase-wrong"
    UNSUPPORTED_ENCRYPTION = "unsupported-encryption"
    UNSUPPORTED_KEY = "unsupported-key"
    NOT_FOR_CLIENTS = "not-for-clients"
    WEAK_KEY = "weak-key"
    WEAK_SIGNATURE = "weak-signature"
    COMMON_NAME = "common-name"
    REFUSED_BY_OPENSSL = "refused-by-openssl"

    # Time
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"

    # Warnings only: it works, but not for long or not for sure
    EXPIRES_SOON = "expires-soon"
    KEY_EXPOSED = "key-exposed"
    CHAIN_BROKEN = "chain-broken"
    CHAIN_EXPIRED = "chain-expired"
    SEVERAL_CERTIFICATES = "several-certificates"
    AUTHORITY_EXPIRED = "authority-expired"
    AUTHORITY_EXPIRES_SOON = "authority-expires-soon"

    # The server's verdict on our certificate
    REVOKED = "revoked"
    UNKNOWN_TO_SERVER = "unknown-to-server"
    DEMANDED = "demanded"
    REFUSED = "refused"
    CLOSED_EARLY = "closed-early"

    # Our verdict on the server's certificate, or on the way it speaks
    SERVER_EXPIRED = "server-expired"
    SERVER_NOT_YET_VALID = "server-not-yet-valid"
    SERVER_WRONG_HOST = "server-wrong-host"
    SERVER_SELF_SIGNED = "server-self-signed"
    SERVER_UNKNOWN_CA = "server-unknown-ca"
    SERVER_WRONG_USAGE = "server-wrong-usage"
    SERVER_WEAK = "server-weak"
    SERVER_REVOKED = "server-revoked"
    SERVER_UNTRUSTED = "server-untrusted"
    PROTOCOL_TOO_OLD = "protocol-too-old"
    NOT_TLS = "not-tls"
    NO_COMMON_GROUND = "no-common-ground"

    # Rotation
    SOURCE_FAILED = "source-failed"


class CertificateWarning(UserWarning):
    """A client certificate works now, but not for long or not for sure; `path` and `reason` as in CertificateError."""

    def __init__(self, message: str, path: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason


def certificate_error(reason: Reason, label: str, text: str) -> CertificateError:
    """Return the error that names the file `label`, or what stood in its place."""
    return CertificateError(f"{label}: {text}", path=label, reason=reason.value)


def certificate_warning(reason: Reason, label: str, text: str) -> CertificateWarning:
    """Return the warning that names the file `label`, or what stood in its place."""
    return CertificateWarning(f"{label}: {text}", label, reason.value)
