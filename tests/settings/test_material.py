"""Certificate, key and CA in variables: as PEM text, or as the path of a file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from seic import CertificateError, Config, ConfigurationError
from tests._support.identities import authority, certificate, issued
from tests._support.reports import report
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, KEY, PASSPHRASE, PASSWORD, SECRET, refused, write

# Material in variables


@pytest.mark.parametrize(
    "spell",
    [lambda pem: pem, lambda pem: pem.replace("\n", "\\n"), lambda pem: pem.replace("\n", "\r\n")],
    ids=["line feeds", "backslash n", "CRLF"],
)
def test_a_variable_can_contain_pem(spell: Any) -> None:
    """Certificate, key and CA as text, with the line ends that files of variables produce."""
    ca = authority().cert_pem.decode()
    config = Config.from_env({
        **GATEWAY,
        "SEIC_CERTIFICATE": spell(CERT),
        "SEIC_CERTIFICATE_KEY": spell(ENCRYPTED_KEY),
        "SEIC_CERTIFICATE_PASSWORD": PASSPHRASE,
        "SEIC_CA": spell(ca),
    })  # fmt: skip

    assert config.certificate == certificate()
    assert isinstance(config.ca, bytes)
    assert config.ca.decode().replace("\r\n", "\n") == ca


def test_one_variable_can_contain_key_and_certificate() -> None:
    """A combined PEM needs no second variable."""
    assert Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": KEY + CERT}).certificate == certificate()


@pytest.mark.parametrize(
    ("variables", "name", "reason", "remedy"),
    [
        ({"SEIC_CERTIFICATE": "/nonexistent/client.pem"}, "", "not-found", "check the path"),
        ({"SEIC_CERTIFICATE": CERT}, "", "no-key", "pass SEIC_CERTIFICATE_KEY with the key's file"),
        ({"SEIC_CERTIFICATE": authority().cert_pem.decode()}, "", "is-a-ca", "belongs in SEIC_CA"),
        ({"SEIC_CERTIFICATE": KEY}, "", "key-as-certificate", "the key as SEIC_CERTIFICATE_KEY"),
        ({"SEIC_CERTIFICATE_KEY": "/nonexistent/client.key"}, "_KEY", "not-found", "check the path"),
        ({"SEIC_CERTIFICATE_KEY": CERT}, "_KEY", "certificate-as-key", "the key's file as SEIC_CERTIFICATE_KEY"),
        (
            {"SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY},
            "_PASSWORD",
            "passphrase-missing",
            "there is no passphrase; pass SEIC_CERTIFICATE_PASSWORD",
        ),
        (
            {"SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY, "SEIC_CERTIFICATE_PASSWORD": "x"},
            "_PASSWORD",
            "passphrase-wrong",
            "check SEIC_CERTIFICATE_PASSWORD",
        ),
        (
            {"SEIC_CERTIFICATE": issued("other").cert_pem.decode(), "SEIC_CERTIFICATE_KEY": KEY},
            "",
            "key-mismatch",
            "",
        ),
    ],
    ids=["no file", "no key", "an authority", "key first", "no key's file", "certificate twice", "no passphrase",
         "wrong passphrase", "another's key"],
)  # fmt: skip
def test_an_error_about_a_certificate_names_the_variable(
    variables: dict[str, str], name: str, reason: str, remedy: str
) -> None:
    """The CertificateError keeps its reason, and names the variable and the remedy."""
    with pytest.raises(CertificateError) as caught:
        Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": CERT, **variables})

    assert str(caught.value).startswith(f"SEIC_CERTIFICATE{name}: ")
    assert caught.value.reason == reason
    assert remedy in str(caught.value)
    assert "=..." not in str(caught.value)


def test_an_error_about_a_passphrase_from_a_file_names_its_variable(tmp_path: Path) -> None:
    """The variable that is set, not the one without `_FILE`."""
    path = write(tmp_path / "secret", "wrong")
    environ = {**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY}

    with pytest.raises(CertificateError, match=r"^SEIC_CERTIFICATE_PASSWORD_FILE: .*check SEIC_CERTIFICATE_PASSWORD_F"):
        Config.from_env({**environ, "SEIC_CERTIFICATE_PASSWORD_FILE": str(path)})


@pytest.mark.parametrize(
    "ca", ["nope.pem", "~nosuchuser/x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
)
def test_an_error_about_a_ca_names_the_variable(ca: str) -> None:
    """The authorities are checked when the configuration is created, not by the first request."""
    with pytest.raises(CertificateError, match=r"^SEIC_CA: "):
        Config.from_env({**GATEWAY, "SEIC_CA": ca})
    with pytest.raises(CertificateError, match=r"^ca: "):
        Config.from_env(GATEWAY, ca=ca)


def test_relative_paths_start_in_the_working_directory(tmp_path: Path) -> None:
    """Paths work as in a shell; a tilde is the home directory."""
    write(tmp_path / "client.pem", KEY + CERT)
    write(tmp_path / "home" / "client.pem", KEY + CERT)

    for path in ("client.pem", "./client.pem", "~/client.pem"):
        assert Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": path}).certificate == certificate()


# Secrets in files


def test_the_key_variable_takes_a_path(tmp_path: Path) -> None:
    """`SEIC_CERTIFICATE_KEY` needs no `_FILE` variant."""
    key = write(tmp_path / "client.key", KEY)

    config = Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": str(key)})

    assert config.certificate == certificate()


# Files


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b", "a\ud800b"], ids=["unknown user", "NUL", "surrogate"])
@pytest.mark.parametrize("name", ["SEIC_PASSWORD_FILE", "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY"])
def test_an_error_about_an_invalid_path_names_the_variable(name: str, path: str) -> None:
    """The exceptions of Python for such paths are converted to errors of seic."""
    environ = {**GATEWAY, "SEIC_PASSWORD": "" if name == "SEIC_PASSWORD_FILE" else PASSWORD}
    if name == "SEIC_CERTIFICATE_KEY":
        environ["SEIC_CERTIFICATE"] = CERT

    with pytest.raises((ConfigurationError, CertificateError), match=f"^{name}: ") as caught:
        Config.from_env({**environ, name: path})

    assert SECRET not in report(caught.value)


def test_a_certificate_that_a_sidecar_has_yet_to_write(tmp_path: Path) -> None:
    """The files are waited for, and an error that remains says so."""
    environ = {**GATEWAY, "SEIC_CERTIFICATE": str(tmp_path / "client.pem"), "SEIC_MTLS_HOST": "mtls.example"}
    writer = threading.Thread(target=lambda: write(tmp_path / "client.pem", CERT + KEY).chmod(0o600))
    with pytest.raises(CertificateError, match="it was waited for"):
        Config.from_env({**environ, "SEIC_CERTIFICATE_WAIT": "0.01"})
    writer.start()
    assert Config.from_env({**environ, "SEIC_CERTIFICATE_WAIT": "60"}).certificate == certificate()
    writer.join()
    assert refused({**environ, "SEIC_CERTIFICATE_WAIT": "-1"}).field == "SEIC_CERTIFICATE_WAIT"
