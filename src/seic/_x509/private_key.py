"""Private keys and PKCS#12 stores, decrypted when they are needed, and the errors about their passphrases.

Import it inside a function: importing cryptography takes 36 ms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from seic._errors import CertificateError
from seic._model.secret import Unpicklable
from seic._values import frozen
from seic._x509.credential_files import GetPassphrase
from seic._x509.encoding import is_encrypted_key, is_unencrypted_key, wrap_key
from seic._x509.pkcs12 import MAX_ROUNDS, count_rounds, read_pkcs12
from seic._x509.reasons import Reason, certificate_error

#: The exceptions of cryptography for data that it cannot parse; before version 44 a KeyError for unusual string types,
#: and an InternalError for encryption parameters that OpenSSL refuses.
UNPARSABLE = (
    ValueError,
    KeyError,
    InternalError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
#: The keys that can sign a TLS handshake.
TlsKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
_TLS_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)

# PBE with RC2, RC4 or single DES (RFC 7292 appendix C: 1.2.840.113549.1.12.1.{1,2,5,6}; RFC 8018 §A.3:
# 1.2.840.113549.1.5.{1,3,4,6,10,11}): OpenSSL 3 has these ciphers in its legacy provider only.
_LEGACY_PBE = tuple(
    [bytes.fromhex("060a2a864886f70d010c01") + bytes([last]) for last in (1, 2, 5, 6)]
    + [bytes.fromhex("06092a864886f70d0105") + bytes([last]) for last in (1, 3, 4, 6, 10, 11)]
)
# The ciphers of `DEK-Info` headers with their key lengths; cryptography knows three of them and is dropping those.
# Single DES is triple DES with the same key three times, and so needs no legacy provider.
_DEK_CIPHERS: dict[str, tuple[Callable[[bytes], CipherAlgorithm], int]] = {
    "AES-128-CBC": (AES, 16),
    "AES-192-CBC": (AES, 24),
    "AES-256-CBC": (AES, 32),
    "DES-EDE3-CBC": (TripleDES, 24),
    "DES-CBC": (lambda key: TripleDES(key * 3), 8),
}
_DEK_SALT_BYTES = 8


@frozen(kw_only=True, repr=False)
class EncryptedKey(Unpicklable):
    """A private key as its file has it, encrypted or not, decrypted when it is needed.

    Args:
        label: The file's name in errors.
        data: DER.
        dek_info: Cipher and initialization vector of a `DEK-Info` header; None for PKCS#8 and unencrypted keys.
        from_pkcs12: Whether it was decrypted already, with the PKCS#12 file that held it.
    """

    label: str
    _data: bytes = attrs.field(alias="data")
    _dek_info: tuple[str, bytes] | None = attrs.field(default=None, alias="dek_info")
    _from_pkcs12: bool = attrs.field(default=False, alias="from_pkcs12")

    @property
    def is_encrypted(self) -> bool:
        """Whether it was encrypted in the file."""
        return self._from_pkcs12 or self._dek_info is not None or is_encrypted_key(self._data)

    def decrypt_for_tls(self, get_passphrase: GetPassphrase) -> TlsKey:
        """Return the key, if it can sign a TLS handshake.

        Args:
            get_passphrase: Called only if the key is encrypted.

        Raises:
            CertificateError: The passphrase is missing or wrong, or the encryption or the kind of key is not supported.
        """
        key = self.decrypt(get_passphrase)
        if not isinstance(key, _TLS_KEYS):
            kind = type(key).__name__.removesuffix("PrivateKey")
            raise certificate_error(
                Reason.UNSUPPORTED_KEY,
                self.label,
                f"a {kind} key cannot sign a TLS handshake; use RSA, EC or Ed25519",
            )
        return key

    def pkcs8_for(self, algorithm: bytes) -> bytes | None:
        """Return the key in PKCS#8, unread, for OpenSSL to judge; None if it is encrypted or malformed.

        Args:
            algorithm: The AlgorithmIdentifier of a certificate that may belong to it.
        """
        if self.is_encrypted:
            return None
        try:
            return wrap_key(self._data, algorithm)
        except (ValueError, IndexError):
            return None

    def decrypt(self, get_passphrase: GetPassphrase) -> object:
        """Return the key, of whatever kind; otherwise as `decrypt_for_tls`."""
        try:
            if self._dek_info is not None:
                return load_der_private_key(self._decrypt_dek(*self._dek_info, get_passphrase), None)
            try:
                return self._load(lambda: None)
            except TypeError:  # it is encrypted
                _check_rounds(self._data, self.label)
                return self._load(_require(get_passphrase, self.label))
        except UNPARSABLE as error:
            raise self._explain(error, get_passphrase) from None

    def _load(self, get_passphrase: GetPassphrase) -> object:
        # No local variable holds the passphrase, since a traceback would show it.
        return load_der_private_key(self._data, get_passphrase())

    def _decrypt_dek(self, cipher: str, vector: bytes, get_passphrase: GetPassphrase) -> bytes:
        if cipher not in _DEK_CIPHERS:
            raise certificate_error(
                Reason.UNSUPPORTED_ENCRYPTION,
                self.label,
                f"it is encrypted with {cipher}, which is not supported; encrypt it again: 'openssl pkey -in FILE "
                "-aes256 -out client.key', with '-provider legacy -provider default' for an old cipher",
            )
        der = _decrypt_legacy_pem(cipher, vector, self._data, _require(get_passphrase, self.label)())
        if der is None or not is_unencrypted_key(der):
            raise _wrong_passphrase(self.label, b"", get_passphrase)
        return der

    def _explain(self, error: Exception, get_passphrase: GetPassphrase) -> CertificateError:
        # A key with DEK-Info is decrypted by now.
        if not self.is_encrypted or self._dek_info is not None:
            return certificate_error(
                Reason.UNSUPPORTED_KEY,
                self.label,
                "the private key is damaged or of a kind that is not supported; use RSA, EC on a named curve or "
                "Ed25519",
            )
        if isinstance(error, InternalError):
            return certificate_error(
                Reason.UNKNOWN_FORMAT,
                self.label,
                "its encryption is damaged, or needs more memory than there is; copy the whole file again, or encrypt "
                "the key again ('openssl pkcs8 -topk8 -in FILE -out client.key')",
            )
        if isinstance(error, UnsupportedAlgorithm) or "unknown cipher" in str(error):
            return _unsupported_encryption(self.label)
        if "Unknown key encryption" in str(error):
            return certificate_error(
                Reason.UNSUPPORTED_ENCRYPTION,
                self.label,
                "it is encrypted with a cipher that is not supported; encrypt it again: 'openssl pkcs8 -topk8 -in FILE "
                "-v2 aes256 -out client.key'",
            )
        return _wrong_passphrase(self.label, self._data, get_passphrase)


def decrypt_pkcs12(data: bytes, label: str, get_passphrase: GetPassphrase) -> tuple[list[bytes], list[EncryptedKey]]:
    """Return the certificates of a PKCS#12 file in DER, and its keys.

    Raises:
        CertificateError: The passphrase is missing or wrong, or the encryption is not supported.
    """
    _check_rounds(data, label)
    plain = read_pkcs12(data, None)
    # A file with an empty passphrase is like one without encryption.
    for get, is_encrypted in ((lambda: None, False), (_require(get_passphrase, label), True)):
        store = _load_pkcs12(data, get)
        if store is not None:
            held = [] if store.cert is None else [store.cert]
            certificates = [one.certificate.public_bytes(Encoding.DER) for one in (*held, *store.additional_certs)]
            keys = [] if store.key is None else [_key_of(store.key, label, is_encrypted=is_encrypted)]
            # cryptography returns the first key only.
            further = plain.keys if plain is not None and len(plain.keys) > 1 else []
            return certificates, [*keys, *(EncryptedKey(label=label, data=key) for key in further)]
        content = read_pkcs12(data, get() or b"")
        if content is not None:
            return content.certificates, [EncryptedKey(label=label, data=key) for key in content.keys]
    raise _unreadable_pkcs12(data, label, plain.keys if plain is not None else [], get_passphrase)


def _unreadable_pkcs12(data: bytes, label: str, keys: list[bytes], get_passphrase: GetPassphrase) -> CertificateError:
    refusal = _wrong_passphrase(label, data, get_passphrase)
    encrypted = [key for key in keys if is_encrypted_key(key)]
    if refusal.reason != Reason.PASSPHRASE_WRONG or not encrypted:
        return refusal
    try:
        for key in encrypted:
            EncryptedKey(label=label, data=key).decrypt(get_passphrase)
    except CertificateError:
        return refusal
    return certificate_error(
        Reason.UNKNOWN_FORMAT,
        label,
        "the passphrase is right, but a certificate in it cannot be read; convert it with 'openssl pkcs12 -legacy -in "
        "FILE -out client.pem', and pass that",
    )


def _check_rounds(data: bytes, label: str) -> None:
    rounds = count_rounds(data)
    if rounds > MAX_ROUNDS:
        raise certificate_error(
            Reason.UNSUPPORTED_ENCRYPTION,
            label,
            f"its keys are derived with {rounds} rounds, which would take too long (the limit is {MAX_ROUNDS}); "
            "encrypt it again: 'openssl pkcs12 -export -iter 600000', or 'openssl pkcs8 -topk8 -iter 600000'",
        )


def _key_of(key: Any, label: str, *, is_encrypted: bool) -> EncryptedKey:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return EncryptedKey(label=label, data=der, from_pkcs12=is_encrypted)


def _load_pkcs12(data: bytes, get_passphrase: GetPassphrase) -> PKCS12KeyAndCertificates | None:
    try:
        return load_pkcs12(data, get_passphrase())
    except (TypeError, *UNPARSABLE):  # a TypeError for a passphrase that is not UTF-8
        return None


def _decrypt_legacy_pem(cipher: str, vector: bytes, encrypted: bytes, passphrase: bytes) -> bytes | None:
    # OpenSSL's format before PKCS#8. None for a wrong passphrase: an exception would carry it in its frames.
    make, size = _DEK_CIPHERS[cipher]
    try:
        algorithm = make(_derive_key(passphrase, vector[:_DEK_SALT_BYTES], size))
        decryptor = Cipher(algorithm, modes.CBC(vector)).decryptor()
        padded = decryptor.update(encrypted) + decryptor.finalize()
        unpadder = PKCS7(8 * len(vector)).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return None


def _derive_key(passphrase: bytes, salt: bytes, size: int) -> bytes:
    # EVP_BytesToKey with MD5 and one round, as PEM_do_header calls it: weak, but the format defines it.
    key = last = b""
    while len(key) < size:
        last = hashlib.md5(last + passphrase + salt, usedforsecurity=False).digest()
        key += last
    return key[:size]


def _require(get_passphrase: GetPassphrase, label: str) -> Callable[[], bytes]:
    def require() -> bytes:
        return get_passphrase() or _no_passphrase(label)

    return require


def _no_passphrase(label: str) -> bytes:
    raise certificate_error(
        Reason.PASSPHRASE_MISSING, label, "it is encrypted and there is no passphrase; pass password=..."
    )


def _wrong_passphrase(label: str, data: bytes, get_passphrase: GetPassphrase) -> CertificateError:
    if any(oid in data for oid in _LEGACY_PBE) and not _has_legacy_ciphers():
        return _unsupported_encryption(label)
    # A passphrase read from a file often keeps the file's last newline; this tells without showing the passphrase.
    has_newline = (get_passphrase() or b"").endswith((b"\n", b"\r"))
    newline = " (the one given ends with a newline: strip it)" if has_newline else ""
    return certificate_error(
        Reason.PASSPHRASE_WRONG, label, f"the passphrase does not decrypt it{newline}; check password=..."
    )


def _unsupported_encryption(label: str) -> CertificateError:
    return certificate_error(
        Reason.UNSUPPORTED_ENCRYPTION,
        label,
        "it is encrypted with an old cipher (RC2, RC4 or DES) that this system's OpenSSL does not offer (no legacy "
        "provider); encrypt it again on a system that has the provider: 'openssl pkcs12 -legacy -in FILE -out "
        "client.pem', or 'openssl pkcs8 -topk8 -provider legacy -provider default -in FILE -out client.key'",
    )


def _has_legacy_ciphers() -> bool:
    try:
        Cipher(RC2(bytes(16)), modes.CBC(bytes(8))).decryptor()
    except UnsupportedAlgorithm:
        return False
    return True
