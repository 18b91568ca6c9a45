"""Secrets in files that a `_FILE` variable names."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from seic import CertificateError, Config, ConfigurationError
from tests._support.reports import report
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, PASSPHRASE, refused, revealed, write


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
@pytest.mark.parametrize(
    "content", ["{}", "{}\n", "{}\r\n", "{}\n\n", "\ufeff{}\n"], ids=["no line end", "LF", "CRLF", "two LF", "BOM"]
)
def test_a_file_can_contain_a_secret(tmp_path: Path, name: str, content: str) -> None:
    """Each secret has a `_FILE` variable. A line end from an editor is not part of the secret."""
    environ = {**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY}
    environ["SEIC_CERTIFICATE_PASSWORD"] = PASSPHRASE
    expected = Config.from_env(environ)
    secret = environ.pop(name)
    environ[f"{name}_FILE"] = str(write(tmp_path / "secret", content.format(secret)))

    assert revealed(Config.from_env(environ)) == revealed(expected)


def test_spaces_are_part_of_a_secret(tmp_path: Path) -> None:
    """Only line ends are removed, and only at the end."""
    environ = {**GATEWAY, "SEIC_PASSWORD": ""}
    environ["SEIC_PASSWORD_FILE"] = str(write(tmp_path / "secret", " pass word\t\n"))

    assert revealed(Config.from_env(environ))[4] == " pass word\t"


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
def test_a_secret_that_is_set_twice_is_refused(tmp_path: Path, name: str) -> None:
    """It is not clear which of the two applies, even if they are equal."""
    environ = {**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY, name: PASSPHRASE}
    error = refused({**environ, f"{name}_FILE": str(write(tmp_path / "secret", PASSPHRASE))})

    assert error.field == f"{name}_FILE"
    assert f"{name} is also set" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\r\n", "is empty"), (b"\xff\xfe", "not UTF-8")],
    ids=["no file", "empty", "a line end", "binary"],
)
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The error names the variable and the file."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    error = refused({**GATEWAY, "SEIC_PASSWORD": "", "SEIC_PASSWORD_FILE": str(path)})

    assert error.field == "SEIC_PASSWORD_FILE"
    assert f"{path} " in str(error)
    assert words in str(error)


def test_an_error_about_a_secret_from_a_file_names_its_variable(tmp_path: Path) -> None:
    """The error names the variable that is set, with `_FILE`."""
    path = write(tmp_path / "secret", "two\nlines")

    error = refused({**GATEWAY, "SEIC_CLIENT_SECRET": "", "SEIC_CLIENT_SECRET_FILE": str(path)})

    assert error.field == "SEIC_CLIENT_SECRET_FILE"


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
@pytest.mark.parametrize("secret", ["hunter2-and-more", "/hunter2/and-more", "~hunter2", "hunter2/and-more", "h\0x"])
def test_a_secret_in_place_of_a_path_is_not_quoted(name: str, secret: str) -> None:
    """The error names the variable and what belongs there; its value may be the secret, set by mistake."""
    environ = {**GATEWAY, "SEIC_CERTIFICATE": "client.pem", name: "", f"{name}_FILE": secret}
    error = refused(environ)

    assert error.field == f"{name}_FILE"
    assert secret not in "".join(traceback.format_exception(error))
    assert report(error).count(secret) == 0


def test_the_value_is_not_quoted_in_a_profile_either(tmp_path: Path) -> None:
    """A key of a profile is read in the same way, relative to the profile's folder."""
    write(
        tmp_path / "p.toml",
        "[default]\nclient_id = 'x'\nclient_secret = 'x'\nusername = 'x'\npassword_file = 'hunter2-and-more'",
    )
    with pytest.raises(ConfigurationError) as caught:
        Config.from_file(tmp_path / "p.toml")

    assert caught.value.field == "default.password_file"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY"])
@pytest.mark.parametrize("secret", ["hunter2-and-more", "/hunter2/and.more", "hunter2/and-more"])
def test_a_passphrase_in_place_of_a_certificates_path_is_not_quoted(name: str, secret: str, tmp_path: Path) -> None:
    """It is the same mistake in a variable for a path; a usual file name is quoted."""
    certificate = str(write(tmp_path / "client.pem", CERT))
    with pytest.raises(CertificateError) as caught:
        Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": certificate, name: secret})
    assert caught.value.field == name
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert caught.value.path is None

    with pytest.raises(CertificateError) as caught:
        Config.from_env({**GATEWAY, "SEIC_CERTIFICATE": certificate, name: "missing.pem"})
    assert "missing.pem" in str(caught.value)
