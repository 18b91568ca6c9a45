"""PKCS#12 files (RFC 7292), read without a look into their certificates.

cryptography refuses a whole file for a certificate that OpenSSL takes, and returns the first of several keys only. The
integrity code is not checked here: what the file holds is checked when it is used.

Import it inside a function: importing cryptography takes 36 ms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

from seic._model.secret import Unpicklable
from seic._values import frozen
from seic._x509.encoding import Element, read_der

_ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
# The bags of RFC 7292 §4.2: keys, encrypted keys, certificates.
_BAGS = "1.2.840.113549.1.12.10.1."
_KEY_BAGS = {_BAGS + last for last in "12"}
_CERTIFICATE_BAG = _BAGS + "3"
_PBES2 = "1.2.840.113549.1.5.13"
_INTEGER = 0x02
# The pseudorandom functions of PBKDF2 (RFC 8018 §B.1).
_DIGESTS = {
    f"1.2.840.113549.2.{last}": name
    for last, name in ((7, "sha1"), (8, "sha224"), (9, "sha256"), (10, "sha384"), (11, "sha512"))
}
# Ciphers with the length of their keys: of PBES2 (RFC 8018 §B.2), and with SHA-1 (RFC 7292 appendix C).
_Make = Callable[[bytes], CipherAlgorithm]
_PBES2_CIPHERS: dict[str, tuple[_Make, int]] = {
    "2.16.840.1.101.3.4.1.2": (AES, 16),
    "2.16.840.1.101.3.4.1.22": (AES, 24),
    "2.16.840.1.101.3.4.1.42": (AES, 32),
    "1.2.840.113549.3.7": (TripleDES, 24),
}
_PBE_CIPHERS: dict[str, tuple[_Make, int]] = {
    "1.2.840.113549.1.12.1.3": (TripleDES, 24),
    "1.2.840.113549.1.12.1.4": (lambda key: TripleDES(key + key[:8]), 16),
    "1.2.840.113549.1.12.1.5": (RC2, 16),
    "1.2.840.113549.1.12.1.6": (RC2, 5),
}
# The block of SHA-1, and the purposes of derived bytes (RFC 7292 appendix B).
_BLOCK, _FOR_KEY, _FOR_VECTOR = 64, 1, 2
# Algorithms whose parameters have a salt and a number of rounds: PBKDF2 and PBES1 (RFC 8018 §A.2, §A.3), and those of
# RFC 7292 appendix C.
_PBKDF2 = "1.2.840.113549.1.5.12"
_ROUNDED = {_PBKDF2, *(f"1.2.840.113549.1.5.{last}" for last in (1, 3, 4, 6, 10, 11))}
_PKCS12_PBE = "1.2.840.113549.1.12.1."
#: The most rounds that derive the keys of one file, all parts together: a million for each of the three parts of a
#: PKCS#12 file, its integrity code, certificates and key. OpenSSL writes 2,048 for each, Java 10,000; the highest
#: recommendation is 600,000 (OWASP, for PBKDF2 with SHA-256). A million takes about half a second.
MAX_ROUNDS = 3_000_000


@frozen(repr=False)
class Pkcs12Content(Unpicklable):
    """Certificates in DER, and keys in PKCS#8, encrypted or not."""

    certificates: list[bytes] = attrs.field(factory=list)
    keys: list[bytes] = attrs.field(factory=list)


def read_pkcs12(data: bytes, passphrase: bytes | None) -> Pkcs12Content | None:
    """Return the content of a PKCS#12 file.

    Args:
        data: The file.
        passphrase: It decrypts the parts of the file; the keys stay encrypted. None leaves out the encrypted parts.

    Returns:
        None if the file cannot be read or decrypted. There is no exception, whose frames would hold the passphrase.
    """
    content = Pkcs12Content()
    try:
        for bag in _bags(data, passphrase):
            kind, value = bag.parts[:2]
            if kind.oid in _KEY_BAGS:
                content.keys.append(value.content)
            elif kind.oid == _CERTIFICATE_BAG:
                content.certificates.append(value.parts[0].parts[1].parts[0].content)
    except (ValueError, IndexError, KeyError, UnsupportedAlgorithm):
        return None
    return content


def count_rounds(data: bytes) -> int:
    """Return the rounds that derive the keys of a PKCS#12 file or a PKCS#8 key, before anything is decrypted.

    Returns:
        The sum for all parts, without those that are inside encrypted ones; 0 for data that cannot be read.
    """
    try:
        whole = read_der(data)
    except ValueError:
        return 0
    found = 0
    # The integrity code of a PKCS#12 file has its rounds after digest and salt (RFC 7292 §4).
    if len(whole.parts) > 2 and whole.parts[2].parts:
        found += _sum_of_integers(whole.parts[2].parts[2:3])
    waiting = [whole]
    while waiting:
        parts = waiting.pop().parts
        waiting += parts
        if len(parts) > 1 and (parts[0].oid in _ROUNDED or parts[0].oid.startswith(_PKCS12_PBE)):
            found += _sum_of_integers(parts[1].parts[1:2])
    return found


def _sum_of_integers(elements: Iterable[Element]) -> int:
    return sum(int.from_bytes(one.content, "big") for one in elements if one.tag == _INTEGER)


def _bags(data: bytes, passphrase: bytes | None) -> Iterator[Element]:
    for safe in _content(read_der(data).parts[1]).parts[0].parts:
        held = _content(safe)
        if safe.parts[0].oid != _ENCRYPTED_DATA:
            yield from held.parts[0].parts
        elif passphrase is not None:
            _, algorithm, encrypted = held.parts[1].parts
            bags = read_der(_decrypt(algorithm, encrypted.content, passphrase)).parts
            # A wrong passphrase passes the check of the padding once in 256 times.
            if not bags or not all(bag.parts and bag.parts[0].oid.startswith(_BAGS) for bag in bags):
                raise ValueError("the decrypted content is not PKCS#12")
            yield from bags


def _content(info: Element) -> Element:
    # Of a ContentInfo (RFC 2315 §7): an OCTET STRING or an EncryptedData.
    return info.parts[1].parts[0]


def _decrypt(algorithm: Element, encrypted: bytes, passphrase: bytes) -> bytes:
    kind, parameters = algorithm.parts
    first, second = parameters.parts
    if kind.oid == _PBES2:
        cipher, vector_element = second.parts
        make, size = _PBES2_CIPHERS[cipher.oid]
        key, vector = _pbkdf2(first.parts[1], passphrase, size), vector_element.content
    else:
        make, size = _PBE_CIPHERS[kind.oid]
        rounds = _rounds(second)
        key = _derive(_FOR_KEY, passphrase, first.content, rounds, size)
        vector = _derive(_FOR_VECTOR, passphrase, first.content, rounds, 8)
    decryptor = Cipher(make(key), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(8 * len(vector)).unpadder()
    return unpadder.update(decryptor.update(encrypted) + decryptor.finalize()) + unpadder.finalize()


def _pbkdf2(parameters: Element, passphrase: bytes, size: int) -> bytes:
    salt, rounds, *rest = parameters.parts
    named = [part.parts[0].oid for part in rest if part.tag != _INTEGER]
    digest = _DIGESTS[named[0]] if named else "sha1"
    return hashlib.pbkdf2_hmac(digest, passphrase, salt.content, _rounds(rounds), size)


def _rounds(number: Element) -> int:
    rounds = int.from_bytes(number.content, "big")
    if not 0 < rounds <= MAX_ROUNDS:
        raise ValueError("the number of rounds is out of range")
    return rounds


def _derive(purpose: int, passphrase: bytes, salt: bytes, rounds: int, size: int) -> bytes:
    # RFC 7292 appendix B.2 with SHA-1.
    text = (passphrase.decode() + "\0").encode("utf-16-be")
    state = bytearray(_fill(salt) + _fill(text))
    derived = b""
    while len(derived) < size:
        digest = bytes([purpose]) * _BLOCK + state
        for _ in range(rounds):
            digest = hashlib.sha1(digest, usedforsecurity=False).digest()
        derived += digest
        added = int.from_bytes((digest * _BLOCK)[:_BLOCK], "big") + 1
        for start in range(0, len(state), _BLOCK):
            total = int.from_bytes(state[start : start + _BLOCK], "big") + added
            state[start : start + _BLOCK] = (total % (1 << 8 * _BLOCK)).to_bytes(_BLOCK, "big")
    return derived[:size]


def _fill(part: bytes) -> bytes:
    # Repeated up to a multiple of the block.
    return (part * _BLOCK)[: -(-len(part) // _BLOCK) * _BLOCK]
