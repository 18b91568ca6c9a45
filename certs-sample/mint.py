"""Create the sample certificates in this folder, or in the folder given as the only argument.

The files are public, including the keys: never trust them. The only dependency is `cryptography`.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

PASSPHRASE = b"sample-passphrase"
USERNAME = "svc-user"
START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2050, 1, 1, tzinfo=dt.UTC)
LAPSED = dt.datetime(2025, 2, 1, tzinfo=dt.UTC)
SERVER_NAMES = ("localhost", "api.localhost", "mtls.localhost")
SERVER_ADDRESSES = ("127.0.0.1", "::1")


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class _Authority:
    """The sample CA. Its key is never saved, so that nobody can issue further certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name("seic SAMPLE CA - do not trust")
        self.certificate = self._sign(
            self._subject,
            self._key.public_key(),
            END,
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_usage(signs_certificates=True), True),
        )

    def issue(self, key: Key, common_name: str, *, server: bool = False, end: dt.datetime = END) -> x509.Certificate:
        """Return a certificate for `key`: for a server with the loopback names, or for a client."""
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ]
        if server:
            names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
            names += [x509.IPAddress(ipaddress.ip_address(address)) for address in SERVER_ADDRESSES]
            extensions.append((x509.SubjectAlternativeName(names), False))
        return self._sign(_name(common_name), key.public_key(), end, *extensions)

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        end: dt.datetime,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(START)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(
    key: Key,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
    encoding: Encoding = Encoding.PEM,
) -> bytes:
    return key.private_bytes(encoding, form, encryption or NoEncryption())


def mint() -> dict[str, bytes]:
    """Return every sample by its file name."""
    authority = _Authority()
    ca = authority.certificate.public_bytes(Encoding.PEM)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    server_key = ec.generate_private_key(ec.SECP256R1())
    ec_cert = authority.issue(ec_key, USERNAME)
    rsa_cert = authority.issue(rsa_key, USERNAME)
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(USERNAME)).sign(ec_key, hashes.SHA256())
    locked = BestAvailableEncryption(PASSPHRASE)
    # The format of older Windows and Java: 3DES and SHA-1.
    old = (
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())  # noqa: S303  the sample is a legacy file
        .build(PASSPHRASE)
    )

    def bundle(key: Key, certificate: x509.Certificate, encryption: KeySerializationEncryption) -> bytes:
        return pkcs12.serialize_key_and_certificates(
            USERNAME.encode(), key, certificate, [authority.certificate], encryption
        )

    return {
        "ca.pem": ca,
        "server.pem": authority.issue(server_key, "localhost", server=True).public_bytes(Encoding.PEM),
        "server.key": _key_bytes(server_key),
        "client.pem": ec_cert.public_bytes(Encoding.PEM),
        "client.key": _key_bytes(ec_key),
        "client.encrypted.key": _key_bytes(ec_key, encryption=locked),
        "client.sec1.key": _key_bytes(ec_key, PrivateFormat.TraditionalOpenSSL),
        "client.combined.pem": ec_cert.public_bytes(Encoding.PEM) + _key_bytes(ec_key) + ca,
        "client.der": ec_cert.public_bytes(Encoding.DER),
        "client.key.der": _key_bytes(ec_key, encoding=Encoding.DER),
        "client.p12": bundle(ec_key, ec_cert, locked),
        "client-rsa.pem": rsa_cert.public_bytes(Encoding.PEM),
        "client-rsa.key": _key_bytes(rsa_key),
        "client-rsa.encrypted.key": _key_bytes(rsa_key, encryption=locked),
        "client-rsa.pkcs1.key": _key_bytes(rsa_key, PrivateFormat.TraditionalOpenSSL),
        "client-rsa.pkcs1.encrypted.key": _key_bytes(rsa_key, PrivateFormat.TraditionalOpenSSL, locked),
        "client-rsa.legacy.p12": bundle(rsa_key, rsa_cert, old),
        "client.csr": request.public_bytes(Encoding.PEM),
        "client.expired.pem": authority.issue(ec_key, USERNAME, end=LAPSED).public_bytes(Encoding.PEM),
    }


def main() -> None:
    """Write the samples, and print their paths."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in mint().items():
        (folder / name).write_bytes(content)
        print(folder / name)


if __name__ == "__main__":
    main()
