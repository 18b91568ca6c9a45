"""From a parsed certificate to its facts, and whether one signed another. Imports cryptography: import it lazily."""

from __future__ import annotations

import datetime as dt
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from seic._tls.facts import CertificateFacts

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
#: What cryptography raises at bytes that it cannot make sense of; until version 44 a KeyError at an odd type of string,
#: an InternalError at an encryption whose parameters OpenSSL refuses.
UNPARSABLE = (
    ValueError,
    KeyError,
    InternalError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """Return the facts of a certificate."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return CertificateFacts(
        der=certificate.public_bytes(Encoding.DER),
        subject=certificate.subject.rfc4514_string(),
        # The last is the most specific (X.501 §8.3).
        common_name=str(names[-1].value) if names else None,
        issuer=certificate.issuer.rfc4514_string(),
        serial_number=_hex(certificate.serial_number),
        not_before=_utc(certificate.not_valid_before_utc),
        not_after=_utc(certificate.not_valid_after_utc),
        key_type=_key_type(certificate),
        is_ca=_is_ca(certificate),
        is_self_signed=certificate.subject == certificate.issuer and is_issued_by(certificate, certificate),
    )


def _hex(number: int) -> str:
    digits = f"{number:X}"
    return digits.zfill(len(digits) + len(digits) % 2)


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)


def _key_type(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except UNPARSABLE:
        return "unknown"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    name = type(key).__name__.removesuffix("PublicKey")
    return f"{name} {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else name


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return the extension of that kind; None where there is none, or none that can be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, *UNPARSABLE):
        return None


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (TypeError, InvalidSignature, *UNPARSABLE):
        return False
    return True
