"""The sample certificates, and the script that creates them."""

from __future__ import annotations

import datetime as dt
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

_FOLDER = Path(__file__).parent.parent / "certs-sample"
_PASSPHRASE = b"sample-passphrase"
_NO_SAMPLES = {"README.md", "mint.py"}


def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _public(holder: object) -> bytes:
    key = holder.public_key()  # type: ignore[attr-defined]  # certificates, requests and private keys have it
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _common_name(subject: x509.Name) -> str | bytes:
    (attribute,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return attribute.value


def _samples(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} - _NO_SAMPLES


def test_the_script_creates_the_same_files(tmp_path: Path) -> None:
    """`nox -s certs` replaces each sample, and adds no file."""
    subprocess.run([sys.executable, _FOLDER / "mint.py", tmp_path], check=True, capture_output=True)

    assert _samples(tmp_path) == _samples(_FOLDER)


def test_the_readme_describes_each_file() -> None:
    """Each file has a row in the README, and each row a file."""
    rows = re.findall(r"^\| `([^`]+)` \|", _read("README.md").decode(), re.MULTILINE)

    assert sorted(rows) == sorted(_samples(_FOLDER))


def test_the_authority_says_that_it_is_a_sample() -> None:
    """Its subject says not to trust it, and its key is not in the folder."""
    ca = x509.load_pem_x509_certificate(_read("ca.pem"))

    assert _common_name(ca.subject) == "seic SAMPLE CA - do not trust"
    for path in _FOLDER.glob("*.key"):
        key = load_pem_private_key(path.read_bytes(), _PASSPHRASE if "encrypted" in path.name else None)
        assert _public(key) != _public(ca), path.name


@pytest.mark.parametrize(
    "name", ["server.pem", "client.pem", "client.der", "client.combined.pem", "client-rsa.pem", "client.expired.pem"]
)
def test_the_authority_issued_each_certificate(name: str) -> None:
    """Each certificate has its owner's name and the signature of the sample CA."""
    load = x509.load_der_x509_certificate if name.endswith(".der") else x509.load_pem_x509_certificate
    certificate = load(_read(name))

    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(_read("ca.pem")))
    assert _common_name(certificate.subject) == ("localhost" if name == "server.pem" else "svc-user")


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("ca.pem", dt.datetime(2050, 1, 1, tzinfo=dt.UTC)),
        ("server.pem", dt.datetime(2050, 1, 1, tzinfo=dt.UTC)),
        ("client.pem", dt.datetime(2050, 1, 1, tzinfo=dt.UTC)),
        ("client-rsa.pem", dt.datetime(2050, 1, 1, tzinfo=dt.UTC)),
        ("client.expired.pem", dt.datetime(2025, 2, 1, tzinfo=dt.UTC)),
    ],
)
def test_each_certificate_has_its_expiry(name: str, end: dt.datetime) -> None:
    """All samples are valid for long, except the expired one."""
    assert x509.load_pem_x509_certificate(_read(name)).not_valid_after_utc == end


@pytest.mark.parametrize(
    ("key", "first_line", "encrypted", "certificate"),
    [
        ("server.key", "BEGIN PRIVATE KEY", False, "server.pem"),
        ("client.key", "BEGIN PRIVATE KEY", False, "client.pem"),
        ("client.key", "BEGIN PRIVATE KEY", False, "client.expired.pem"),
        ("client.encrypted.key", "BEGIN ENCRYPTED PRIVATE KEY", True, "client.pem"),
        ("client.sec1.key", "BEGIN EC PRIVATE KEY", False, "client.pem"),
        ("client-rsa.key", "BEGIN PRIVATE KEY", False, "client-rsa.pem"),
        ("client-rsa.encrypted.key", "BEGIN ENCRYPTED PRIVATE KEY", True, "client-rsa.pem"),
        ("client-rsa.pkcs1.key", "BEGIN RSA PRIVATE KEY", False, "client-rsa.pem"),
        ("client-rsa.pkcs1.encrypted.key", "BEGIN RSA PRIVATE KEY", True, "client-rsa.pem"),
    ],
)
def test_each_key_has_its_format_and_matches(key: str, first_line: str, encrypted: bool, certificate: str) -> None:
    """Each PEM key has the format in the README, needs the passphrase if encrypted, and matches its certificate."""
    content = _read(key)
    loaded = load_pem_private_key(content, _PASSPHRASE if encrypted else None)

    assert content.decode().splitlines()[0] == f"-----{first_line}-----"
    assert _public(loaded) == _public(x509.load_pem_x509_certificate(_read(certificate)))
    if encrypted:
        with pytest.raises(TypeError):
            load_pem_private_key(content, None)


def test_the_legacy_encryption_has_its_header() -> None:
    """The encrypted PKCS#1 key has the legacy PEM headers."""
    assert b"Proc-Type: 4,ENCRYPTED" in _read("client-rsa.pkcs1.encrypted.key")


def test_the_der_pair_equals_the_pem_pair() -> None:
    """The DER files contain the same certificate and key as the PEM files."""
    assert x509.load_der_x509_certificate(_read("client.der")) == x509.load_pem_x509_certificate(_read("client.pem"))
    assert _public(load_der_private_key(_read("client.key.der"), None)) == _public(
        load_pem_private_key(_read("client.key"), None)
    )


@pytest.mark.parametrize(
    ("bundle", "certificate"), [("client.p12", "client.pem"), ("client-rsa.legacy.p12", "client-rsa.pem")]
)
def test_each_bundle_contains_the_pair_and_the_authority(bundle: str, certificate: str) -> None:
    """PKCS#12 needs the passphrase, and contains key, certificate and authority."""
    key, leaf, chain = pkcs12.load_key_and_certificates(_read(bundle), _PASSPHRASE)

    assert leaf == x509.load_pem_x509_certificate(_read(certificate))
    assert _public(key) == _public(leaf)
    assert chain == [x509.load_pem_x509_certificate(_read("ca.pem"))]
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(_read(bundle), b"another")


def test_the_request_has_the_clients_name_and_key() -> None:
    """The signing request is valid for the client's key."""
    request = x509.load_pem_x509_csr(_read("client.csr"))

    assert request.is_signature_valid
    assert _common_name(request.subject) == "svc-user"
    assert _public(request) == _public(load_pem_private_key(_read("client.key"), None))


@pytest.mark.parametrize("host", ["localhost", "api.localhost", "mtls.localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("client.pem", "client.key"),
        ("client.pem", "client.encrypted.key"),
        ("client.pem", "client.sec1.key"),
        ("client.combined.pem", None),
        ("client-rsa.pem", "client-rsa.pkcs1.encrypted.key"),
    ],
    ids=["ec", "ec encrypted", "ec sec1", "combined", "rsa pkcs1 encrypted"],
)
def test_sample_server_and_client_complete_a_handshake(host: str, certificate: str, key: str | None) -> None:
    """For each name of the server."""
    peer = _shake_hands(host, certificate, key)

    assert peer["subject"] == ((("commonName", "svc-user"),),)


@pytest.mark.parametrize(
    ("host", "certificate", "complaint"),
    [
        ("other.localhost", "client.pem", "Hostname mismatch"),
        ("localhost", "client.expired.pem", "certificate has expired"),
    ],
    ids=["another host name", "an expired client"],
)
def test_a_wrong_name_and_an_expired_certificate_are_refused(host: str, certificate: str, complaint: str) -> None:
    """The errors name the cause."""
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        _shake_hands(host, certificate, "client.key")


def _shake_hands(host: str, certificate: str, key: str | None) -> dict[str, object]:
    """Do a handshake in memory, and return the client certificate that the server received."""
    client_context = ssl.create_default_context(cafile=_FOLDER / "ca.pem")
    client_context.load_cert_chain(_FOLDER / certificate, _FOLDER / key if key else None, _PASSPHRASE)
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=_FOLDER / "ca.pem")
    server_context.load_cert_chain(_FOLDER / "server.pem", _FOLDER / "server.key")
    server_context.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):  # a handshake needs a few round trips; more is a deadlock
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            break
    assert not waiting
    peer = server.getpeercert()
    assert peer is not None
    return dict(peer)
