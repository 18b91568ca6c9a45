"""Secrets that a variable names the file of."""

from __future__ import annotations

from pathlib import Path

import pytest

from seic._config import Config
from seic._model.grants import ClientCredentials
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, PASSPHRASE, refused, write


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
@pytest.mark.parametrize(
    "content", ["{}", "{}\n", "{}\r\n", "{}\n\n", "\ufeff{}\n"], ids=["bare", "LF", "CRLF", "two LF", "BOM"]
)
def test_a_secret_may_stand_in_a_file(tmp_path: Path, name: str, content: str) -> None:
    """Each secret has its `_FILE`; the line end that an editor leaves is no part of it."""
    environ = {**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY}
    environ["SEIC_CERTIFICATE_PASSWORD"] = PASSPHRASE
    expected = Config.from_env(environ)
    secret = environ.pop(name)
    environ[f"{name}_FILE"] = str(write(tmp_path / "secret", content.format(secret)))

    assert Config.from_env(environ) == expected


def test_spaces_within_a_secret_are_its_own(tmp_path: Path) -> None:
    """Only line ends are taken off, and only at the end."""
    environ = {**GATEWAY, "SEIC_PASSWORD": ""}
    environ["SEIC_PASSWORD_FILE"] = str(write(tmp_path / "secret", " pass word\t\n"))

    assert Config.from_env(environ).grant == ClientCredentials(username="svc-user", password=" pass word\t")


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
def test_a_secret_in_two_places_is_refused(tmp_path: Path, name: str) -> None:
    """Which of two secrets was meant cannot be known, even where they are the same."""
    environ = {**GATEWAY, "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY, name: PASSPHRASE}
    error = refused({**environ, f"{name}_FILE": str(write(tmp_path / "secret", PASSPHRASE))})

    assert error.field == f"{name}_FILE"
    assert f"{name} is set too" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\r\n", "is empty"), (b"\xff\xfe", "UTF-8")],
    ids=["no file", "empty", "a line end", "no text"],
)
def test_a_secret_file_that_holds_none_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The error names the variable and the file."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    error = refused({**GATEWAY, "SEIC_PASSWORD": "", "SEIC_PASSWORD_FILE": str(path)})

    assert error.field == "SEIC_PASSWORD_FILE"
    assert f"{path} " in str(error)
    assert words in str(error)


def test_a_secret_from_a_file_is_found_fault_with_under_the_files_name(tmp_path: Path) -> None:
    """Who wrote the file's name into a variable is told that variable."""
    path = write(tmp_path / "secret", "two\nlines")

    error = refused({**GATEWAY, "SEIC_CLIENT_SECRET": "", "SEIC_CLIENT_SECRET_FILE": str(path)})

    assert error.field == "SEIC_CLIENT_SECRET_FILE"
