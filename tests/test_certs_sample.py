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
    key = holder.public_key()  # type: ignore[attr-defined]  # a certificate, a request and a private key all have it
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _common_name(subject: x509.Name) -> str | bytes:
    (attribute,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return attribute.value


def _samples(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} - _NO_SAMPLES


def test_minting_makes_the_files_that_are_here(tmp_path: Path) -> None:
    """`nox -s certs` replaces each sample, forgets none and adds none, whichever folder it writes to."""
    subprocess.run([sys.executable, _FOLDER / "mint.py", tmp_path], check=True, capture_output=True)

    assert _samples(tmp_path) == _samples(_FOLDER)


def test_the_readme_tells_what_each_file_is() -> None:
    """Each file has a row in the README, and each row a file."""
    rows = re.findall(r"^\| `([^`]+)` \|", _read("README.md").decode(), re.MULTILINE)

    assert sorted(rows) == sorted(_samples(_FOLDER))


def test_nobody_can_take_the_authority_for_a_real_one() -> None:
    """The sample CA says in its subject that it is none to trust, and its key is not here."""
    ca = x509.load_pem_x509_certificate(_read("ca.pem"))

    assert _common_name(ca.subject) == "seic SAMPLE CA - do not trust"
    for path in _FOLDER.glob("*.key"):
        key = load_pem_private_key(path.read_bytes(), _PASSPHRASE if "encrypted" in path.name else None)
        assert _public(key) != _public(ca), path.name


@pytest.mark.parametrize(
    "name", ["server.pem", "client.pem", "client.der", "client.combined.pem", "client-rsa.pem", "client.expired.pem"]
)
def test_each_certificate_is_the_authoritys(name: str) -> None:
    """Each certificate carries its owner's name and was signed by the sample CA."""
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
def test_each_certificate_ends_when_it_should(name: str, end: dt.datetime) -> None:
    """The samples last for long, and the expired one is over."""
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
def test_each_key_is_in_its_form_and_fits(key: str, first_line: str, encrypted: bool, certificate: str) -> None:
    """Each PEM key has the form that the README says, needs the passphrase if encrypted, and fits its certificate."""
    content = _read(key)
    loaded = load_pem_private_key(content, _PASSPHRASE if encrypted else None)

    assert content.decode().splitlines()[0] == f"-----{first_line}-----"
    assert _public(loaded) == _public(x509.load_pem_x509_certificate(_read(certificate)))
    if encrypted:
        with pytest.raises(TypeError):
            load_pem_private_key(content, None)


def test_the_old_encryption_names_itself() -> None:
    """The encrypted PKCS#1 key is of the kind whose headers stand in clear."""
    assert b"Proc-Type: 4,ENCRYPTED" in _read("client-rsa.pkcs1.encrypted.key")


def test_the_der_pair_is_the_pem_pair() -> None:
    """DER holds the same certificate and key as PEM."""
    assert x509.load_der_x509_certificate(_read("client.der")) == x509.load_pem_x509_certificate(_read("client.pem"))
    assert _public(load_der_private_key(_read("client.key.der"), None)) == _public(
        load_pem_private_key(_read("client.key"), None)
    )


@pytest.mark.parametrize(
    ("bundle", "certificate"), [("client.p12", "client.pem"), ("client-rsa.legacy.p12", "client-rsa.pem")]
)
def test_each_bundle_holds_the_pair_and_the_authority(bundle: str, certificate: str) -> None:
    """PKCS#12 opens with the passphrase, with no other, and holds key, certificate and authority."""
    key, leaf, chain = pkcs12.load_key_and_certificates(_read(bundle), _PASSPHRASE)

    assert leaf == x509.load_pem_x509_certificate(_read(certificate))
    assert _public(key) == _public(leaf)
    assert chain == [x509.load_pem_x509_certificate(_read("ca.pem"))]
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(_read(bundle), b"another")


def test_the_request_asks_for_the_clients_name_and_key() -> None:
    """The signing request is a valid one for the client's key."""
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
def test_the_samples_shake_hands(host: str, certificate: str, key: str | None) -> None:
    """Under each of its names the sample server and the sample client accept one another."""
    peer = _shake_hands(host, certificate, key)

    assert peer["subject"] == ((("commonName", "svc-user"),),)


@pytest.mark.parametrize(
    ("host", "certificate", "complaint"),
    [
        ("other.localhost", "client.pem", "Hostname mismatch"),
        ("localhost", "client.expired.pem", "certificate has expired"),
    ],
    ids=["a name that the server lacks", "an expired client"],
)
def test_the_samples_refuse_what_they_should(host: str, certificate: str, complaint: str) -> None:
    """A foreign host name and the expired certificate are refused, each for its own reason."""
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        _shake_hands(host, certificate, "client.key")


def _shake_hands(host: str, certificate: str, key: str | None) -> dict[str, object]:
    """Return what the server saw of the client, the two joined in memory."""
    near = ssl.create_default_context(cafile=_FOLDER / "ca.pem")
    near.load_cert_chain(_FOLDER / certificate, _FOLDER / key if key else None, _PASSPHRASE)
    far = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=_FOLDER / "ca.pem")
    far.load_cert_chain(_FOLDER / "server.pem", _FOLDER / "server.key")
    far.verify_mode = ssl.CERT_REQUIRED
    to_far, to_near = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = near.wrap_bio(to_near, to_far, server_hostname=host)
    server = far.wrap_bio(to_far, to_near, server_side=True)
    waiting = [client, server]
    for _ in range(10):  # a handshake has a handful of flights; more is a deadlock
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
