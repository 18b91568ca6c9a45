"""Certificate, key and CA by variable: as text, or as the path of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seic._config import Config
from seic._errors import CertificateError, ConfigurationError
from tests._support.identities import authority, certificate, issued
from tests._support.reports import report
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, KEY, PASSPHRASE, PASSWORD, SECRET, write

# Material in variables


@pytest.mark.parametrize(
    "spell",
    [lambda pem: pem, lambda pem: pem.replace("\n", "\\n"), lambda pem: pem.replace("\n", "\r\n")],
    ids=["as it is", "backslash n", "CRLF"],
)
def test_pem_may_stand_in_a_variable(spell: Any) -> None:
    """Certificate, key and CA as text, with whatever the file of variables made of the line ends."""
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


def test_key_and_certificate_may_stand_in_one_variable() -> None:
    """A combined PEM needs no second variable."""
    assert Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": KEY + CERT}).certificate == certificate()


@pytest.mark.parametrize(
    ("variables", "name", "reason", "remedy"),
    [
        ({"SEIC_CERTIFICATE": "/nonexistent/client.pem"}, "", "not-found", "check the path"),
        ({"SEIC_CERTIFICATE": CERT}, "", "no-key", "pass SEIC_CERTIFICATE_KEY with the key's file"),
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
    ids=["no file", "no key", "key first", "no key's file", "certificate twice", "no passphrase", "wrong passphrase",
         "another's key"],
)  # fmt: skip
def test_a_certificate_that_cannot_work_names_the_variable(
    variables: dict[str, str], name: str, reason: str, remedy: str
) -> None:
    """The error stays a CertificateError with its reason, and says which variable led there and which one helps."""
    with pytest.raises(CertificateError) as caught:
        Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": CERT, **variables})

    assert str(caught.value).startswith(f"SEIC_CERTIFICATE{name}: ")
    assert caught.value.reason == reason
    assert remedy in str(caught.value)
    assert "=…" not in str(caught.value)


def test_a_passphrase_from_a_file_is_found_fault_with_under_the_files_name(tmp_path: Path) -> None:
    """The variable that there is, and not the one that there is not."""
    path = write(tmp_path / "secret", "wrong")
    environ = {**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY}

    with pytest.raises(CertificateError, match=r"^SEIC_CERTIFICATE_PASSWORD_FILE: .*check SEIC_CERTIFICATE_PASSWORD_F"):
        Config.from_env({**environ, "SEIC_CERTIFICATE_PASSWORD_FILE": str(path)})


@pytest.mark.parametrize(
    "ca", ["nope.pem", "~nosuchuser/x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
)
def test_a_ca_that_cannot_work_names_the_variable(ca: str) -> None:
    """The authorities are looked at with everything else, and not by the first call."""
    with pytest.raises(CertificateError, match=r"^SEIC_CA: "):
        Config.from_env({**GATEWAY, "SEIC_CA": ca})
    with pytest.raises(CertificateError, match=r"^ca: "):
        Config.from_env(GATEWAY, ca=ca)


def test_relative_paths_start_where_the_process_is(tmp_path: Path) -> None:
    """A path in a variable means what it means in the shell; a tilde is the home."""
    write(tmp_path / "client.pem", KEY + CERT)
    write(tmp_path / "home" / "client.pem", KEY + CERT)

    for path in ("client.pem", "./client.pem", "~/client.pem"):
        assert Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": path}).certificate == certificate()


# Secrets in files


def test_a_key_needs_no_file_variable_of_its_own(tmp_path: Path) -> None:
    """`SEIC_CERTIFICATE_KEY` takes the file's path itself."""
    key = write(tmp_path / "client.key", KEY)

    config = Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": str(key)})

    assert config.certificate == certificate()


# Files


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b", "a\ud800b"], ids=["nobody's home", "NUL", "no text"])
@pytest.mark.parametrize("name", ["SEIC_PASSWORD_FILE", "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY"])
def test_a_path_that_there_cannot_be_names_the_variable(name: str, path: str) -> None:
    """What Python says of such a path is no error of seic's, so it is said in its place."""
    environ = {**GATEWAY, "SEIC_PASSWORD": "" if name == "SEIC_PASSWORD_FILE" else PASSWORD}
    if name == "SEIC_CERTIFICATE_KEY":
        environ["SEIC_CERTIFICATE"] = CERT

    with pytest.raises((ConfigurationError, CertificateError), match=f"^{name}: ") as caught:
        Config.from_env({**environ, name: path})

    assert SECRET not in report(caught.value)
