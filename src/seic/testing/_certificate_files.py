"""`CertificateFactory`: files of client certificates in every form, and with one defect each."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from seic._tls.certificate import ClientCertificate
from seic.sandbox import CertificateAuthority, IssuedCertificate

#: `pem`: two files. `combined`: one PEM file. `encrypted`: two files, the key with a passphrase. `traditional`: two
#: files, the key as PKCS#1 or SEC 1. `der`: two files. `pkcs12`: one file with a passphrase.
CertificateForm: TypeAlias = Literal["pem", "combined", "encrypted", "traditional", "der", "pkcs12"]
#: The codes of `CertificateError.reason`; `untrusted` and `revoked` are known to the server alone.
CertificateDefect: TypeAlias = Literal[
    "expired",
    "not-yet-valid",
    "expires-soon",
    "key-mismatch",
    "common-name",
    "not-for-clients",
    "weak-key",
    "no-key",
    "key-as-certificate",
    "truncated",
    "empty",
    "not-found",
    "unknown-format",
    "passphrase-wrong",
    "passphrase-missing",
    "untrusted",
]
_FORMS: tuple[str, ...] = get_args(CertificateForm)
_DEFECTS: tuple[str, ...] = get_args(CertificateDefect)
_PASSPHRASE = "passphrase-of-the-test"
_DAY = dt.timedelta(days=1)


@attrs.frozen(kw_only=True)
class CertificateFiles:
    """The files of one client certificate.

    Args:
        certificate: The certificate, with the key if `key` is None.
        key: The private key.
        password: The passphrase to use; None if there is none.
    """

    certificate: Path
    key: Path | None = None
    password: str | None = attrs.field(default=None, repr=False)

    def load(self) -> ClientCertificate:
        """Return the certificate as seic reads it.

        Raises:
            CertificateError: The defect can be seen in the files.
        """
        key = None if self.key is None else str(self.key)
        return ClientCertificate.load(str(self.certificate), key=key, password=self.password)


class CertificateFactory:
    """Writes certificates of an authority.

    Args:
        authority: The authority; that of a sandbox, so that the sandbox accepts the certificates.
        folder: The folder of the files.
        username: The CN.
    """

    def __init__(self, authority: CertificateAuthority, folder: Path, *, username: str) -> None:
        self._authority = authority
        self._folder = folder
        self._username = username
        self._numbers = itertools.count(1)

    def create(
        self,
        form: CertificateForm = "pem",
        *,
        defect: CertificateDefect | None = None,
        key_type: Literal["ec", "rsa", "ed25519"] = "ec",
    ) -> CertificateFiles:
        """Write a certificate and its key.

        Args:
            form: `pem`, `combined`, `encrypted`, `traditional`, `der` or `pkcs12`.
            defect: A code of `CertificateError.reason`: `expired`, `not-yet-valid`, `expires-soon`, `key-mismatch`,
                `common-name`, `not-for-clients`, `weak-key`, `no-key`, `key-as-certificate`, `truncated`, `empty`,
                `not-found`, `unknown-format`, `passphrase-wrong`, `passphrase-missing`, or `untrusted`: of another
                authority.
            key_type: The type of the key.

        Raises:
            ValueError: There is no such form or defect.
        """
        if form not in _FORMS:
            raise ValueError(f"form: must be one of {', '.join(_FORMS)}, not {form!r}")
        if defect is not None and defect not in _DEFECTS:
            raise ValueError(f"defect: must be one of {', '.join(_DEFECTS)}, not {defect!r}")
        if defect in {"passphrase-wrong", "passphrase-missing"} and form not in {"encrypted", "pkcs12"}:
            form = "encrypted"
        if defect == "key-as-certificate" and form in {"combined", "pkcs12"}:
            form = "pem"
        files = self._write(form, self._issue(defect, key_type))
        return _damage(files, defect)

    def _issue(self, defect: CertificateDefect | None, key_type: Literal["ec", "rsa", "ed25519"]) -> IssuedCertificate:
        now, authority = dt.datetime.now(dt.UTC), self._authority
        if defect == "weak-key":
            return _weak(self._username)
        if defect == "untrusted":
            authority = CertificateAuthority("another authority")
        begin = {"not-yet-valid": now + _DAY}.get(defect or "")
        end = {"expired": now - _DAY, "expires-soon": now + 2 * _DAY}.get(defect or "")
        name = "another-account" if defect == "common-name" else self._username
        issued = authority.issue(
            name,
            key_type=key_type,
            not_before=begin,
            not_after=end,
            client=defect != "not-for-clients",
            server=defect == "not-for-clients",
        )
        if defect == "key-mismatch":
            other = authority.issue(name, key_type=key_type)
            return attrs.evolve(issued, key=other.key)
        return issued

    def _write(self, form: str, issued: IssuedCertificate) -> CertificateFiles:
        stem = self._folder / f"client-{next(self._numbers)}"
        if form == "pkcs12":
            encryption = BestAvailableEncryption(_PASSPHRASE.encode())
            content = pkcs12.serialize_key_and_certificates(None, issued.key, issued.certificate, None, encryption)
            return CertificateFiles(certificate=_write(stem.with_suffix(".p12"), content), password=_PASSPHRASE)
        if form == "combined":
            return CertificateFiles(certificate=_write(stem.with_suffix(".pem"), issued.cert_pem + issued.key_pem))
        if form == "der":
            certificate = issued.certificate.public_bytes(Encoding.DER)
            key = issued.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        else:
            certificate, key = issued.cert_pem, issued.key_pem
        if form == "encrypted":
            key = issued.encode_key(_PASSPHRASE.encode())
        elif form == "traditional":
            key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return CertificateFiles(
            certificate=_write(stem.with_suffix(".der" if form == "der" else ".pem"), certificate),
            key=_write(stem.with_suffix(".key"), key),
            password=_PASSPHRASE if form == "encrypted" else None,
        )


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _damage(files: CertificateFiles, defect: CertificateDefect | None) -> CertificateFiles:
    path = files.certificate
    if defect == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif defect == "empty":
        path.write_bytes(b"")
    elif defect == "not-found":
        path.unlink()
    elif defect == "unknown-format":
        path.write_bytes(b"<html>Sign in</html>\n")
    elif defect == "no-key":
        return CertificateFiles(certificate=path) if files.key is not None else _without_key(files)
    elif defect == "key-as-certificate":
        return CertificateFiles(certificate=files.key or path, password=files.password)
    elif defect == "passphrase-wrong":
        return attrs.evolve(files, password="another-passphrase")
    elif defect == "passphrase-missing":
        return attrs.evolve(files, password=None)
    return files


def _without_key(files: CertificateFiles) -> CertificateFiles:
    content = files.certificate.read_bytes()
    if files.password is not None:
        _, certificate, _ = pkcs12.load_key_and_certificates(content, files.password.encode())
        encryption = BestAvailableEncryption(files.password.encode())
        content = pkcs12.serialize_key_and_certificates(None, None, certificate, None, encryption)
    else:
        content = content.partition(b"-----BEGIN PRIVATE KEY")[0]
    files.certificate.write_bytes(content)
    return files


def _weak(username: str) -> IssuedCertificate:
    """Return a certificate with a key of 1024 bits, which the authority does not make."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - weak on purpose
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, username)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
    )
    return IssuedCertificate(certificate=builder.sign(key, hashes.SHA256()), key=key)
