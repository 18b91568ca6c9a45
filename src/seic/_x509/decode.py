"""Bytes to certificates and keys: PEM, DER, PKCS#12 and PKCS#7, recognized by content, never by file name.

Import it inside a function: importing cryptography takes 36 ms.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import Callable
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_der_public_key,
)
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from seic._errors import CertificateError
from seic._model.secret import Unpicklable
from seic._values import frozen
from seic._x509.certificate_fields import CertificateFields, certificate_info, read_fields
from seic._x509.certificate_info import CertificateInfo
from seic._x509.credential_files import CredentialFile, GetPassphrase, Material, Passphrase, PassphraseInput
from seic._x509.encoding import (
    PemBlock,
    is_cut_off,
    is_pem,
    is_pkcs12,
    is_truncated,
    pem_blocks,
    pkcs7_certificates,
    unwrap,
)
from seic._x509.private_key import UNPARSABLE, EncryptedKey, decrypt_pkcs12
from seic._x509.reasons import Reason, certificate_error, without_foreign_warnings

#: A certificate request and a bare public key in `DecodedFile.others`.
REQUEST = "certificate request"
PUBLIC_KEY = "public key"
# The last is of 'openssl x509 -trustout': the certificate is followed by its trusted uses.
_CERTIFICATE_LABELS = {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}
_OPENSSH_LABEL = "OPENSSH PRIVATE KEY"
_PKCS7_LABELS = {"PKCS7", "CMS"}
# Java's own key store formats: JKS and JCEKS.
_KEYSTORE_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@frozen
class DecodedCertificate:
    """A certificate's facts and fields, and the certificate as cryptography has it, if it takes it."""

    facts: CertificateInfo
    fields: CertificateFields = attrs.field(eq=False)
    #: As cryptography has it; None for a kind that it does not know.
    public_key: Any = attrs.field(eq=False)
    _x509: x509.Certificate | None = attrs.field(eq=False)

    def is_issued_by(self, issuer: DecodedCertificate) -> bool:
        """Return whether `issuer` has the name of this certificate's issuer, and signed it, as far as can be known."""
        return self.fields.may_be_issued_by(issuer.fields) and _may_have_signed(issuer.public_key, self._x509)


@attrs.define
class DecodedFile:
    """The content of one file; `others` names what is neither a certificate nor a private key."""

    label: str
    certificates: list[DecodedCertificate] = attrs.field(factory=list)
    keys: list[EncryptedKey] = attrs.field(factory=list)
    others: list[str] = attrs.field(factory=list)
    #: Whether the last PEM block has no END line, as in a file that is still being written.
    is_cut_off: bool = False

    def require_keys(self) -> list[EncryptedKey]:
        """Return the private keys.

        Raises:
            CertificateError: There is none.
        """
        if self.keys:
            return self.keys
        reason, text = Reason.NO_KEY, "there is no private key in it; pass the key's file as key=..."
        if self.certificates:
            reason = Reason.CERTIFICATE_AS_KEY
            text = "it holds a certificate instead of the private key; pass the key's file as key=..."
        elif PUBLIC_KEY in self.others:
            reason, text = Reason.PUBLIC_KEY, "it holds a public key instead of the private key; pass the private key"
        raise certificate_error(reason, self.label, text)


@frozen(kw_only=True, repr=False)
class DecodedKey(Unpicklable):
    """A private key as cryptography has it, its file's name in errors, and whether the file was encrypted."""

    label: str
    key: object
    was_encrypted: bool


@without_foreign_warnings
def read_private_key(material: Material, password: PassphraseInput | None) -> DecodedKey:
    """Read a private key of any format and kind.

    Args:
        material: A path, PEM text or bytes.
        password: The passphrase, or a callable that returns it when it is needed.

    Raises:
        CertificateError: It cannot be read or decrypted; `path` names the file and `reason` the mistake.
        ConfigurationError: An argument has another type.
    """
    file = CredentialFile.of(material, "key")
    get_passphrase = functools.cache(functools.partial(Passphrase(value=password).reveal, file.label))
    encrypted = decode(file.read(), file.label, get_passphrase).require_keys()[0]
    return DecodedKey(label=file.label, key=encrypted.decrypt(get_passphrase), was_encrypted=encrypted.is_encrypted)


def decode(
    data: bytes, label: str, get_passphrase: GetPassphrase, *, skipped: list[CertificateError] | None = None
) -> DecodedFile:
    """Return the certificates and keys of a file.

    Args:
        data: The whole file.
        label: Its name in errors.
        get_passphrase: Called only for a PKCS#12 file that needs a passphrase.
        skipped: Receives an error for each damaged PEM block, which is then left out; None raises the first.

    Raises:
        CertificateError: The file is cut off, damaged, or of no known format.
    """
    data = unwrap(data)
    decoded = DecodedFile(label)
    if is_pem(data):
        decoded.is_cut_off = is_cut_off(data)
        _decode_pem(pem_blocks(data, label), decoded, skipped)
    else:
        _decode_der(data, decoded, get_passphrase)
    return decoded


def _decode_pem(
    blocks: list[PemBlock | CertificateError], decoded: DecodedFile, skipped: list[CertificateError] | None
) -> None:
    for block in blocks:
        try:
            if isinstance(block, CertificateError):
                raise block
            _decode_block(block, decoded)
        except CertificateError as error:
            if skipped is None:
                raise
            skipped.append(error)


def _decode_block(block: PemBlock, decoded: DecodedFile) -> None:
    label = decoded.label
    if block.label == _OPENSSH_LABEL:
        raise certificate_error(
            Reason.UNKNOWN_FORMAT,
            label,
            "it holds a key in OpenSSH's own format; convert a copy with 'ssh-keygen -p -m PKCS8 -f FILE'",
        )
    if block.label.endswith("PRIVATE KEY"):
        decoded.keys.append(EncryptedKey(label=label, data=block.der, dek_info=block.encryption))
    elif block.label in _CERTIFICATE_LABELS:
        decoded.certificates.append(_certificate(block.der, label, f" in line {block.line}"))
    elif block.label in _PKCS7_LABELS:
        decoded.certificates.extend(_pkcs7(block.der, label))
    elif not block.label.endswith("PARAMETERS"):
        decoded.others.append(_other(block.label.lower()))


def _other(name: str) -> str:
    # "new certificate request" and "rsa public key" are older spellings.
    return next((kind for kind in (REQUEST, PUBLIC_KEY) if name.endswith(kind)), name)


def _certificate(der: bytes, label: str, where: str = " in it") -> DecodedCertificate:
    try:
        fields = read_fields(der)
    except ValueError:
        raise _damaged(der, label, f"the certificate{where}") from None
    # OpenSSL ignores what follows a certificate in its PEM block.
    der = fields.der
    try:
        certificate = x509.load_der_x509_certificate(der)
    except UNPARSABLE:
        certificate = None
    if certificate is None and not _is_taken_by_openssl(der):
        raise _damaged(der, label, f"the certificate{where} ({fields.subject.text})")
    try:
        key: Any = load_der_public_key(fields.public_key)
    except UNPARSABLE:
        key = None
    is_self_signed = fields.may_be_issued_by(fields) and _may_have_signed(key, certificate)
    facts = certificate_info(fields, key_type=_key_type(key), is_self_signed=is_self_signed)
    return DecodedCertificate(facts, fields, key, certificate)


def _is_taken_by_openssl(der: bytes) -> bool:
    # cryptography is stricter. The library that connects decides.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):  # a ValueError for no data at all
        return False
    return True


def _pkcs7(der: bytes, label: str) -> list[DecodedCertificate]:
    try:
        found = [certificate.public_bytes(Encoding.DER) for certificate in load_der_pkcs7_certificates(der)]
    except UNPARSABLE:
        try:
            found = pkcs7_certificates(der)
        except (ValueError, IndexError):
            raise _damaged(der, label, "the PKCS#7 bundle in it") from None
    return [_certificate(certificate, label) for certificate in found]


def _decode_der(data: bytes, decoded: DecodedFile, get_passphrase: GetPassphrase) -> None:
    label = decoded.label
    if data.startswith(_KEYSTORE_MAGIC):
        raise certificate_error(
            Reason.UNKNOWN_FORMAT,
            label,
            "it is a Java keystore; convert it with 'keytool -importkeystore -srckeystore FILE -destkeystore "
            "client.p12 -deststoretype PKCS12'",
        )
    if is_truncated(data):
        raise _damaged(data, label, "the DER in it")
    if is_pkcs12(data):
        _decode_pkcs12(data, decoded, get_passphrase)
        return
    kinds: list[tuple[Callable[[bytes], Any], Callable[[Any], None]]] = [
        (lambda der: _certificate(der, label), decoded.certificates.append),
        (lambda der: _pkcs7(der, label), decoded.certificates.extend),
        (_load_der_key, lambda _: decoded.keys.append(EncryptedKey(label=label, data=data))),
        (x509.load_der_x509_csr, lambda _: decoded.others.append(REQUEST)),
        (load_der_public_key, lambda _: decoded.others.append(PUBLIC_KEY)),
    ]
    for load, keep in kinds:
        try:
            loaded = load(data)
        except (CertificateError, *UNPARSABLE):
            continue
        keep(loaded)
        return
    raise certificate_error(
        Reason.UNKNOWN_FORMAT,
        label,
        "it is neither PEM, DER nor PKCS#12; check the path, and that the file was copied in binary mode",
    )


def _load_der_key(data: bytes) -> None:
    with contextlib.suppress(TypeError):  # it is a key, and encrypted
        load_der_private_key(data, None)


def _decode_pkcs12(data: bytes, decoded: DecodedFile, get_passphrase: GetPassphrase) -> None:
    certificates, keys = decrypt_pkcs12(data, decoded.label, get_passphrase)
    decoded.certificates.extend(_certificate(der, decoded.label) for der in certificates)
    decoded.keys.extend(keys)


def _damaged(der: bytes, label: str, what: str) -> CertificateError:
    if is_truncated(der):
        return certificate_error(
            Reason.TRUNCATED, label, f"{what} is cut off or still being written; copy the whole file again"
        )
    return certificate_error(Reason.UNKNOWN_FORMAT, label, f"{what} is damaged; copy the whole file again")


def _key_type(key: Any) -> str:
    if key is None:
        return "unknown"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    name = type(key).__name__.removesuffix("PublicKey")
    return f"{name} {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else name


def _may_have_signed(key: Any, certificate: x509.Certificate | None) -> bool:
    # A signature that cannot be checked is not held against a certificate: the server checks it.
    if key is None or certificate is None:
        return True
    try:
        how: tuple[Any, ...] = ()
        if isinstance(key, rsa.RSAPublicKey):
            how = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
        elif isinstance(key, ec.EllipticCurvePublicKey):
            how = (certificate.signature_algorithm_parameters,)
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, *how)
    except (TypeError, AttributeError, InvalidSignature, *UNPARSABLE):
        return False
    return True
