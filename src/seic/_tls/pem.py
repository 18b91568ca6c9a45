"""PEM (RFC 7468, RFC 1421 headers) taken apart, however it was mangled on its way; bytes in, blocks out.

What the mangling looks like: CRLF line ends, a byte order mark, UTF-16 from a Windows shell, text before a block,
newlines that an environment file turned into backslash and n, or into spaces, the whole of it in Base64 once more. DER
and PKCS#12 come in Base64 too, for a variable cannot hold them otherwise.
"""

from __future__ import annotations

import base64
import binascii
import re

import attrs

from seic._tls.reasons import Reason, certificate_error

_BEGIN = b"-----BEGIN "
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9][A-Z0-9 ]*)-----(.*?)-----END \1-----", re.DOTALL)
# RFC 1421 §4.6.1.3, as OpenSSL's traditional key format still uses it.
_ENCRYPTED = re.compile(
    rb"\s*Proc-Type:\s*4,\s*ENCRYPTED\s+DEK-Info:\s*([A-Za-z0-9-]+),((?:[0-9A-Fa-f]{2})+)\s+(.*)", re.DOTALL
)
# How Base64 of "-----BEGIN " and of a SEQUENCE, which all DER is, begins.
_BASE64 = (b"LS0tLS1CRUdJTi", b"M")
_WIDE = _BEGIN.decode().encode("utf-16-le")


@attrs.frozen(repr=False)
class Block:
    """One block: its label and its DER, which is encrypted where there is a `sealing`, the cipher and its vector."""

    label: str
    der: bytes
    sealing: tuple[str, bytes] | None = None


def encode(label: str, der: bytes) -> bytes:
    """Return a block as RFC 7468 §2 writes it; OpenSSL does not read longer lines everywhere."""
    text = base64.b64encode(der)
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), lines, label.encode())


def unwrap(data: bytes) -> bytes:
    """Return the PEM that was saved as UTF-16, and the PEM or DER that was put into Base64; anything else as it is."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode()
    elif _WIDE in data:
        # Without a byte order mark: each letter stands at an even place, or behind a zero.
        data = data.decode("utf-16-be" if data.index(_WIDE) % 2 else "utf-16-le", "replace").encode()
    if data.lstrip().startswith(_BASE64):
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error:
            return data
    return data


def is_pem(data: bytes) -> bool:
    """Whether there is the begin of a block anywhere."""
    return _BEGIN in data


def blocks(data: bytes, label: str) -> list[Block]:
    """Return every block of the text.

    Args:
        data: What `is_pem` is true of.
        label: What errors call the file.

    Raises:
        CertificateError: A block does not end, or its content is not Base64.
    """
    found = [_block(match.group(1).decode(), match.group(2), label) for match in _BLOCK.finditer(data)]
    if len(found) < data.count(_BEGIN):
        raise certificate_error(
            Reason.TRUNCATED,
            label,
            "a '-----BEGIN …-----' has no '-----END …-----': the file was cut off or is still being written; copy it "
            "again as a whole",
        )
    return found


def _block(kind: str, body: bytes, label: str) -> Block:
    body = body.replace(b"\\r", b"").replace(b"\\n", b"\n")
    header = _ENCRYPTED.fullmatch(body)
    try:
        der = base64.b64decode(b"".join((header.group(3) if header else body).split()), validate=True)
    except binascii.Error:
        raise certificate_error(
            Reason.TRUNCATED, label, f"the block '{kind}' is damaged (not Base64); copy the file again as a whole"
        ) from None
    if header is None:
        return Block(kind, der)
    return Block(kind, der, (header.group(1).decode().upper(), bytes.fromhex(header.group(2).decode())))
