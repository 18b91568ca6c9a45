"""DER (X.690) as far as it takes to tell one structure from another, and to cut one out; bytes in, bytes out."""

from __future__ import annotations

SEQUENCE = b"\x30"
# The length byte from which on the length takes several bytes (§8.1.3.5); its low bits count them.
_LONG_FORM = 0x80
# RFC 5280 §4.1: the fields of TBSCertificate before the subject's public key, and the tag of the optional version.
_BEFORE_KEY = 5
_VERSION = b"\xa0"


def inside(der: bytes) -> bytes:
    """Return what stands behind the header of a SEQUENCE; empty for anything else."""
    return der[_header(der)[0] :] if der[:1] == SEQUENCE and der[1:] else b""


def first(der: bytes) -> bytes:
    """Return the first element, with what follows it left off."""
    return der[: sum(_header(der))]


def elements(der: bytes) -> list[bytes]:
    """Return the elements of a SEQUENCE, each whole."""
    rest, found = inside(first(der)), []
    while rest:
        found.append(first(rest))
        rest = rest[len(found[-1]) :]
    return found


def sequence(parts: list[bytes]) -> bytes:
    """Return a SEQUENCE of whole elements."""
    body = b"".join(parts)
    if len(body) < _LONG_FORM:
        return SEQUENCE + bytes([len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return SEQUENCE + bytes([_LONG_FORM | len(size)]) + size + body


def is_cut(der: bytes) -> bool:
    """Whether a SEQUENCE says that it is longer than it is."""
    return der[:1] == SEQUENCE and len(der[1:]) > 0 and der[1] != _LONG_FORM and len(der) < sum(_header(der))


def is_sealed_key(der: bytes) -> bool:
    """Whether a private key is encrypted: EncryptedPrivateKeyInfo opens with a SEQUENCE, plain forms with an INTEGER.

    RFC 5958 §3.
    """
    return inside(der).startswith(SEQUENCE)


def is_plain_key(der: bytes) -> bool:
    """Whether it looks like a private key in clear: one whole SEQUENCE that opens with a version of one byte."""
    return sum(_header(der)) == len(der) and inside(der).startswith(b"\x02\x01")


def is_pkcs12(der: bytes) -> bool:
    """Whether it is PFX ::= SEQUENCE { version INTEGER {v3(3)}, authSafe SEQUENCE … } (RFC 7292 §4)."""
    return inside(der).startswith(b"\x02\x01\x03\x30")


def key_algorithm(certificate: bytes) -> bytes:
    """Return the AlgorithmIdentifier of the key that a certificate is for, with its parameters (RFC 5280 §4.1.2.7)."""
    fields = elements(elements(certificate)[0])
    return elements(fields[_BEFORE_KEY + fields[0].startswith(_VERSION)])[0]


def with_algorithm(key: bytes, algorithm: bytes) -> bytes:
    """Return a private key (PKCS#8, RFC 5958 §2) under another AlgorithmIdentifier."""
    version, _, content = elements(key)[:3]
    return sequence([version, algorithm, content])


def _header(der: bytes) -> tuple[int, int]:
    # The length of tag and length, and that of the content.
    if len(der) < 2 or der[1] < _LONG_FORM:
        return 2, der[1] if der[1:] else 0
    size = der[1] & 0x7F
    return 2 + size, int.from_bytes(der[2 : 2 + size], "big")
