"""Reason codes of certificate problems, the error and the warning that carry one, and foreign warnings.

Codes are for programs and never change their meaning; the messages are for people and may change.
"""

from __future__ import annotations

import enum
import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from seic._errors import CertificateError
from seic._public import publish

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Reason(enum.StrEnum):
    """A code for each problem of a certificate, a key or a handshake."""

    # The file
    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    IS_A_DIRECTORY = "is-a-directory"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    UNKNOWN_FORMAT = "unknown-format"

    # Its content
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

    # Dates
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"

    # Warnings: the certificate works, but perhaps not for long or not everywhere
    EXPIRES_SOON = "expires-soon"
    KEY_EXPOSED = "key-exposed"
    CHAIN_BROKEN = "chain-broken"
    CHAIN_EXPIRED = "chain-expired"
    CHAIN_ENDS_FIRST = "chain-ends-first"
    PUBLIC_ISSUER = "public-issuer"
    SEVERAL_CERTIFICATES = "several-certificates"
    LEFT_OUT = "left-out"
    AUTHORITY_EXPIRED = "authority-expired"
    AUTHORITY_EXPIRES_SOON = "authority-expires-soon"

    # The server refuses our certificate
    REVOKED = "revoked"
    UNKNOWN_TO_SERVER = "unknown-to-server"
    DEMANDED = "demanded"
    AFTER_HANDSHAKE = "after-handshake"
    REFUSED = "refused"
    CLOSED_EARLY = "closed-early"

    # seic refuses the server's certificate or its protocol
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

    # A callback or a file that is read again
    SOURCE_FAILED = "source-failed"


class CertificateWarning(UserWarning):
    """A certificate works now, but perhaps not for long or not everywhere.

    Args:
        message: The problem, its file, and the remedy.
        path: The file as the user named it, or a description of the argument that held the bytes.
        reason: A value of `Reason`.
    """

    def __init__(self, message: str, path: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason


def certificate_error(reason: Reason, label: str, text: str) -> CertificateError:
    """Return the error about the file `label`."""
    return CertificateError(f"{label}: {text}", path=label, reason=reason.value)


def certificate_warning(reason: Reason, label: str, text: str) -> CertificateWarning:
    """Return the warning about the file `label`."""
    return CertificateWarning(f"{label}: {text}", label, reason.value)


def without_foreign_warnings(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Ignore warnings inside a function that are errors in this process (`-W error`).

    cryptography warns of certificates that it still reads, such as one with the serial number 0. Such a warning must
    not replace the certificate or its `CertificateError`. The filters belong to the whole process, so they are changed
    only after a warning was raised.
    """

    @functools.wraps(read)
    def reading(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except Warning:
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(*args, **kwargs)

    return reading


publish("seic", ["CertificateWarning", "Reason"], globals())
