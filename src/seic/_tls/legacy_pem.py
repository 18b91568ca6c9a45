"""Keys under the encryption that OpenSSL wrote before PKCS#8: `Proc-Type: 4,ENCRYPTED` and a `DEK-Info` line.

It is opened here, since cryptography knows three of its ciphers and drops them one after the other. Imports
cryptography: import it inside a function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

# The cipher and the length of its key. A single DES is a triple one under three times the same key, and so needs no
# legacy provider.
_CIPHERS: dict[str, tuple[Callable[[bytes], CipherAlgorithm], int]] = {
    "AES-128-CBC": (AES, 16),
    "AES-192-CBC": (AES, 24),
    "AES-256-CBC": (AES, 32),
    "DES-EDE3-CBC": (TripleDES, 24),
    "DES-CBC": (lambda key: TripleDES(key * 3), 8),
}
_SALT_BYTES = 8


def can_open(cipher: str) -> bool:
    """Whether the cipher that `DEK-Info` names is one of these."""
    return cipher in _CIPHERS


def open_dek(cipher: str, vector: bytes, sealed: bytes, passphrase: bytes) -> bytes | None:
    """Return the DER of the key; None where the passphrase does not open it.

    It returns None rather than to raise: an exception would carry the passphrase in its frames.

    Args:
        cipher: As `DEK-Info` names it; one that `can_open` is true of.
        vector: The initialization vector there; its first 8 bytes are the salt.
        sealed: What the block holds.
        passphrase: As it was set.
    """
    make, size = _CIPHERS[cipher]
    try:
        algorithm = make(_derive(passphrase, vector[:_SALT_BYTES], size))
        decryptor = Cipher(algorithm, modes.CBC(vector)).decryptor()
        padded = decryptor.update(sealed) + decryptor.finalize()
        unpadder = PKCS7(8 * len(vector)).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return None


def _derive(passphrase: bytes, salt: bytes, size: int) -> bytes:
    # EVP_BytesToKey with MD5 and one round, as PEM_do_header calls it: the format's own, and weak.
    key = last = b""
    while len(key) < size:
        last = hashlib.md5(last + passphrase + salt, usedforsecurity=False).digest()
        key += last
    return key[:size]
