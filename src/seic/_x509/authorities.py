"""Authorities in plain PEM files, read without cryptography, and the warning about parts that cannot be read.

The import of cryptography would be a quarter of a process's first call.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from seic._errors import CertificateError
from seic._x509.certificate_fields import CertificateFields, certificate_info, read_fields
from seic._x509.certificate_info import CertificateInfo
from seic._x509.encoding import is_pem, pem_blocks, read_der, unwrap
from seic._x509.reasons import CertificateWarning, Reason, certificate_warning

_RSA, _EC = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1"
_CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521"}
_OTHERS = {"1.3.101.112": "Ed25519", "1.3.101.113": "Ed448"}
# The most parts that were left out that a warning names.
_MAX_NAMED = 3


def read_plain_authorities(data: bytes) -> list[CertificateInfo] | None:
    """Return the certificates of a file that has only intact PEM certificates of authorities with usual keys.

    An authority counts as self-signed if names and key identifiers say so; the signature is not checked.

    Args:
        data: The whole file.

    Returns:
        None for any other file, which `decode` must read.
    """
    data = unwrap(data)
    if not is_pem(data):
        return None
    found = []
    for block in pem_blocks(data, ""):
        if isinstance(block, CertificateError) or block.label != "CERTIFICATE":
            return None
        try:
            fields = read_fields(block.der)
            key_type = _key_type(fields)
        except (ValueError, IndexError):
            return None
        if not fields.is_ca or key_type is None:
            return None
        found.append(certificate_info(fields, key_type=key_type, is_self_signed=fields.may_be_issued_by(fields)))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(facts.der for facts in found))
    except ssl.SSLError:
        return None
    return found


def _key_type(fields: CertificateFields) -> str | None:
    algorithm, key = read_der(fields.public_key).parts
    kind = algorithm.parts[0].oid
    if kind == _RSA:
        # The first byte of a BIT STRING is the number of unused bits.
        modulus = read_der(key.content[1:]).parts[0].content
        return f"RSA {int.from_bytes(modulus, 'big').bit_length()}"
    if kind == _EC:
        curve = _CURVES.get(algorithm.parts[1].oid)
        return None if curve is None else f"EC {curve}"
    return _OTHERS.get(kind)


def warn_of_left_out(skipped: list[CertificateError], label: str) -> Iterable[CertificateWarning]:
    """Yield the warning about the parts of `ca` that cannot be read, if there are any."""
    if skipped:
        named = "; ".join(error.message.removeprefix(f"{label}: ") for error in skipped[:_MAX_NAMED])
        rest = f"; and {len(skipped) - _MAX_NAMED} more" if len(skipped) > _MAX_NAMED else ""
        text = f"ca: what cannot be read of it is left out, and the rest is trusted: {named}{rest}"
        yield certificate_warning(Reason.LEFT_OUT, label, text)
