"""A temporary certificate authority in memory, with certificates and revocation lists, for tests and demonstrations.

Not for production: private keys are returned unencrypted and nothing is stored.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KeyType: TypeAlias = Literal["ec", "rsa", "ed25519"]
IssuedKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# SEI's client certificates are valid for two years; the start is a day ago, in case clocks differ.
_LEAF_LIFETIME = dt.timedelta(days=730)
_AUTHORITY_LIFETIME = dt.timedelta(days=3650)
_CRL_LIFETIME = dt.timedelta(days=30)
_CLOCK_SKEW = dt.timedelta(days=1)


@attrs.frozen(kw_only=True)
class IssuedCertificate:
    """A certificate and its private key, as objects and as PEM."""

    certificate: x509.Certificate
    key: IssuedKey = attrs.field(repr=False)

    @property
    def cert_pem(self) -> bytes:
        """The certificate as PEM, without the key."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the certificate, base64url: `x5t#S256` of RFC 8705 §3.1."""
        return thumbprint_of(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return self.encode_key()

    def encode_key(self, password: bytes | None = None) -> bytes:
        """Return the private key as PKCS#8 PEM.

        Args:
            password: Encrypts the key; None for no encryption.
        """
        encryption = (
            serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
        )
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


class CertificateAuthority:
    """A self-signed root CA that issues and revokes end-entity certificates.

    The certificates have all extensions that strict verifiers require (RFC 5280: key identifiers, critical key usage),
    so that a refusal in a test has no other reason than the test's.

    Args:
        common_name: The CN of the root.
        key_type: The type of the root's key.
        not_before: The start of the root's validity; by default a day ago.
        not_after: The end of the root's validity; by default ten years after the start.
    """

    def __init__(
        self,
        common_name: str = "seic sandbox CA",
        *,
        key_type: KeyType = "ec",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> None:
        self._key = _generate_key(key_type)
        self._revoked: list[x509.RevokedCertificate] = []
        self._crl_number = 0
        name = _name(common_name)
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        builder = _validity(x509.CertificateBuilder(), not_before, not_after, _AUTHORITY_LIFETIME)
        self.certificate: x509.Certificate = (
            builder.subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
            .sign(self._key, _digest(self._key))
        )

    @property
    def cert_pem(self) -> bytes:
        """The root certificate as PEM, for a verifier to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        common_name: str | None,
        *,
        sans: Sequence[str] = (),
        client: bool = True,
        server: bool = False,
        key_type: KeyType = "ec",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> IssuedCertificate:
        """Issue an end-entity certificate with a new key.

        Args:
            common_name: The CN of the subject; None for an empty subject.
            sans: Subject alternative names: IP addresses or DNS names.
            client: Allow TLS client authentication. Without `client` and `server` there is no extended key usage, and
                verifiers allow any.
            server: Allow TLS server authentication.
            key_type: `ec` is P-256, `rsa` has 2048 bits.
            not_before: The start of the validity; by default a day ago.
            not_after: The end of the validity; by default two years after the start.
        """
        key = _generate_key(key_type)
        builder = _validity(x509.CertificateBuilder(), not_before, not_after, _LEAF_LIFETIME)
        builder = (
            builder.subject_name(_name(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        usages = []
        if client:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        if server:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if sans:
            # RFC 5280 §4.2.1.6: critical if the subject is empty.
            names = x509.SubjectAlternativeName([_general_name(san) for san in sans])
            builder = builder.add_extension(names, critical=common_name is None)
        return IssuedCertificate(certificate=builder.sign(self._key, _digest(self._key)), key=key)

    def revoke(self, certificate: IssuedCertificate | x509.Certificate) -> None:
        """Put a certificate on the next revocation list; a second call changes nothing."""
        if isinstance(certificate, IssuedCertificate):
            certificate = certificate.certificate
        serial = certificate.serial_number
        if all(entry.serial_number != serial for entry in self._revoked):
            self._revoked.append(revocation_of(serial))

    def crl_pem(self, *, next_update: dt.datetime | None = None) -> bytes:
        """Return a signed revocation list as PEM.

        Args:
            next_update: The end of its validity; by default thirty days from now.
        """
        return self.sign_crl(self._revoked, next_update=next_update)

    def sign_crl(self, revoked: Iterable[x509.RevokedCertificate], *, next_update: dt.datetime | None = None) -> bytes:
        """Return a signed list of other certificates as PEM.

        Args:
            revoked: Its entries.
            next_update: The end of its validity; by default thirty days from now.
        """
        self._crl_number += 1
        now = _now()
        builder = (
            x509.CertificateRevocationListBuilder(revoked_certificates=[*revoked])
            .issuer_name(self.certificate.subject)
            .last_update(min(now, next_update or now) - _CLOCK_SKEW)
            .next_update(next_update or now + _CRL_LIFETIME)
            .add_extension(x509.CRLNumber(self._crl_number), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        return builder.sign(self._key, _digest(self._key)).public_bytes(serialization.Encoding.PEM)

    def _authority_key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def thumbprint_of(certificate: x509.Certificate) -> str:
    """Return `x5t#S256` of RFC 8705 §3.1."""
    return base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


def common_name_of(certificate: x509.Certificate) -> str | None:
    """Return the CN of the subject; None if there is none, or more than one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def revocation_of(serial_number: int) -> x509.RevokedCertificate:
    """Return the entry of a revocation list."""
    entry = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(_now() - _CLOCK_SKEW)
    return entry.build()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _validity(
    builder: x509.CertificateBuilder,
    not_before: dt.datetime | None,
    not_after: dt.datetime | None,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    if not_before is None:
        # The start must be before the end, even if the end is long past.
        start = _now() - _CLOCK_SKEW
        not_before = start if not_after is None or start < not_after else not_after - _CLOCK_SKEW
    return builder.not_valid_before(not_before).not_valid_after(not_after or not_before + lifetime)


def _generate_key(key_type: KeyType) -> IssuedKey:
    if key_type == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"key_type must be 'ec', 'rsa' or 'ed25519', not {key_type!r}")


def _digest(key: IssuedKey) -> hashes.SHA256 | None:
    # Ed25519 has a built-in hash (RFC 8032); any other is an error.
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _name(common_name: str | None) -> x509.Name:
    return x509.Name([] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
