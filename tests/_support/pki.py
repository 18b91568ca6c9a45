"""Certificates for tests, invalid and unusual ones included, made in memory or by the openssl program."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

#: The time to which all dates of a run relate: the real one, since real handshakes use the real clock.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)
#: The passphrase of everything encrypted; easy to find in output.
PASSPHRASE = "pass-phrase-never-shown"

_MAKERS: dict[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - weak on purpose
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "dsa": lambda: dsa.generate_private_key(2048),
}


@functools.cache
def private_key(kind: str, number: int = 0) -> Any:
    """Return a key of a kind; the same for the same number, since making RSA keys takes time."""
    return _MAKERS[kind]()


@attrs.frozen
class Minted:
    """A certificate with its key and its issuer."""

    certificate: x509.Certificate
    key: Any
    issuer: Minted | None = None

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8 PEM, in clear."""
        return self.key_bytes()

    @property
    def pair(self) -> bytes:
        """Certificate and key in one PEM."""
        return self.pem + self.key_pem

    def key_bytes(self, form: str = "PKCS8", password: str | None = None, encoding: Encoding = Encoding.PEM) -> bytes:
        """The key in any form: `PKCS8`, `TraditionalOpenSSL`."""
        sealing = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(encoding, getattr(PrivateFormat, form), sealing)  # type: ignore[no-any-return]

    def write(self, folder: Path, name: str = "client") -> tuple[Path, Path]:
        """Write `name.pem` and `name.key` (0600)."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return certificate, key


def mint(
    common_name: str | None = "svc-user",
    *,
    issuer: Minted | None = None,
    ca: bool = False,
    key: str = "ec",
    number: int = 0,
    not_before: dt.datetime = NOW - DAY,
    not_after: dt.datetime = NOW + 700 * DAY,
    usages: Sequence[x509.ObjectIdentifier] | None = (Usage.CLIENT_AUTH,),
    signs: bool | None = None,
    names: Sequence[str] = (),
    subject: Sequence[x509.NameAttribute[Any]] | None = None,
    public_key: Any = None,
) -> Minted:
    """Make a certificate.

    Args:
        common_name: The subject's CN; None for an empty subject.
        issuer: The signer; None: itself.
        ca: Whether the basic constraints mark an authority.
        key: The kind of key.
        number: Distinguishes keys of one kind.
        not_before: The beginning of its validity.
        not_after: The end of its validity.
        usages: The extended key usages; None for no such extension.
        signs: The digital-signature bit of a key usage extension; None for no such extension.
        names: Host names and IP addresses for the subject's alternative names.
        subject: The whole subject, in place of the CN.
        public_key: Another public key than the key's.
    """
    secret = private_key(key, number)
    own = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    name = x509.Name(own if subject is None else subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(public_key or secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False)
    )
    if issuer is not None:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(authority, critical=False)
    if usages is not None and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if signs is not None or ca:
        builder = builder.add_extension(_key_usage(signs=bool(signs), ca=ca), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(text) for text in names]), critical=False)
    signer = issuer.key if issuer else secret
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Minted(builder.sign(signer, algorithm), secret, issuer)


def server(issuer: Minted, *names: str, **how: Any) -> Minted:
    """Make a server's certificate for the names, by default `localhost` and 127.0.0.1."""
    how.setdefault("usages", (Usage.SERVER_AUTH,))
    how.setdefault("number", 90)
    return mint("server", issuer=issuer, names=names or ("localhost", "127.0.0.1"), **how)


@functools.cache
def authority(common_name: str = "Test Root", number: int = 70) -> Minted:
    """Return a root; the same for the same name."""
    return mint(common_name, ca=True, number=number)


def signed_over_sha1(minted: Minted) -> Minted:
    """Return a certificate for the key and for localhost with a SHA-1 signature, which only openssl makes."""
    assert minted.issuer is not None
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = minted.issuer.write(Path(folder))
        extensions = Path(folder) / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        signed = ("-CA", str(certificate), "-CAkey", str(key), "-sha1", "-days", "30", "-extfile", str(extensions))
        pem = openssl("x509", "-req", "-in", "@", *signed, given=request(minted))
    return Minted(x509.load_pem_x509_certificate(pem), minted.key, minted.issuer)


def request(minted: Minted) -> bytes:
    """Return a certificate request (CSR) for the key, as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(minted.certificate.subject)
    return builder.sign(minted.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def revocation_list(issuer: Minted, *revoked: Minted) -> bytes:
    """Return a CRL of the issuer, as PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + 30 * DAY)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def openssl(*arguments: str, given: bytes) -> bytes:
    """Run the openssl program and return its output; `@` is the name of a file with the given data."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(given)
        file.flush()
        command = ["openssl", *(file.name if word == "@" else word for word in arguments)]
        done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _key_usage(*, signs: bool, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
