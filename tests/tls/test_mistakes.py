"""Wrong content of the files: each error names the file, the mistake and the remedy."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from seic import ClientCertificate, ConfigurationError, Reason
from tests._support.mistakes import OTHER, Row, assert_error_about_bytes, assert_error_about_files, store
from tests._support.pki import PASSPHRASE, Minted, authority, mint, openssl, request


def _public(minted: Minted) -> bytes:
    key = minted.key.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[no-any-return]


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


ROWS: dict[str, Row] = {
    "key-of-another": (
        lambda m: m.pem,
        lambda m: OTHER.key_pem,
        None,
        Reason.KEY_MISMATCH,
        "c.pem",
        ["does not match", "CN=svc-user, expires 20", "c.key belongs to another", "pass the key"],
    ),
    "key-of-another-kind": (
        lambda m: m.pem,
        lambda m: mint(key="rsa").key_pem,
        None,
        Reason.KEY_MISMATCH,
        "c.pem",
        ["does not match", "CN=svc-user"],
    ),
    "key-of-another-in-the-same-file": (
        lambda m: m.pem + OTHER.key_pem,
        lambda m: None,
        None,
        Reason.KEY_MISMATCH,
        "c.pem",
        ["the key in the same file belongs to another"],
    ),
    "store-without-a-key": (
        lambda m: store(m, "-nokeys"),
        lambda m: None,
        PASSPHRASE,
        Reason.NO_KEY,
        "c.pem",
        ["no private key", "CN=svc-user", "pass key="],
    ),
    "store-without-a-certificate": (
        lambda m: store(m, "-nocerts"),
        lambda m: None,
        PASSPHRASE,
        Reason.KEY_AS_CERTIFICATE,
        "c.pem",
        ["holds a private key instead of the certificate"],
    ),
    "no-key": (lambda m: m.pem, lambda m: None, None, Reason.NO_KEY, "c.pem", ["no private key", "pass key="]),
    "no-key-in-its-file": (lambda m: m.pem, request, None, Reason.NO_KEY, "c.key", ["no private key", "key="]),
    "swapped": (
        lambda m: m.key_pem,
        lambda m: m.pem,
        None,
        Reason.KEY_AS_CERTIFICATE,
        "c.pem",
        ["look swapped", "pass the certificate first"],
    ),
    "key-for-both": (lambda m: m.key_pem, lambda m: m.key_pem, None, Reason.KEY_AS_CERTIFICATE, "c.pem", ["key=..."]),
    "certificate-for-both": (
        lambda m: m.pem,
        lambda m: m.pem,
        None,
        Reason.CERTIFICATE_AS_KEY,
        "c.key",
        ["holds a certificate instead of the private key"],
    ),
    "request": (
        request,
        lambda m: m.key_pem,
        None,
        Reason.CERTIFICATE_REQUEST,
        "c.pem",
        ["(CSR)", "authority issued"],
    ),
    "request-of-old": (
        lambda m: request(m).replace(b"CERTIFICATE REQ", b"NEW CERTIFICATE REQ"),
        lambda m: m.key_pem,
        None,
        Reason.CERTIFICATE_REQUEST,
        "c.pem",
        ["(CSR)"],
    ),
    "request-in-der": (
        lambda m: openssl("req", "-in", "@", "-outform", "DER", given=request(m)),
        lambda m: m.key_pem,
        None,
        Reason.CERTIFICATE_REQUEST,
        "c.pem",
        ["(CSR)"],
    ),
    "request-with-its-key": (
        lambda m: request(m) + m.key_pem,
        lambda m: None,
        None,
        Reason.CERTIFICATE_REQUEST,
        "c.pem",
        ["(CSR)"],
    ),
    "public-key": (_public, lambda m: m.key_pem, None, Reason.PUBLIC_KEY, "c.pem", ["bare public key", "issued for"]),
    "public-key-in-der": (
        lambda m: openssl("pkey", "-in", "@", "-pubin", "-outform", "DER", given=_public(m)),
        lambda m: m.key_pem,
        None,
        Reason.PUBLIC_KEY,
        "c.pem",
        ["bare public key"],
    ),
    "public-key-as-key": (lambda m: m.pem, _public, None, Reason.PUBLIC_KEY, "c.key", ["pass the private key"]),
    "authority": (
        lambda m: authority().pem,
        lambda m: m.key_pem,
        None,
        Reason.IS_A_CA,
        "c.pem",
        ["of an authority (CN=Test Root", "pass the client certificate", "ca="],
    ),
    "authority-without-a-key": (lambda m: authority().pem, lambda m: None, None, Reason.IS_A_CA, "c.pem", ["ca="]),
    "authority-with-its-key": (
        lambda m: authority().pair,
        lambda m: None,
        None,
        Reason.IS_A_CA,
        "c.pem",
        ["authority"],
    ),
    "intermediate-with-its-key": (
        lambda m: mint("Between", issuer=authority(), ca=True, number=4, signs=True).pair,
        lambda m: None,
        None,
        Reason.IS_A_CA,
        "c.pem",
        ["authority (CN=Between"],
    ),
    "server-usage": (
        lambda m: mint(issuer=authority(), usages=[Usage.SERVER_AUTH]).pair,
        lambda m: None,
        None,
        Reason.NOT_FOR_CLIENTS,
        "c.pem",
        ["lacks clientAuth", "CN=svc-user", "ask CN=Test Root"],
    ),
    "cannot-sign": (
        lambda m: mint(issuer=authority(), key="rsa", signs=False).pair,
        lambda m: None,
        None,
        Reason.NOT_FOR_CLIENTS,
        "c.pem",
        ["does not allow signatures", "ask CN=Test Root"],
    ),
    "dsa-key": (
        lambda m: m.pem,
        lambda m: mint(key="dsa").key_pem,
        None,
        Reason.UNSUPPORTED_KEY,
        "c.key",
        ["DSA", "RSA"],
    ),
    "unknown-curve": (
        lambda m: m.pem,
        lambda m: openssl("ecparam", "-name", "wap-wsg-idm-ecid-wtls12", "-genkey", given=b""),
        None,
        Reason.UNSUPPORTED_KEY,
        "c.key",
        ["EC on a named curve"],
    ),
    "certificate-on-an-unknown-curve": (
        lambda m: _certificate_on_an_unknown_curve(),
        lambda m: m.key_pem,
        None,
        Reason.KEY_MISMATCH,
        "c.pem",
        ["does not match the certificate (CN=odd"],
    ),
    "openssh-key": (
        lambda m: m.pem,
        lambda m: m.key_bytes("OpenSSH"),
        None,
        Reason.UNKNOWN_FORMAT,
        "c.key",
        ["OpenSSH's own format", "ssh-keygen -p -m PKCS8"],
    ),
    "x25519-key": (
        lambda m: m.pem,
        lambda m: openssl("genpkey", "-algorithm", "X25519", given=b""),
        None,
        Reason.UNSUPPORTED_KEY,
        "c.key",
        ["X25519", "use RSA, EC or Ed25519"],
    ),
    "trusted-authority": (
        lambda m: openssl("x509", "-in", "@", "-trustout", given=authority().pem),
        lambda m: m.key_pem,
        None,
        Reason.IS_A_CA,
        "c.pem",
        ["of an authority (CN=Test Root"],
    ),
    "java-keystore": (
        lambda m: b"\xfe\xed\xfe\xed\0\0\0\2",
        lambda m: None,
        PASSPHRASE,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["Java keystore", "keytool -importkeystore"],
    ),
    "revocation-list": (
        lambda m: _pem("X509 CRL", b"\x30\x00"),
        lambda m: m.key_pem,
        None,
        Reason.NO_CERTIFICATE,
        "c.pem",
        ["it holds: x509 crl", "pass the client certificate"],
    ),
}


def _certificate_on_an_unknown_curve() -> bytes:
    key = openssl("ecparam", "-name", "wap-wsg-idm-ecid-wtls12", "-genkey", "-noout", given=b"")
    return openssl(
        "req",
        "-x509",
        "-new",
        "-key",
        "@",
        "-subj",
        "/CN=odd",
        "-days",
        "30",
        "-addext",
        "basicConstraints=CA:FALSE",
        given=key,
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_mistake_names_its_file_its_reason_and_the_remedy(
    row: str, client: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """The error is a CertificateError with the path, the reason code and the remedy, and shows no secret."""
    assert_error_about_files(ROWS[row], client, tmp_path, assert_no_leak)


@pytest.mark.parametrize("row", ROWS)
def test_the_same_mistake_in_bytes_is_the_same_error(
    row: str, client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """Given as bytes, the mistake has the same code, and the error says which argument it was."""
    assert_error_about_bytes(ROWS[row], client, assert_no_leak)


def test_bytes_cannot_be_read_again(client: Minted) -> None:
    """A certificate given as bytes has no files; the error names the two ways that can be reloaded."""
    with pytest.raises(ConfigurationError, match="load it from files, or give a callback") as caught:
        ClientCertificate.load(client.pair).reload()
    assert caught.value.field == "certificate"
