r"""PEM (RFC 7468, RFC 1421 headers) and DER (X.690): the encodings of certificates and keys, as bytes.

PEM arrives damaged in known ways: CRLF line ends, a byte order mark, UTF-16 from a Windows shell, text before a block,
newlines replaced by `\n` or spaces in an environment file, or all of it in Base64 once more. DER and PKCS#12 arrive in
Base64 too, since an environment variable cannot hold binary data.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from seic._errors import CertificateError
from seic._values import frozen
from seic._x509.reasons import Reason, certificate_error

_BEGIN, _END = b"-----BEGIN ", b"-----END "
_LABEL = rb"-----BEGIN ([A-Z0-9][A-Z0-9 ]{0,63})-----"
# RFC 1421 §4.6.1.3, as OpenSSL's traditional key format still uses it.
_ENCRYPTED = rb"(?s)\s*Proc-Type:\s*4,\s*ENCRYPTED\s+DEK-Info:\s*([A-Za-z0-9-]+),((?:[0-9A-Fa-f]{2})+)\s+(.*)"
# The first letters of Base64 of "-----BEGIN ", and of a SEQUENCE, with which all DER begins.
_BASE64_PREFIXES = (b"LS0tLS1CRUdJTi", b"M")
_BEGIN_UTF16 = _BEGIN.decode().encode("utf-16-le")

_SEQUENCE = b"\x30"
_CONSTRUCTED, _OCTET_STRING, _OID = 0x20, 0x04, 0x06
# Elements within elements that are read; a PKCS#12 file has 14.
_MAX_DEPTH = 16
# The most elements that are read, in some tenths of a second; a certificate has about a hundred.
_MAX_ELEMENTS = 100_000
# A length byte from here on counts, in its low bits, the bytes of the length that follow it (X.690 §8.1.3.5).
_LONG_FORM = 0x80
# Bytes of an object identifier that are read.
_LONGEST_OID = 64
# The implicit tag of a SignedData's certificates, and their depth.
_CERTIFICATES_TAG, _CERTIFICATES_DEPTH = 0xA0, 4


@frozen(repr=False)
class PemBlock:
    """One PEM block: label, DER and first line; `encryption` has cipher and vector of a `DEK-Info` header."""

    label: str
    der: bytes
    line: int
    encryption: tuple[str, bytes] | None = None


def unwrap(data: bytes) -> bytes:
    """Decode PEM saved as UTF-16, and PEM or DER in Base64; return anything else unchanged."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode()
    elif _BEGIN_UTF16 in data:
        # Without a byte order mark, the parity of the position tells the byte order.
        data = data.decode("utf-16-be" if data.index(_BEGIN_UTF16) % 2 else "utf-16-le", "replace").encode()
    if data.lstrip().startswith(_BASE64_PREFIXES):
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error:
            return data
    return data


def is_pem(data: bytes) -> bool:
    """Return whether a PEM block begins anywhere in the data."""
    return _BEGIN in data


def is_cut_off(data: bytes) -> bool:
    """Return whether the last PEM block has no END line, as in a file that is still being written."""
    return data.rfind(_BEGIN) > data.rfind(_END)


def pem_blocks(data: bytes, label: str) -> list[PemBlock | CertificateError]:
    """Return every PEM block of the data, and an error in place of one that is cut off or damaged.

    It takes linear time: a block ends with its own END line, or is cut off where the next one begins.

    Args:
        data: Text for which `is_pem` is true.
        label: The file's name in errors.
    """
    blocks: list[PemBlock | CertificateError] = []
    begin, line, counted = data.find(_BEGIN), 1, 0
    while begin >= 0:
        line, counted = line + data.count(b"\n", counted, begin), begin
        following = data.find(_BEGIN, begin + len(_BEGIN))
        part = data[begin : following if following >= 0 else len(data)]
        begin = following
        head = re.match(_LABEL, part)
        end = -1 if head is None else part.find(b"-----END %b-----" % head.group(1), head.end())
        if head is None or end < 0:
            block: PemBlock | CertificateError = certificate_error(
                Reason.TRUNCATED,
                label,
                f"the '-----BEGIN …-----' in line {line} has no '-----END …-----': the file is cut off or still being "
                "written; copy the whole file again",
            )
        else:
            block = _block(head.group(1).decode(), part[head.end() : end], label, line)
        blocks.append(block)
    return blocks


def _block(kind: str, body: bytes, label: str, line: int) -> PemBlock | CertificateError:
    body = body.replace(b"\\r", b"").replace(b"\\n", b"\n")
    header = re.fullmatch(_ENCRYPTED, body)
    try:
        der = base64.b64decode(b"".join((header.group(3) if header else body).split()), validate=True)
    except binascii.Error:
        return certificate_error(
            Reason.TRUNCATED,
            label,
            f"the block '{kind}' in line {line} is damaged (not Base64); copy the whole file again",
        )
    if header is None:
        return PemBlock(kind, der, line)
    return PemBlock(kind, der, line, (header.group(1).decode().upper(), bytes.fromhex(header.group(2).decode())))


def is_truncated(der: bytes) -> bool:
    """Return whether a SEQUENCE is shorter than its header says."""
    return der[:1] == _SEQUENCE and len(der) > 1 and der[1] != _LONG_FORM and len(der) < sum(_header(der))


def is_encrypted_key(der: bytes) -> bool:
    """Return whether a private key is encrypted.

    EncryptedPrivateKeyInfo (RFC 5958 §3) begins with a SEQUENCE, unencrypted keys with an INTEGER.
    """
    return _content(der).startswith(_SEQUENCE)


def is_unencrypted_key(der: bytes) -> bool:
    """Return whether it looks like an unencrypted key: one whole SEQUENCE that begins with a one-byte version."""
    return sum(_header(der)) == len(der) and _content(der).startswith(b"\x02\x01")


def is_pkcs12(der: bytes) -> bool:
    """Return whether it is PFX ::= SEQUENCE { version INTEGER {v3(3)}, authSafe SEQUENCE … } (RFC 7292 §4)."""
    return _content(der).startswith(b"\x02\x01\x03\x30")


class Element(NamedTuple):
    """A DER element (X.690 §8.1).

    Args:
        tag: Of one byte.
        content: The bytes after tag and length.
        whole: Tag, length and content.
        parts: The elements in it, also those of an OCTET STRING that consists of elements.
        oid: An object identifier as dotted numbers; empty for anything else.
    """

    tag: int
    content: bytes
    whole: bytes
    parts: tuple[Element, ...]
    oid: str

    def __repr__(self) -> str:
        # It may be part of a key.
        return "<Element>"


def read_der(data: bytes, depth: int = _MAX_DEPTH) -> Element:
    """Return the first DER element of the data with all that is in it, in linear time.

    Args:
        data: It may be followed by something else.
        depth: Elements within elements that are read.

    Raises:
        ValueError: An element is cut off, is a malformed object identifier, or has a tag of several bytes or no
            definite length; or there are too many elements.
    """
    return _element(data, 0, depth, iter(range(_MAX_ELEMENTS)))


def _element(data: bytes, start: int, depth: int, budget: Iterator[int]) -> Element:
    if next(budget, None) is None:
        raise ValueError("there are too many elements")
    content = start + 2
    # X.690 §8.1.3; without a second byte the element is cut off.
    length = data[start + 1] if content <= len(data) else _LONG_FORM
    is_malformed = length == _LONG_FORM or data[start] & 0x1F == 0x1F
    if length > _LONG_FORM:
        first, content = content, content + (length & 0x7F)
        length = int.from_bytes(data[first:content], "big")
    end = content + length
    if is_malformed or end > len(data):
        raise ValueError("the DER is malformed")
    tag, held = data[start], data[content:end]
    parts: tuple[Element, ...] = ()
    if depth and tag & _CONSTRUCTED:
        parts = _elements(held, depth - 1, budget)
    elif depth and tag == _OCTET_STRING:
        # It may hold anything.
        with contextlib.suppress(ValueError):
            parts = _elements(held, depth - 1, budget)
    return Element(tag, held, data[start:end], parts, _dotted(held) if tag == _OID else "")


def _elements(data: bytes, depth: int, budget: Iterator[int]) -> tuple[Element, ...]:
    found, start = [], 0
    while start < len(data):
        element = _element(data, start, depth, budget)
        found.append(element)
        start += len(element.whole)
    return tuple(found)


def pkcs7_certificates(data: bytes) -> list[bytes]:
    """Return the DER of the certificates of a SignedData (RFC 2315 §9.1).

    Raises:
        ValueError, IndexError: It is none, or has none.
    """
    _, signed = read_der(data, _CERTIFICATES_DEPTH).parts
    listed = [part.parts for part in signed.parts[0].parts if part.tag == _CERTIFICATES_TAG]
    return [one.whole for one in listed[0]]


def _dotted(oid: bytes) -> str:
    # The content of an object identifier as dotted numbers (X.690 §8.19).
    if not oid or oid[-1] & 0x80:
        raise ValueError("an object identifier is malformed")
    numbers, number = [], 0
    for byte in oid[:_LONGEST_OID]:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        raise ValueError("an object identifier is malformed")
    # The first two numbers share one.
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def replace_key_algorithm(key: bytes, algorithm: bytes) -> bytes:
    """Return a PKCS#8 key (RFC 5958 §2) with another AlgorithmIdentifier."""
    version, _, content = read_der(key, 1).parts[:3]
    return _encode(_SEQUENCE, version.whole + algorithm + content.whole)


def wrap_key(key: bytes, algorithm: bytes) -> bytes:
    """Return a key in PKCS#8: what follows it is cut off, and PKCS#1 (RFC 8017) and SEC 1 (RFC 5915) are wrapped.

    Raises:
        ValueError, IndexError: It is malformed.
    """
    whole = read_der(key, 1)
    if whole.parts[1].whole.startswith(_SEQUENCE):
        return whole.whole
    return _encode(_SEQUENCE, b"\x02\x01\x00" + algorithm + _encode(b"\x04", whole.whole))


def _encode(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG_FORM:
        return tag + bytes([size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return tag + bytes([_LONG_FORM | len(length)]) + length + content


def _content(der: bytes) -> bytes:
    # Empty for anything but a SEQUENCE.
    return der[_header(der)[0] :] if der[:1] == _SEQUENCE and len(der) > 1 else b""


def _header(der: bytes) -> tuple[int, int]:
    # The length of tag and length, and that of the content.
    if len(der) < 2 or der[1] < _LONG_FORM:
        return 2, der[1] if len(der) > 1 else 0
    size = der[1] & 0x7F
    return 2 + size, int.from_bytes(der[2 : 2 + size], "big")
