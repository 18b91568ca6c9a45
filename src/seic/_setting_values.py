"""The text of settings, and its conversion to strings, secrets, numbers and flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import attrs

from seic._errors import ConfigurationError
from seic._model.secret import Secret, Unpicklable
from seic._setting_names import forms_of
from seic._setting_secrets import SecretCommand, SecretFile
from seic._x509.credential_files import is_material

_T = TypeVar("_T")

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@attrs.frozen
class SettingValue(Unpicklable):
    """The text of a setting, which may be a secret, its name in the user's words, and the folder of relative paths."""

    text: str = attrs.field(repr=False)
    name: str
    folder: Path = Path()


class SettingReader:
    """Converts single settings.

    Args:
        values: The settings.
        name: Returns the user's name of a setting that is missing.
    """

    def __init__(self, values: dict[str, SettingValue], name: Callable[[str], str]) -> None:
        self._values = values
        self._name = name

    def name_of(self, setting: str) -> str:
        """Return the variable or key that the user set, or can set."""
        value = next((self._values[form] for form in forms_of(setting) if form in self._values), None)
        return self._name(setting) if value is None else value.name

    def has(self, *settings: str) -> bool:
        """Whether one of the settings is set, in any form."""
        return any(form in self._values for setting in settings for form in forms_of(setting))

    def text(self, setting: str) -> str | None:
        """Return a setting as it is; None if it is not set."""
        value = self._values.get(setting)
        return None if value is None else value.text

    def path_or_pem(self, setting: str) -> str | None:
        """Return a path, or PEM text."""
        text = self.text(setting)
        # Files of variables have no multi-line values, so PEM in them has \n as two characters.
        return text.replace("\\n", "\n") if text is not None and "-----BEGIN" in text else text

    def secret(self, setting: str, *, is_awaited: bool = False) -> Secret | None:
        """Return a secret; from a file or a program, a callable that returns the current one.

        If it `is_awaited`, the file may come later.

        Raises:
            ConfigurationError: The file has no secret, or there is no such program.
        """
        file, command = self._values.get(f"{setting}_file"), self._values.get(f"{setting}_command")
        if file is not None:
            secret = SecretFile(file.name, expand_path(file.text, file.name), file.folder)
            if not is_awaited:
                secret()
            return secret
        # A program is not run before it is needed: it may be slow.
        return self.text(setting) if command is None else SecretCommand.parse(command.text, command.name)

    def words(self, setting: str) -> tuple[str, ...]:
        """Return the parts of a list that spaces separate."""
        return tuple((self.text(setting) or "").split())

    def number(self, setting: str) -> float | None:
        """Return a number of seconds."""
        text = self.text(setting)
        try:
            return None if text is None else float(text)
        except ValueError:
            raise self._unlike(setting, "must be a number of seconds") from None

    def margin(self, setting: str) -> float | str | None:
        """Return a number of seconds, or a share such as `20%`, which `Config` validates."""
        text = self.text(setting)
        if text is None or text.endswith("%"):
            return text
        try:
            return float(text)
        except ValueError:
            raise self._unlike(setting, "must be a number of seconds, or a share such as 20%") from None

    def flag(self, setting: str) -> bool | None:
        """Return true or false."""
        text = self.text(setting)
        if text is None:
            return None
        if text.lower() not in _FLAGS:
            raise self._unlike(setting, "must be true or false")
        return _FLAGS[text.lower()]

    def one_of(self, known: Mapping[str, _T], setting: str) -> _T | None:
        """Return the meaning of a known word."""
        text = self.text(setting)
        if text is None:
            return None
        if text not in known:
            raise self._unlike(setting, f"unknown value; set {' or '.join(known)}")
        return known[text]

    def require_with(self, setting: str, *others: str) -> None:
        """Raise for a setting that has no effect without one of the others, if none of them is set."""
        if not self.has(*others):
            name, missing = self.name_of(setting), " or ".join(map(self.name_of, others))
            raise ConfigurationError(f"{name}: unused without {missing}; set that too, or remove {name}", field=name)

    def _unlike(self, setting: str, problem: str) -> ConfigurationError:
        # The value is not quoted, since it may be a secret in the wrong variable.
        name = self.name_of(setting)
        return ConfigurationError(f"{name}: {problem}", field=name)


def is_path(text: str) -> bool:
    """Whether a text is a path, and not the content of a file."""
    return "\n" not in text and not is_material(text)


def expand_path(path: str | Path, field: str) -> Path:
    """Return a path without `~`.

    Raises:
        ConfigurationError: The home directory is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{field}: the home directory of ~ was not found; set the full path", field=field
        ) from None
