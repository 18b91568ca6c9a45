"""Missing, truncated, empty and damaged files: each is a CertificateError that names the file."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings, strategies

from seic import CertificateError, ClientCertificate, Reason, create_ssl_context
from tests._support.mistakes import OTHER, Row, assert_error_about_bytes, assert_error_about_files, sealed, store
from tests._support.pki import PASSPHRASE, Minted, authority, openssl


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


_KEY = base64.b64encode(OTHER.key_bytes(encoding=Encoding.DER)).decode()[40:90]


def _damage(pem: bytes) -> bytes:
    lines = pem.splitlines()
    lines[1] = lines[1][:8] + b"AAAA" + lines[1][12:]
    return b"\n".join(lines)


def _scrypt_out_of_range(minted: Minted) -> bytes:
    how = ("pkcs8", "-topk8", "-in", "@", "-scrypt", "-passout", f"pass:{PASSPHRASE}", "-outform", "DER")
    # The cost must be a power of two (RFC 7914 §2): replace 16384.
    made = openssl(*how, given=minted.key_pem)
    assert b"\x02\x02\x40\x00" in made
    return made.replace(b"\x02\x02\x40\x00", b"\x02\x02\x10\x04")


ROWS: dict[str, Row] = {
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
    "cut-pem": (
        lambda m: m.pem[:-30],
        lambda m: m.key_pem,
        None,
        Reason.TRUNCATED,
        "c.pem",
        ["cut off", "copy the whole file"],
    ),
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
    "cut-store": (lambda m: store(m)[:-10], lambda m: None, PASSPHRASE, Reason.TRUNCATED, "c.pem", ["cut off"]),
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
        ["the certificate in line 1 is damaged"],
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
    "huge": (lambda m: b"x" * (10 * 2**20 + 1), lambda m: None, None, Reason.UNKNOWN_FORMAT, "c.pem", ["10 MiB"]),
    "damaged-key": (
        lambda m: m.pem,
        lambda m: _damage(m.key_pem),
        None,
        Reason.UNSUPPORTED_KEY,
        "c.key",
        ["the private key is damaged"],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_mistake_names_its_file_its_reason_and_the_remedy(
    row: str, client: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """The error is a CertificateError with the path, the reason code and the remedy, and shows no secret."""
    assert_error_about_files(ROWS[row], client, tmp_path, assert_no_leak)


@pytest.mark.parametrize("row", sorted(ROWS.keys() - {"missing"}))
def test_the_same_mistake_in_bytes_is_the_same_error(
    row: str, client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """Given as bytes, the mistake has the same code, and the error says which argument it was."""
    assert_error_about_bytes(ROWS[row], client, assert_no_leak)


def test_a_file_of_millions_of_elements_is_refused_soon() -> None:
    """A long revocation list is an example. It is not a certificate, and the error does not take half a minute."""
    began = time.process_time()
    with pytest.raises(CertificateError, match="neither PEM, DER nor PKCS#12"):
        ClientCertificate.load(b"\x30\x83\x7a\x12\x00" + b"\x30\x00" * 4_000_000)
    assert time.process_time() - began < 10


def test_an_encryption_out_of_range_is_damage(client: Minted, tmp_path: Path) -> None:
    """OpenSSL refuses the parameters; older versions of cryptography report a wrong passphrase."""
    path = tmp_path / "c.key"
    path.write_bytes(_scrypt_out_of_range(client))
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(client.pem, key=path, password=PASSPHRASE)
    assert caught.value.path == str(path)
    remedies = {Reason.UNKNOWN_FORMAT: "copy the whole file again", Reason.PASSPHRASE_WRONG: "check password="}
    assert remedies[Reason(caught.value.reason or "")] in str(caught.value)


def _load(data: bytes) -> object:
    return ClientCertificate.load(data, password=PASSPHRASE)


def _load_key(data: bytes) -> object:
    return ClientCertificate.load(OTHER.pem, key=data, password=PASSPHRASE)


def _trust(data: bytes) -> object:
    return create_ssl_context(ca=data)


def _pss() -> bytes:
    key = openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", given=b"")
    return openssl("req", "-x509", "-new", "-key", "@", "-subj", "/CN=pss", "-days", "30", given=key) + key


def _sealed_of_old() -> bytes:
    return openssl("ec", "-in", "@", "-aes192", "-passout", f"pass:{PASSPHRASE}", given=OTHER.key_pem)


#: Valid data, and the function that reads it.
WHOLE: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "pem": (OTHER.pair, _load),
    "utf-16": (OTHER.pair.decode().encode("utf-16"), _load),
    "der": (OTHER.der, lambda data: ClientCertificate.load(data, key=OTHER.key_pem)),
    "pss": (_pss(), _load),
    "trusted": (openssl("x509", "-in", "@", "-trustout", given=OTHER.pem) + OTHER.key_pem, _load),
    "bag": (openssl("crl2pkcs7", "-nocrl", "-certfile", "@", "-outform", "DER", given=OTHER.pem), _load),
    "store": (store(OTHER), _load),
    "key": (OTHER.key_bytes(encoding=Encoding.DER), _load_key),
    "sealed-key": (sealed(OTHER, encoding=Encoding.DER), _load_key),
    "proc-type": (_sealed_of_old(), _load_key),
    "authority": (authority().der, _trust),
    "authorities": (authority().pem + authority("Other Root", 71).pem, _trust),
}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(data=strategies.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", WHOLE)
def test_damage_of_any_kind_is_a_certificate_error(form: str, data: strategies.DataObject) -> None:
    """With any bytes changed, lost or added it loads or is a CertificateError, which quotes no part of a key."""
    whole, read = WHOLE[form]
    start = data.draw(strategies.integers(0, len(whole) - 1))
    end = data.draw(strategies.integers(start, min(len(whole), start + 8)))
    damaged = whole[:start] + data.draw(strategies.binary(max_size=8)) + whole[end:]
    said = ""
    try:
        read(damaged)
    except CertificateError as error:
        said = str(error)
    assert PASSPHRASE not in said
    assert _KEY not in said


@settings(max_examples=300, derandomize=True, deadline=None)
@given(data=strategies.one_of(strategies.binary(max_size=80), strategies.text(max_size=80)))
def test_anything_at_all_is_a_certificate_error(data: bytes | str) -> None:
    """Arbitrary bytes and texts."""
    for read in (_load, _load_key, _trust):
        with pytest.raises(CertificateError):
            read(data)  # type: ignore[arg-type]  # a text is a path or PEM
