"""`seic certs` on files in all formats, folders, servers and expiry dates."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seic
from seic.sandbox import CertificateAuthority, Sandbox
from tests._support import pki
from tests._support.command import environment, run, run_program
from tests._support.documents import ROOT
from tests._support.tls_servers import TlsServer

SAMPLES = ROOT / "certs-sample"
PASSPHRASE = "sample-passphrase"


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Set no variable."""
    with environment({}, tmp_path) as env:
        yield env


@pytest.fixture
def password(tmp_path: Path) -> str:
    """Return the name of a file with the samples' passphrase."""
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    return str(file)


def lasting(folder: Path, days: float, *, of: float = 730) -> str:
    """Write a certificate with so many days left of its lifetime."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    issued = CertificateAuthority().issue("svc-user", not_before=end - dt.timedelta(days=of), not_after=end)
    path = folder / f"lasting-{days}.pem"
    path.write_bytes(issued.cert_pem)
    return str(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("client.pem", "client certificate CN=svc-user"),
        ("client.der", "client certificate CN=svc-user"),
        ("client.p12", "private key of CN=svc-user"),
        ("client-rsa.legacy.p12", "RSA 2048"),
        ("client.combined.pem", "root authority CN=seic SAMPLE CA - do not trust"),
        ("client.encrypted.key", "private key"),
        ("client-rsa.pkcs1.encrypted.key", "private key"),
        ("client.key.der", "private key"),
        ("client.csr", "certificate request"),
        ("server.pem", "server certificate CN=localhost"),
    ],
)
def test_each_format_is_shown(name: str, words: str, password: str) -> None:
    """By content, not by name."""
    shown = run("certs", "inspect", str(SAMPLES / name), "--password-file", password)

    assert shown.code == 0
    assert words in shown.out
    assert json.loads(run("certs", "inspect", str(SAMPLES / name), "--password-file", password, "--json").out)["path"]


def test_a_file_that_needs_a_passphrase(password: str, no_settings: pytest.MonkeyPatch) -> None:
    """A sentence without a terminal; the settings have it too, also a profile."""
    source = str(SAMPLES / "client.p12")
    refused = run_program("certs", "inspect", source)
    no_settings.setenv("SEIC_CERTIFICATE_PASSWORD_FILE", password)

    assert refused.code == 4
    assert "--password-file" in refused.err
    assert run("certs", "inspect", source).code == 0


def test_a_folder_that_an_authority_sent(tmp_path: Path, password: str) -> None:
    """Each file is named, and the variables to set can be pasted."""
    folder = tmp_path / "sent"
    folder.mkdir()
    for name in ("ca.pem", "client-rsa.pem", "client-rsa.encrypted.key", "client.pem", "README.md"):
        shutil.copy(SAMPLES / name, folder)
    closed = run("certs", "inspect", str(folder))
    shown = run("certs", "inspect", str(folder), "--password-file", password)

    assert closed.code == 4
    assert "client-rsa.encrypted.key\tprivate key, encrypted" in closed.out
    assert shown.code == 0
    assert "README.md\tit is neither PEM, DER nor PKCS#12" in shown.out
    assert "ca.pem\troot authority CN=seic SAMPLE CA - do not trust" in shown.out
    assert f"export SEIC_CERTIFICATE={folder}/client-rsa.pem\n" in shown.out
    assert f"export SEIC_CERTIFICATE_KEY={folder}/client-rsa.encrypted.key\n" in shown.out
    # Its key is not in the folder.
    assert "SEIC_CERTIFICATE={folder}/client.pem" not in shown.out


def test_a_folder_with_an_intermediate(tmp_path: Path) -> None:
    """The chain is followed, and a missing link is named."""
    root = pki.authority()
    intermediate = pki.mint("Intermediate", issuer=root, ca=True, number=5)
    client = pki.mint("svc-user", issuer=intermediate, number=6)
    client.write(tmp_path)
    (tmp_path / "chain.pem").write_bytes(intermediate.pem)
    shown = run("certs", "inspect", str(tmp_path))

    assert "append chain.pem to client.pem" in shown.out
    assert "the issuer of CN=Intermediate, CN=Test Root, is not in this folder" in shown.out
    document = json.loads(run("certs", "inspect", str(tmp_path), "--json").out)
    assert document["settings"][0]["SEIC_CERTIFICATE"] == str(tmp_path / "client.pem")


def test_a_server_is_inspected(sandbox: Sandbox, tmp_path: Path, no_settings: pytest.MonkeyPatch) -> None:
    """Its chain, and whether it is trusted; the authorities are those of the settings."""
    (tmp_path / "ca.pem").write_bytes(sandbox.ca_pem)
    no_settings.setenv("SEIC_CA", str(tmp_path / "ca.pem"))
    trusted = run("certs", "inspect", sandbox.api_url)
    no_settings.delenv("SEIC_CA")
    other = run("certs", "inspect", sandbox.api_url)

    assert trusted.code == 0
    assert "CN=localhost\tCN=seic sandbox CA" in trusted.out
    assert "trusted, over TLSv1.3" in trusted.out
    assert other.code == 5
    assert "CN=localhost\tCN=seic sandbox CA" in other.out
    assert "pass a private authority as SEIC_CA" in other.out
    assert run("certs", "inspect", "https://localhost:1").code == 5


def test_a_broken_server_is_inspected() -> None:
    """An expired certificate is shown all the same; as JSON too."""
    expired = pki.server(pki.authority(), not_before=pki.NOW - 30 * pki.DAY, not_after=pki.NOW - pki.DAY)
    with TlsServer(expired) as server:
        shown = run("certs", "inspect", f"https://localhost:{server.port}", "--json")
    document = json.loads(shown.out)

    assert shown.code == 5
    assert document["trusted"] is False
    assert document["chain"][0]["subject"] == "CN=server"


def test_renewal_by_exit_code(tmp_path: Path) -> None:
    """As `step certificate needs-renewal`: 0 renew, 1 fresh, 2 no file, 255 another error."""
    fresh, due, ended = (lasting(tmp_path, days) for days in (300, 10, -3))
    (tmp_path / "text.pem").write_text("text")

    assert run("certs", "check", fresh).code == 1
    assert run("certs", "check", due).code == 0
    assert run("certs", "check", ended).code == 0
    assert run("certs", "check", str(tmp_path / "absent.pem")).code == 2
    assert run("certs", "check", str(tmp_path / "text.pem")).code == 255
    assert run("certs", "check").code == 255
    assert "expired on" in run("certs", "check", ended).out
    assert "3.0 days ago" in run("certs", "check", ended).out


@pytest.mark.parametrize(
    ("span", "code"), [("310d", 0), ("290d", 1), ("50%", 0), ("10%", 1), ("7300h", 0), ("7100h", 1)]
)
def test_the_time_of_renewal(tmp_path: Path, span: str, code: int) -> None:
    """Days, hours, or a share of the lifetime."""
    assert run("certs", "check", lasting(tmp_path, 300), "--expires-in", span).code == code


def test_a_wrong_span_is_named(tmp_path: Path) -> None:
    """It is not taken for a time in the past."""
    assert run("certs", "check", lasting(tmp_path, 300), "--expires-in", "soon").code == 255


def test_a_plugin_of_nagios(tmp_path: Path) -> None:
    """OK, WARNING, CRITICAL, UNKNOWN; one line with the number for its graph."""
    for name, code, state in (
        (lasting(tmp_path, 300), 0, "OK"),
        (lasting(tmp_path, 10), 1, "WARNING"),
        (lasting(tmp_path, -3), 2, "CRITICAL"),
        (str(tmp_path / "absent.pem"), 2, "CRITICAL"),
    ):
        shown = run("certs", "check", name, "--nagios")
        assert shown.code == code
        assert shown.out.startswith(f"CERTIFICATE {state} - ")
        assert shown.out.count("\n") == 1
        assert ("| days_left=" in shown.out) is not name.endswith("absent.pem")
    assert run("certs", "check", "--nagios").code == 3


def test_it_names_the_other_problems_of_a_certificate(tmp_path: Path, no_settings: pytest.MonkeyPatch) -> None:
    """Those of `certificate.checks()`: next to the result, in JSON, and as a warning of Nagios."""
    root = pki.authority()
    between = pki.mint("Between", issuer=root, ca=True, number=71, not_after=pki.NOW + 100 * pki.DAY)
    minted = pki.mint(issuer=between, not_after=pki.NOW + 400 * pki.DAY)
    file = tmp_path / "client.pem"
    file.write_bytes(minted.pair + between.pem)
    file.chmod(0o600)
    told = seic.ClientCertificate.load(file).checks()
    assert [one.reason for one in told] == [seic.Reason.CHAIN_ENDS_FIRST]

    shown = run("certs", "check", str(file))
    assert (shown.code, shown.err.strip()) == (1, str(told[0]))
    document = json.loads(run("certs", "check", "--json", str(file)).out)
    assert document["problems"] == [{"reason": told[0].reason, "message": str(told[0])}]
    watched = run("certs", "check", "--nagios", str(file))
    assert (watched.code, watched.out.count("\n")) == (1, 1)
    assert watched.out.startswith("CERTIFICATE WARNING - ")
    assert f"; {told[0]} | days_left=" in watched.out

    # Without a key its end alone is told.
    file.write_bytes(minted.pem)
    assert run("certs", "check", str(file)).err == ""


def test_the_certificate_of_the_settings(env: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Without a file; as JSON too."""
    document = json.loads(run("certs", "check", "--json").out)

    assert run("certs", "check").code == 1
    assert document["needs_renewal"] is False
    assert document["subject"] == f"CN={sandbox.username}"


def _openssl(*arguments: str, given: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=given, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_request_for_the_account(tmp_path: Path, no_settings: pytest.MonkeyPatch, kind: str) -> None:
    """Its CN is the username, its key private; openssl verifies it."""
    no_settings.setenv("SEIC_USERNAME", "svc-user")
    key = tmp_path / "new.key"
    made = run("certs", "csr", "--key", str(key), "--key-type", kind, "--organization", "Example")
    text = _openssl("req", "-noout", "-verify", "-subject", "-nameopt", "RFC2253", given=made.out)

    assert made.code == 0
    assert "CN=svc-user" in text
    assert "O=Example" in text
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = run("certs", "csr", "--key", str(key), "--common-name", "svc-other", "-o", str(tmp_path / "other.csr"))
    assert again.code == 0
    assert "svc-other" in _openssl("req", "-noout", "-verify", "-subject", "-in", str(tmp_path / "other.csr"))


def test_a_request_without_a_name(tmp_path: Path) -> None:
    """No key is written for it."""
    refused = run("certs", "csr", "--key", str(tmp_path / "new.key"))

    assert refused.code == 3
    assert "--common-name" in refused.err
    assert not (tmp_path / "new.key").exists()


def test_a_key_of_a_request_is_encrypted(tmp_path: Path, password: str) -> None:
    """With the passphrase of a file, and it opens again."""
    key = str(tmp_path / "new.key")
    arguments = ("certs", "csr", "--key", key, "--common-name", "svc-user", "--password-file", password)
    assert run(*arguments, "--encrypt").code == 0

    assert "ENCRYPTED" in Path(key).read_text()
    assert run(*arguments).code == 0


@pytest.mark.parametrize("source", ["client.p12", "client-rsa.legacy.p12", "client.combined.pem"])
@pytest.mark.parametrize("form", ["pem", "pkcs12", "der"])
def test_conversions_keep_certificate_and_key(tmp_path: Path, password: str, source: str, form: str) -> None:
    """The result loads, and is the same certificate, chain and key."""
    before = seic.ClientCertificate.load(SAMPLES / source, password=PASSPHRASE)
    output, key = tmp_path / "out", tmp_path / "out.key"
    options = ["--new-password-file", password, *(["--new-key", str(key)] if form != "pkcs12" else [])]
    made = run(
        "certs",
        "convert",
        str(SAMPLES / source),
        "--to",
        form,
        "-o",
        str(output),
        "--password-file",
        password,
        *options,
    )

    assert made.code == 0
    changes: dict[str, Any] = {} if form == "pkcs12" else {"key": key}
    after = seic.ClientCertificate.load(output, password=PASSPHRASE, **changes)
    assert after == before
    assert form == "der" or after.chain == before.chain
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_a_conversion_replaces_nothing(tmp_path: Path) -> None:
    """Unless it is told to; certificate and key then are in one PEM file."""
    output = tmp_path / "out.pem"
    output.write_text("old")
    arguments = ("certs", "convert", str(SAMPLES / "client.pem"), "--key", str(SAMPLES / "client.key"), "--to", "pem")
    refused = run(*arguments, "-o", str(output))

    assert refused.code == 3
    assert output.read_text() == "old"
    assert run(*arguments, "-o", str(output), "--force").code == 0
    assert seic.ClientCertificate.load(output).common_name == "svc-user"
