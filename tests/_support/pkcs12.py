"""A PKCS#12 file with several private keys, as Java's keytool writes one; openssl and cryptography make none."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests._support.pki import PASSPHRASE, Minted

_DATA = bytes.fromhex("06092a864886f70d010701")
_SHA256 = bytes.fromhex("300d06096086480165030402010500")
_SALT, _ROUNDS = bytes(range(8)), 2048


def store_of(*pairs: Minted) -> bytes:
    """Return the pairs in one file that `PASSPHRASE` encrypts."""
    safes = b"".join(content_of(_safes(pair)) for pair in pairs)
    content = element(0x30, safes)
    info = element(0x30, _DATA + element(0xA0, element(0x04, content)))
    digest = hmac.new(_mac_key(), content, hashlib.sha256).digest()
    mac = element(0x30, element(0x30, _SHA256 + element(0x04, digest)) + element(0x04, _SALT) + b"\x02\x02\x08\x00")
    return element(0x30, b"\x02\x01\x03" + info + mac)


def _safes(pair: Minted) -> bytes:
    made = serialize_key_and_certificates(
        None, pair.key, pair.certificate, None, BestAvailableEncryption(PASSPHRASE.encode())
    )
    info = split(content_of(made))[1]
    return content_of(content_of(split(content_of(info))[1]))


def _mac_key() -> bytes:
    # RFC 7292 appendix B.2 with SHA-256: 32 bytes, so that one round of blocks is enough.
    size = 64
    password = (PASSPHRASE + "\0").encode("utf-16-be")
    padded = [part * (size // len(part) + 1) for part in (_SALT, password)]
    blocks = padded[0][:size] + (password * size)[: size * (-(-len(password) // size))]
    digest = bytes([3]) * size + blocks
    for _ in range(_ROUNDS):
        digest = hashlib.sha256(digest).digest()
    return digest


def element(tag: int, content: bytes) -> bytes:
    """Return a DER element."""
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 0x80 else bytes([0x80 | len(length)]) + length) + content


def split(data: bytes) -> list[bytes]:
    """Return the DER elements of the data."""
    found = []
    while data:
        size, head = data[1], 2
        if size >= 0x80:
            head += size & 0x7F
            size = int.from_bytes(data[2:head], "big")
        found.append(data[: head + size])
        data = data[head + size :]
    return found


def content_of(data: bytes) -> bytes:
    """Return the content of a DER element."""
    return data[2 + (data[1] & 0x7F if data[1] >= 0x80 else 0) :]
