"""Passphrases of commands: from a file, from the settings, or asked for at a terminal."""

from __future__ import annotations

import functools
import getpass
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from seic._errors import CertificateError, ConfigurationError
from seic._files import read_regular_file
from seic._setting_names import PREFIX
from seic._setting_values import SettingReader
from seic._settings import read_values
from seic.cli._configuration import environment_of

_MAX_BYTES = 64 * 1024


def get_passphrase(options: Namespace, label: str, *, ask: bool = True) -> Callable[[], str]:
    """Return a function that returns the passphrase of an existing key; it asks at most once.

    Args:
        options: The arguments, with `password_file`.
        label: The name of the key's file, for the question.
        ask: Whether it asks at a terminal.
    """

    @functools.cache
    def get() -> str:
        if options.password_file is not None:
            return read_passphrase(options.password_file)
        values = read_values(environment_of(options))
        found = SettingReader(values, lambda setting: f"{PREFIX}{setting.upper()}").secret("certificate_password")
        if found is not None:
            return found if isinstance(found, str) else found()
        if not (ask and sys.stdin.isatty()):
            raise CertificateError(
                f"{label}: it is encrypted; name the passphrase's file by --password-file, or set "
                "SEIC_CERTIFICATE_PASSWORD_FILE",
                path=label,
                reason="passphrase-missing",
            )
        return getpass.getpass(f"Passphrase of {label}: ")

    return get


def new_passphrase(file: Path | None, label: str) -> bytes:
    """Return the passphrase of a new key, from a file or asked for twice.

    Raises:
        ConfigurationError: There is none, or the two differ.
    """
    if file is not None:
        return read_passphrase(file).encode()
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{label}: a new passphrase is needed; name its file", field="password_file")
    first = getpass.getpass(f"New passphrase of {label}: ")
    if not first or first != getpass.getpass("Again: "):
        raise ConfigurationError(f"{label}: the passphrases differ, or are empty; start again", field="password_file")
    return first.encode()


def read_passphrase(path: Path) -> str:
    """Return the passphrase in a file, without the line's end.

    Raises:
        ConfigurationError: The file has none.
    """
    try:
        text = read_regular_file(path, _MAX_BYTES).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ConfigurationError(f"{path}: has no passphrase in UTF-8; write it into the file", field="password_file")
    return text
