"""Bytes to certificates and keys: PEM, DER, PKCS#12, PKCS#7, each told apart by what it is, never by its file's name.

This module imports cryptography, which costs 36 ms: import it inside a function, and only where there is something to
parse. What one certificate says is read in `reading`, which belongs to which key is decided in `pairing`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from seic._errors import CertificateError
from seic._model.secrecy import Unpicklable
from seic._tls.credential_files import GetPassphrase
from seic._tls.der import first, is_cut, is_pkcs12, is_plain_key, is_sealed_key
from seic._tls.legacy_pem import can_open, open_dek
from seic._tls.pem import blocks, is_pem, unwrap
from seic._tls.reading import UNPARSABLE, facts_of
from seic._tls.reasons import Reason, certificate_error

#: The keys that sign a TLS handshake.
TlsKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
_SIGNING_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)

#: What `Contents.others` calls a CSR and a bare public key.
REQUEST = "certificate request"
PUBLIC_KEY = "public key"
_CERTIFICATE_LABELS = {"CERTIFICATE", "X509 CERTIFICATE"}
# What 'openssl x509 -trustout' writes: behind the certificate, what it is trusted for.
_TRUSTED_LABEL = "TRUSTED CERTIFICATE"
_OPENSSH_LABEL = "OPENSSH PRIVATE KEY"
_BAG_LABELS = {"PKCS7", "CMS"}
# Java's own key store formats: JKS and JCEKS.
_KEYSTORE_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
# PBE with RC2, RC4 or single DES (RFC 7292 appendix C: 1.2.840.113549.1.12.1.{1,2,5,6}; RFC 8018 §A.3:
# 1.2.840.113549.1.5.{1,3,4,6,10,11}): OpenSSL 3 keeps these ciphers in its legacy provider.
_LEGACY_PBE = tuple(
    [bytes.fromhex("060a2a864886f70d010c01") + bytes([last]) for last in (1, 2, 5, 6)]
    + [bytes.fromhex("06092a864886f70d0105") + bytes([last]) for last in (1, 3, 4, 6, 10, 11)]
)


@attrs.frozen(kw_only=True, repr=False)
class EncryptedKey(Unpicklable):
    """A private key as it stood in the file, opened only when it is needed.

    `sealing` is the cipher and vector of a `DEK-Info` line; None for PKCS#8 and for what is in clear.
    """

    label: str
    _data: bytes = attrs.field(alias="data")
    _sealing: tuple[str, bytes] | None = attrs.field(default=None, alias="sealing")
    _was_guarded: bool = attrs.field(default=False, alias="was_guarded")

    @property
    def is_guarded(self) -> bool:
        """Whether it was encrypted in the file."""
        return self._was_guarded or self._sealing is not None or is_sealed_key(self._data)

    def open(self, reveal: GetPassphrase) -> TlsKey:
        """Return the key itself.

        Args:
            reveal: Called for the passphrase only where there is need of one.

        Raises:
            CertificateError: The passphrase is missing or wrong, the encryption or the kind of key is not supported.
        """
        key = self.load(reveal)
        if not isinstance(key, _SIGNING_KEYS):
            kind = type(key).__name__.removesuffix("DecodedKey")
            raise certificate_error(
                Reason.UNSUPPORTED_KEY,
                self.label,
                f"a {kind} key cannot sign a TLS handshake; use RSA, EC or Ed25519",
            )
        return key

    def load(self, reveal: GetPassphrase) -> object:
        """Return the key itself, be it one that signs or not; see `open`."""
        try:
            if self._sealing is not None:
                return load_der_private_key(self._unsealed(*self._sealing, reveal), None)
            try:
                return self._load(lambda: None)
            except TypeError:  # there is need of one
                return self._load(_demand(reveal, self.label))
        except UNPARSABLE as error:
            raise self._explain(error, reveal) from None

    def _load(self, reveal: GetPassphrase) -> object:
        # The passphrase is never bound to a local name, where a traceback would show it.
        return load_der_private_key(self._data, reveal())

    def _unsealed(self, cipher: str, vector: bytes, reveal: GetPassphrase) -> bytes:
        if not can_open(cipher):
            raise certificate_error(
                Reason.UNSUPPORTED_ENCRYPTION,
                self.label,
                f"it is encrypted with {cipher}, which is not supported; encrypt it anew: 'openssl pkey -in FILE "
                "-aes256 -out client.key', with '-provider legacy -provider default' for an old cipher",
            )
        der = open_dek(cipher, vector, self._data, _demand(reveal, self.label)())
        if der is None or not is_plain_key(der):
            raise _wrong_passphrase(self.label, b"", reveal)
        return der

    def _explain(self, error: Exception, reveal: GetPassphrase) -> CertificateError:
        # What DEK-Info told of is open by now.
        if not self.is_guarded or self._sealing is not None:
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
                "its encryption is damaged, or asks for more memory than there is; copy the file again as a whole, or "
                "encrypt the key anew ('openssl pkcs8 -topk8 -in FILE -out client.key')",
            )
        if isinstance(error, UnsupportedAlgorithm) or "unknown cipher" in str(error):
            return _unsupported_encryption(self.label)
        if "Unknown key encryption" in str(error):
            return certificate_error(
                Reason.UNSUPPORTED_ENCRYPTION,
                self.label,
                "it is encrypted with a cipher that is not supported; encrypt it anew: 'openssl pkcs8 -topk8 -in FILE "
                "-v2 aes256 -out client.key'",
            )
        return _wrong_passphrase(self.label, self._data, reveal)


@attrs.define
class Contents:
    """What one file holds; `others` names what is neither a certificate nor a private key."""

    label: str
    certificates: list[x509.Certificate] = attrs.field(factory=list)
    keys: list[EncryptedKey] = attrs.field(factory=list)
    others: list[str] = attrs.field(factory=list)


def parse(data: bytes, label: str, reveal: GetPassphrase) -> Contents:
    """Return what stands in the bytes.

    Args:
        data: The whole file.
        label: What errors call it.
        reveal: Called for the passphrase where a PKCS#12 file needs one.

    Raises:
        CertificateError: The bytes are cut off, damaged, or of no known format.
    """
    data = unwrap(data)
    contents = Contents(label)
    if is_pem(data):
        _parse_pem(data, contents)
    else:
        _parse_der(data, contents, reveal)
    for certificate in contents.certificates:
        _read_through(certificate, label)
    return contents


def _read_through(certificate: x509.Certificate, label: str) -> None:
    # cryptography parses names when they are asked for: ask here, where a damaged one has its error.
    try:
        facts_of(certificate)
    except UNPARSABLE:
        raise certificate_error(
            Reason.UNKNOWN_FORMAT, label, "a certificate in it is damaged; copy the file again as a whole"
        ) from None


def _parse_pem(data: bytes, contents: Contents) -> None:
    label = contents.label
    for block in blocks(data, label):
        if block.label == _OPENSSH_LABEL:
            raise certificate_error(
                Reason.UNKNOWN_FORMAT,
                label,
                "it holds a key in OpenSSH's own format; convert a copy with 'ssh-keygen -p -m PKCS8 -f FILE'",
            )
        if block.label.endswith("PRIVATE KEY"):
            contents.keys.append(EncryptedKey(label=label, data=block.der, sealing=block.sealing))
        elif block.label in _CERTIFICATE_LABELS:
            contents.certificates.append(_certificate(block.der, label))
        elif block.label == _TRUSTED_LABEL:
            contents.certificates.append(_certificate(first(block.der), label))
        elif block.label in _BAG_LABELS:
            contents.certificates.extend(_bag(block.der, label))
        elif not block.label.endswith("PARAMETERS"):
            contents.others.append(_kind(block.label.lower()))


def _kind(name: str) -> str:
    # "new certificate request" and "rsa public key" are older spellings.
    return next((kind for kind in (REQUEST, PUBLIC_KEY) if name.endswith(kind)), name)


def _certificate(der: bytes, label: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except UNPARSABLE:
        raise _damaged(der, label, "the certificate") from None


def _bag(der: bytes, label: str) -> list[x509.Certificate]:
    try:
        return load_der_pkcs7_certificates(der)
    except UNPARSABLE:
        raise _damaged(der, label, "the PKCS#7 bag") from None


def _parse_der(data: bytes, contents: Contents, reveal: GetPassphrase) -> None:
    if data.startswith(_KEYSTORE_MAGIC):
        raise certificate_error(
            Reason.UNKNOWN_FORMAT,
            contents.label,
            "it is a Java keystore; convert it with 'keytool -importkeystore -srckeystore FILE -destkeystore "
            "client.p12 -deststoretype PKCS12'",
        )
    if is_cut(data):
        raise _damaged(data, contents.label, "the DER")
    if is_pkcs12(data):
        _parse_pkcs12(data, contents, reveal)
        return
    kinds: list[tuple[Callable[[bytes], Any], Callable[[Any], None]]] = [
        (x509.load_der_x509_certificate, contents.certificates.append),
        (load_der_pkcs7_certificates, contents.certificates.extend),
        (_load_der_key, lambda _: contents.keys.append(EncryptedKey(label=contents.label, data=data))),
        (x509.load_der_x509_csr, lambda _: contents.others.append(REQUEST)),
        (load_der_public_key, lambda _: contents.others.append(PUBLIC_KEY)),
    ]
    for load, keep in kinds:
        try:
            loaded = load(data)
        except UNPARSABLE:
            continue
        keep(loaded)
        return
    raise certificate_error(
        Reason.UNKNOWN_FORMAT,
        contents.label,
        "it is neither PEM, DER nor PKCS#12; check the path, and that the file was copied in binary mode",
    )


def _load_der_key(data: bytes) -> None:
    with contextlib.suppress(TypeError):  # it is a key, and encrypted
        load_der_private_key(data, None)


def _parse_pkcs12(data: bytes, contents: Contents, reveal: GetPassphrase) -> None:
    store = _open_pkcs12(data, lambda: None)
    is_guarded = store is None
    store = store or _open_pkcs12(data, _demand(reveal, contents.label))
    if store is None:
        raise _wrong_passphrase(contents.label, data, reveal)
    if store.cert is not None:
        contents.certificates.append(store.cert.certificate)
    contents.certificates.extend(extra.certificate for extra in store.additional_certs)
    if store.key is not None:
        key = store.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        contents.keys.append(EncryptedKey(label=contents.label, data=key, was_guarded=is_guarded))


def _open_pkcs12(data: bytes, reveal: GetPassphrase) -> PKCS12KeyAndCertificates | None:
    try:
        return load_pkcs12(data, reveal())
    except (TypeError, *UNPARSABLE):  # a TypeError for a passphrase that is not UTF-8
        return None


def _demand(reveal: GetPassphrase, label: str) -> Callable[[], bytes]:
    def demand() -> bytes:
        return reveal() or _no_passphrase(label)

    return demand


def _no_passphrase(label: str) -> bytes:
    raise certificate_error(
        Reason.PASSPHRASE_MISSING, label, "it is encrypted and there is no passphrase; pass password=… with it"
    )


def _wrong_passphrase(label: str, data: bytes, reveal: GetPassphrase) -> CertificateError:
    if any(oid in data for oid in _LEGACY_PBE) and not _has_legacy_ciphers():
        return _unsupported_encryption(label)
    # A passphrase read from a file brings the file's last newline along; this tells without showing it.
    newline = " (the one given ends with a newline: strip it)" if (reveal() or b"").endswith((b"\n", b"\r")) else ""
    return certificate_error(
        Reason.PASSPHRASE_WRONG, label, f"the passphrase does not open it{newline}; check password=…"
    )


def _unsupported_encryption(label: str) -> CertificateError:
    return certificate_error(
        Reason.UNSUPPORTED_ENCRYPTION,
        label,
        "it is encrypted with an old cipher (RC2, RC4 or DES) that this system's OpenSSL does not offer (no legacy "
        "provider); encrypt it anew where the provider is at hand: 'openssl pkcs12 -legacy -in FILE -out client.pem', "
        "or 'openssl pkcs8 -topk8 -provider legacy -provider default -in FILE -out client.key'",
    )


def _has_legacy_ciphers() -> bool:
    try:
        Cipher(RC2(bytes(16)), modes.CBC(bytes(8))).decryptor()
    except UnsupportedAlgorithm:
        return False
    return True


def _damaged(der: bytes, label: str, what: str) -> CertificateError:
    if is_cut(der):
        return certificate_error(
            Reason.TRUNCATED, label, f"{what} is cut off or still being written; copy the file again as a whole"
        )
    return certificate_error(Reason.UNKNOWN_FORMAT, label, f"{what} in it is damaged; copy the file again as a whole")
