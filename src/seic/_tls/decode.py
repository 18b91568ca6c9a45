"""Bytes to certificates and keys: PEM, DER, PKCS#12 and PKCS#7, recognized by content, never by file name.

Import it inside a function: importing cryptography takes 36 ms.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from seic._errors import CertificateError
from seic._model.secret import Unpicklable
from seic._tls.certificate_info import CertificateInfo
from seic._tls.credential_files import CredentialFile, GetPassphrase, Material, Passphrase, PassphraseInput
from seic._tls.encoding import first_element, is_pem, is_pkcs12, is_truncated, pem_blocks, unwrap
from seic._tls.private_key import UNPARSABLE, EncryptedKey, decrypt_pkcs12
from seic._tls.reasons import Reason, certificate_error, without_foreign_warnings

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

#: A certificate request and a bare public key in `DecodedFile.others`.
REQUEST = "certificate request"
PUBLIC_KEY = "public key"
_CERTIFICATE_LABELS = {"CERTIFICATE", "X509 CERTIFICATE"}
# The label of 'openssl x509 -trustout': the certificate is followed by its trusted uses.
_TRUSTED_LABEL = "TRUSTED CERTIFICATE"
_OPENSSH_LABEL = "OPENSSH PRIVATE KEY"
_PKCS7_LABELS = {"PKCS7", "CMS"}
# Java's own key store formats: JKS and JCEKS.
_KEYSTORE_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@attrs.frozen
class DecodedCertificate:
    """A certificate as cryptography has it, and its facts."""

    x509: x509.Certificate = attrs.field(eq=False)
    facts: CertificateInfo

    def extension(self, kind: type[_Extension]) -> _Extension | None:
        """Return the extension of that kind; None if it is absent or cannot be parsed."""
        return _extension(self.x509, kind)

    def is_issued_by(self, issuer: DecodedCertificate) -> bool:
        """Return whether `issuer` has the name of this certificate's issuer, and signed it."""
        return _is_signed_by(self.x509, issuer.x509)


@attrs.define
class DecodedFile:
    """The content of one file; `others` names what is neither a certificate nor a private key."""

    label: str
    certificates: list[DecodedCertificate] = attrs.field(factory=list)
    keys: list[EncryptedKey] = attrs.field(factory=list)
    others: list[str] = attrs.field(factory=list)

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


@attrs.frozen(kw_only=True, repr=False)
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


def decode(data: bytes, label: str, get_passphrase: GetPassphrase) -> DecodedFile:
    """Return the certificates and keys of a file.

    Args:
        data: The whole file.
        label: Its name in errors.
        get_passphrase: Called only for a PKCS#12 file that needs a passphrase.

    Raises:
        CertificateError: The file is cut off, damaged, or of no known format.
    """
    data = unwrap(data)
    decoded = DecodedFile(label)
    if is_pem(data):
        _decode_pem(data, decoded)
    else:
        _decode_der(data, decoded, get_passphrase)
    return decoded


def _decode_pem(data: bytes, decoded: DecodedFile) -> None:
    label = decoded.label
    for block in pem_blocks(data, label):
        if block.label == _OPENSSH_LABEL:
            raise certificate_error(
                Reason.UNKNOWN_FORMAT,
                label,
                "it holds a key in OpenSSH's own format; convert a copy with 'ssh-keygen -p -m PKCS8 -f FILE'",
            )
        if block.label.endswith("PRIVATE KEY"):
            decoded.keys.append(EncryptedKey(label=label, data=block.der, dek_info=block.encryption))
        elif block.label in _CERTIFICATE_LABELS:
            decoded.certificates.append(_certificate(block.der, label))
        elif block.label == _TRUSTED_LABEL:
            decoded.certificates.append(_certificate(first_element(block.der), label))
        elif block.label in _PKCS7_LABELS:
            decoded.certificates.extend(_pkcs7(block.der, label))
        elif not block.label.endswith("PARAMETERS"):
            decoded.others.append(_other(block.label.lower()))


def _other(name: str) -> str:
    # "new certificate request" and "rsa public key" are older spellings.
    return next((kind for kind in (REQUEST, PUBLIC_KEY) if name.endswith(kind)), name)


def _certificate(der: bytes, label: str) -> DecodedCertificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except UNPARSABLE:
        raise _damaged(der, label, "the certificate") from None
    return _with_facts(certificate, label)


def _pkcs7(der: bytes, label: str) -> list[DecodedCertificate]:
    try:
        certificates = load_der_pkcs7_certificates(der)
    except UNPARSABLE:
        raise _damaged(der, label, "the PKCS#7 bundle") from None
    return [_with_facts(certificate, label) for certificate in certificates]


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
        raise _damaged(data, label, "the DER")
    if is_pkcs12(data):
        _decode_pkcs12(data, decoded, get_passphrase)
        return
    kinds: list[tuple[Callable[[bytes], Any], Callable[[Any], None]]] = [
        (x509.load_der_x509_certificate, lambda one: decoded.certificates.append(_with_facts(one, label))),
        (
            load_der_pkcs7_certificates,
            lambda several: decoded.certificates.extend(_with_facts(one, label) for one in several),
        ),
        (_load_der_key, lambda _: decoded.keys.append(EncryptedKey(label=label, data=data))),
        (x509.load_der_x509_csr, lambda _: decoded.others.append(REQUEST)),
        (load_der_public_key, lambda _: decoded.others.append(PUBLIC_KEY)),
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
        label,
        "it is neither PEM, DER nor PKCS#12; check the path, and that the file was copied in binary mode",
    )


def _load_der_key(data: bytes) -> None:
    with contextlib.suppress(TypeError):  # it is a key, and encrypted
        load_der_private_key(data, None)


def _decode_pkcs12(data: bytes, decoded: DecodedFile, get_passphrase: GetPassphrase) -> None:
    label = decoded.label
    store, was_encrypted = decrypt_pkcs12(data, label, get_passphrase)
    certificates = [] if store.cert is None else [store.cert.certificate]
    certificates += [extra.certificate for extra in store.additional_certs]
    decoded.certificates.extend(_with_facts(certificate, label) for certificate in certificates)
    if store.key is not None:
        key = store.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        decoded.keys.append(EncryptedKey(label=label, data=key, from_pkcs12=was_encrypted))


def _damaged(der: bytes, label: str, what: str) -> CertificateError:
    if is_truncated(der):
        return certificate_error(
            Reason.TRUNCATED, label, f"{what} is cut off or still being written; copy the whole file again"
        )
    return certificate_error(Reason.UNKNOWN_FORMAT, label, f"{what} in it is damaged; copy the whole file again")


def _with_facts(certificate: x509.Certificate, label: str) -> DecodedCertificate:
    try:
        return DecodedCertificate(certificate, _facts(certificate))
    except UNPARSABLE:  # cryptography parses names only when they are read
        raise _damaged(b"", label, "a certificate") from None


def _facts(certificate: x509.Certificate) -> CertificateInfo:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    serial_number = f"{certificate.serial_number:X}"
    return CertificateInfo(
        der=certificate.public_bytes(Encoding.DER),
        subject=certificate.subject.rfc4514_string(),
        # The last is the most specific (X.501 §8.3).
        common_name=str(names[-1].value) if names else None,
        issuer=certificate.issuer.rfc4514_string(),
        serial_number=serial_number.zfill(len(serial_number) + len(serial_number) % 2),
        not_before=certificate.not_valid_before_utc.astimezone(dt.UTC),
        not_after=certificate.not_valid_after_utc.astimezone(dt.UTC),
        key_type=_key_type(certificate),
        is_ca=constraints is not None and constraints.ca,
        is_self_signed=certificate.subject == certificate.issuer and _is_signed_by(certificate, certificate),
        allows_client_auth=usage is None or ExtendedKeyUsageOID.CLIENT_AUTH in usage,
    )


def _key_type(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except UNPARSABLE:
        return "unknown"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    name = type(key).__name__.removesuffix("PublicKey")
    return f"{name} {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else name


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, *UNPARSABLE):
        return None


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (TypeError, InvalidSignature, *UNPARSABLE):
        return False
    return True
