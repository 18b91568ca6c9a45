"""Each mistake in a client certificate's files is an error that names the file, the mistake and the remedy."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from seic._errors import CertificateError, ConfigurationError
from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import Reason
from tests._support.pki import PASSPHRASE, Minted, authority, mint, openssl, request


def _written(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(data)
        path.chmod(0o600)


def _public(minted: Minted) -> bytes:
    key = minted.key.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[no-any-return]


def _sealed(minted: Minted, **how: Any) -> bytes:
    return minted.key_bytes(password=PASSPHRASE, **how)


def _store(minted: Minted, *what: str) -> bytes:
    sealed = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}")
    return openssl(*sealed, *what, given=minted.pair)


OTHER = mint("another", number=3)
#: What is written to c.pem and c.key (None: no such file); whether key= is passed; the password; the reason; the file
#: that the error names; words that the message must hold.
Row = tuple[Callable[[Minted], bytes | None], Callable[[Minted], bytes | None], str | None, Reason, str, list[str]]
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
    "no-passphrase": (
        lambda m: m.pem,
        _sealed,
        None,
        Reason.PASSPHRASE_MISSING,
        "c.key",
        ["encrypted", "pass password="],
    ),
    "no-passphrase-for-proc-type": (
        lambda m: m.pem,
        lambda m: openssl("ec", "-in", "@", "-aes256", "-passout", f"pass:{PASSPHRASE}", given=m.key_pem),
        None,
        Reason.PASSPHRASE_MISSING,
        "c.key",
        ["encrypted", "pass password="],
    ),
    "empty-passphrase": (lambda m: m.pem, _sealed, "", Reason.PASSPHRASE_MISSING, "c.key", ["pass password="]),
    "wrong-passphrase": (
        lambda m: m.pem,
        _sealed,
        PASSPHRASE + "x",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["does not open", "check password="],
    ),
    "wrong-passphrase-for-proc-type": (
        lambda m: m.pem,
        lambda m: openssl("ec", "-in", "@", "-aes256", "-passout", f"pass:{PASSPHRASE}", given=m.key_pem),
        PASSPHRASE + "x",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["does not open"],
    ),
    "passphrase-with-a-newline": (
        lambda m: m.pem,
        _sealed,
        PASSPHRASE + "\n",
        Reason.PASSPHRASE_WRONG,
        "c.key",
        ["ends with a newline: strip it"],
    ),
    "wrong-passphrase-of-a-store": (_store, lambda m: None, "x", Reason.PASSPHRASE_WRONG, "c.pem", ["check password="]),
    "no-passphrase-of-a-store": (_store, lambda m: None, None, Reason.PASSPHRASE_MISSING, "c.pem", ["password="]),
    "wrong-passphrase-of-an-old-store": (
        lambda m: _store(m, "-legacy"),
        lambda m: None,
        "x",
        Reason.PASSPHRASE_WRONG,
        "c.pem",
        ["check password="],
    ),
    "store-without-a-key": (
        lambda m: _store(m, "-nokeys"),
        lambda m: None,
        PASSPHRASE,
        Reason.NO_KEY,
        "c.pem",
        ["no private key", "CN=svc-user", "pass key="],
    ),
    "store-without-a-certificate": (
        lambda m: _store(m, "-nocerts"),
        lambda m: None,
        PASSPHRASE,
        Reason.KEY_AS_CERTIFICATE,
        "c.pem",
        ["holds a private key where the certificate belongs"],
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
    "key-for-both": (lambda m: m.key_pem, lambda m: m.key_pem, None, Reason.KEY_AS_CERTIFICATE, "c.pem", ["key=…"]),
    "certificate-for-both": (
        lambda m: m.pem,
        lambda m: m.pem,
        None,
        Reason.CERTIFICATE_AS_KEY,
        "c.key",
        ["holds a certificate where the private key belongs"],
    ),
    "request": (
        request,
        lambda m: m.key_pem,
        None,
        Reason.CERTIFICATE_REQUEST,
        "c.pem",
        ["(CSR)", "authority returned"],
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
    "request-beside-its-key": (
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
    "damaged-name": (
        lambda m: _pem("CERTIFICATE", m.der.replace(b"\x0c\x08svc-user", b"\x0b\x08svc-user")),
        lambda m: m.key_pem,
        None,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["a certificate in it is damaged"],
    ),
    "unknown-version": (
        lambda m: m.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x63"),
        lambda m: m.key_pem,
        None,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["neither PEM, DER"],
    ),
    "damaged-key": (
        lambda m: m.pem,
        lambda m: _damage(m.key_pem),
        None,
        Reason.UNSUPPORTED_KEY,
        "c.key",
        ["the private key is damaged"],
    ),
    "missing": (
        lambda m: None,
        lambda m: m.key_pem,
        None,
        Reason.NOT_FOUND,
        "c.pem",
        ["no such file", "check the path"],
    ),
    "empty": (lambda m: b"", lambda m: m.key_pem, None, Reason.EMPTY, "c.pem", ["is empty"]),
    "blank": (lambda m: b" \n\n", lambda m: m.key_pem, None, Reason.EMPTY, "c.pem", ["is empty"]),
    "empty-key": (lambda m: m.pem, lambda m: b"", None, Reason.EMPTY, "c.key", ["is empty"]),
    "cut-pem": (lambda m: m.pem[:-30], lambda m: m.key_pem, None, Reason.TRUNCATED, "c.pem", ["cut off", "copy it"]),
    "cut-in-its-second-block": (
        lambda m: m.pem + m.key_pem[:-60],
        lambda m: None,
        None,
        Reason.TRUNCATED,
        "c.pem",
        ["still being written"],
    ),
    "cut-key": (lambda m: m.pem, lambda m: m.key_pem[:90], None, Reason.TRUNCATED, "c.key", ["cut off"]),
    "cut-der": (lambda m: m.der[:-10], lambda m: m.key_pem, None, Reason.TRUNCATED, "c.pem", ["cut off"]),
    "cut-body": (
        lambda m: _pem("CERTIFICATE", m.der[:-9]),
        lambda m: m.key_pem,
        None,
        Reason.TRUNCATED,
        "c.pem",
        ["cut off"],
    ),
    "cut-bag": (
        lambda m: _pem("PKCS7", b"\x30\x82\x01\x00"),
        lambda m: m.key_pem,
        None,
        Reason.TRUNCATED,
        "c.pem",
        ["PKCS#7"],
    ),
    "cut-store": (lambda m: _store(m)[:-10], lambda m: None, PASSPHRASE, Reason.TRUNCATED, "c.pem", ["cut off"]),
    "no-base64": (
        lambda m: b"-----BEGIN CERTIFICATE-----\n!?\n-----END CERTIFICATE-----\n",
        lambda m: m.key_pem,
        None,
        Reason.TRUNCATED,
        "c.pem",
        ["damaged"],
    ),
    "damaged-certificate": (
        lambda m: _pem("CERTIFICATE", b"\x30\x03\x02\x01\x01"),
        lambda m: m.key_pem,
        None,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["the certificate in it is damaged"],
    ),
    "garbage": (
        lambda m: b"hello",
        lambda m: m.key_pem,
        None,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["neither PEM, DER nor"],
    ),
    "html": (
        lambda m: b"<html>404</html>",
        lambda m: m.key_pem,
        None,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["check the path"],
    ),
    "one-byte": (lambda m: b"\x30", lambda m: m.key_pem, None, Reason.UNKNOWN_FORMAT, "c.pem", ["neither"]),
    "bad-base64-of-pem": (
        lambda m: b"LS0tLS1CRUdJTi!",
        lambda m: m.key_pem,
        None,
        Reason.UNKNOWN_FORMAT,
        "c.pem",
        ["PEM"],
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
    "huge": (lambda m: b"x" * (10 * 2**20 + 1), lambda m: None, None, Reason.UNKNOWN_FORMAT, "c.pem", ["10 MiB"]),
}


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


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


def _damage(pem: bytes) -> bytes:
    lines = pem.splitlines()
    lines[1] = lines[1][:8] + b"AAAA" + lines[1][12:]
    return b"\n".join(lines)


@pytest.mark.parametrize("row", ROWS)
def test_a_mistake_names_its_file_its_reason_and_the_remedy(
    row: str, client: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """The error is a CertificateError with the path, the stable code and words that help, and shows no secret."""
    certificate, key, password, reason, named, words = ROWS[row]
    held = {"c_pem": certificate(client), "c_key": key(client)}
    _written(tmp_path, **{name: data for name, data in held.items() if data is not None})

    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(
            tmp_path / "c.pem", key=None if held["c_key"] is None else tmp_path / "c.key", password=password
        )

    error = caught.value
    assert (error.reason, error.path) == (reason, str(tmp_path / named))
    assert str(error).startswith(f"{tmp_path / named}: ")
    for word in words:
        assert word in str(error)
    assert_no_leak(error, keys=(client, OTHER))


@pytest.mark.parametrize("row", sorted(ROWS.keys() - {"missing"}))
def test_the_same_mistake_in_bytes_is_the_same_error(
    row: str, client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """Given as bytes, the mistake has the same code, and the error says which argument it was."""
    certificate, key, password, reason, named, _ = ROWS[row]
    data = certificate(client)
    assert data is not None

    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(data, key=key(client), password=password)

    error = caught.value
    role = "certificate" if named == "c.pem" else "key"
    assert (error.reason, error.path) == (reason, f"the {role} given as bytes")
    assert_no_leak(error, keys=(client, OTHER))


def test_nothing_ever_prompts(client: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a terminal at hand and no passphrase, nothing is asked there."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("it asked"))
    with pytest.raises(CertificateError):
        ClientCertificate.load(client.pem, key=_sealed(client))


def test_bytes_cannot_be_read_again(client: Minted) -> None:
    """What was given as bytes has no files to reload; the error names the two ways that can."""
    with pytest.raises(ConfigurationError, match="load it from files, or give a callback") as caught:
        ClientCertificate.load(client.pair).reload()
    assert caught.value.field == "certificate"
