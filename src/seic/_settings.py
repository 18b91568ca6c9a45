"""Reading settings from `SEIC_*` variables and from profiles of a TOML file. `Config` validates the values."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seic._errors import ConfigurationError
from seic._files import read_toml
from seic._oauth.redact import is_text
from seic._setting_arguments import ArgumentReader, ConfigArguments
from seic._setting_fields import Kind
from seic._setting_names import (
    COMMANDS,
    NAMES,
    PATHS,
    PATHS_OR_PEM,
    PREFIX,
    PROFILE,
    SECRETS,
    SETTING_BY_NAME,
    forms_of,
    hint_for_unknown,
    refuse_unknown,
)
from seic._setting_secrets import invalid_path
from seic._setting_values import SettingValue, expand_path, is_path
from seic._tls.trust import SYSTEM

#: Further settings of a profile that a variable replaces, since they belong to the replaced value: a new certificate
#: has its own key, another issuer its own endpoints.
_REPLACES = {
    **{form: forms_of(secret) for secret in SECRETS for form in forms_of(secret)},
    "certificate": ("certificate_key", *forms_of("certificate_password")),
    "client_key": (*forms_of("client_key_password"), "client_key_id"),
    "environment": ("api_host", "mtls_host"),
    "issuer": ("provider", "token_url", "revocation_url", "introspection_url"),
    "provider": ("issuer", "token_url", "revocation_url", "introspection_url"),
    "token_url": ("provider", "issuer", "revocation_url", "introspection_url"),
}


def read_environment(environ: Mapping[str, str], *, given: Mapping[str, Any] | None = None) -> ConfigArguments:
    """Read the variables, and the profile in `SEIC_PROFILE`, over which the variables take precedence.

    Args:
        environ: The variables.
        given: Arguments of `Config` that the caller passes itself. Their variables are not read.

    Raises:
        ConfigurationError: A variable is missing, malformed or unknown.
        CertificateError: The certificate cannot be used.
    """
    values = read_values(environ)
    return ArgumentReader(values, lambda setting: f"{PREFIX}{setting.upper()}", given or {}).read()


def read_values(environ: Mapping[str, str]) -> dict[str, SettingValue]:
    """Return the text of each setting with its variable or key, as `read_environment` uses them.

    Raises:
        ConfigurationError: A variable is unknown, or the profile cannot be read.
    """
    refuse_unknown(environ)
    values: dict[str, SettingValue] = {}
    for setting in NAMES:
        name = f"{PREFIX}{setting.upper()}"
        # Compose files and shells set a variable to nothing to unset it.
        if text := environ.get(name):
            _refuse_undecodable(setting, name, text)
            values[setting] = SettingValue(text, name)
    if profile := environ.get(PROFILE):
        below = _read_table(profiles_path(environ), profile, field=PROFILE)
        for setting in tuple(values):
            for replaced in _REPLACES.get(setting, ()):
                below.pop(replaced, None)
        values = {**below, **values}
    return values


def _refuse_undecodable(setting: str, name: str, text: str) -> None:
    """Raise for a variable with bytes that are not UTF-8, which Python has as halves of surrogate pairs (PEP 383).

    In the path of a file they are valid.
    """
    if setting in (*PATHS, *PATHS_OR_PEM) or is_text(text):
        return
    aside = f"; for a secret, {name}_FILE names a file with it" if setting in SECRETS else ""
    raise ConfigurationError(f"{name}: has bytes that are not UTF-8; set it in UTF-8{aside}", field=name)


def read_file(path: Path, profile: str, *, given: Mapping[str, Any] | None = None) -> ConfigArguments:
    """Read a table of a TOML file. Its paths are relative to the file.

    Args:
        path: The file.
        profile: The name of the table.
        given: Arguments of `Config` that the caller passes itself. Their keys are not read.

    Raises:
        ConfigurationError: The file, the table or a key cannot be used.
        CertificateError: The certificate cannot be used.
    """
    values = _read_table(expand_path(path, profile), profile, field=profile)
    return ArgumentReader(values, lambda setting: f"{profile}.{setting}", given or {}).read()


def profiles_path(environ: Mapping[str, str]) -> Path:
    """Return the file of profiles, which may not exist."""
    return expand_path(environ.get("XDG_CONFIG_HOME") or "~/.config", PROFILE) / "seic" / "config.toml"


def _read_table(path: Path, profile: str, *, field: str) -> dict[str, SettingValue]:
    try:
        document = read_toml(path)
    except OSError as error:
        raise ConfigurationError(
            f"{field}: {path} cannot be read: {error.strerror}; it must contain a table [{profile}]", field=field
        ) from None
    except ValueError:
        raise invalid_path(field) from None
    if document is None:
        raise ConfigurationError(f"{field}: {path} is not TOML in UTF-8, or is nested too deeply", field=field)
    table = document.get(profile)
    if not isinstance(table, dict):
        names = ", ".join(sorted(name for name, value in document.items() if isinstance(value, dict))) or "none"
        raise ConfigurationError(f"{field}: {path} has no table [{profile}]; its tables: {names}", field=field)
    values: dict[str, SettingValue] = {}
    for setting, given in table.items():
        name = f"{profile}.{setting}"
        if setting not in NAMES:
            hint = hint_for_unknown(setting) or f"known settings: {', '.join(sorted(NAMES))}"
            raise ConfigurationError(f"{name}: unknown setting in {path}; {hint}", field=name)
        text, wanted = as_text(setting, given)
        if not text:
            raise ConfigurationError(f"{name}: must be {wanted}, in {path}", field=name)
        values[setting] = SettingValue(_below(path.parent, setting, SettingValue(text, name)), name, path.parent)
    return values


def as_text(setting: str, value: object) -> tuple[str | None, str]:
    """Return the text that a variable of the same value has, None if it has another type, and the right types."""
    kind = SETTING_BY_NAME[setting].kind if setting in SETTING_BY_NAME else Kind.TEXT
    text = value if isinstance(value, str) else None
    wanted = "a non-empty string"
    if kind is Kind.FLAG:
        wanted = "true or false"
        text = str(value).lower() if isinstance(value, bool) else text
    elif kind in (Kind.NUMBER, Kind.MARGIN):
        wanted = "a number of seconds" if kind is Kind.NUMBER else "a number of seconds, or a share such as '20%'"
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        text = str(value) if is_number else text
    elif setting in COMMANDS and isinstance(value, list) and all(isinstance(each, str) for each in value):
        text = shlex.join(value)
    elif kind is Kind.LIST or setting == "ca":
        wanted = "a non-empty string, or a list of them"
        separator = "," if setting == "ca" else " "
        if setting == "ca":
            wanted = "a non-empty string, or a list of strings without commas"
        if isinstance(value, list) and all(isinstance(each, str) and separator not in each for each in value):
            text = separator.join(value)
    return text, wanted


def _below(folder: Path, setting: str, value: SettingValue) -> str:
    """Return the text of the setting; a relative path is joined to the folder."""
    is_list = value.text == SYSTEM or "," in value.text
    if setting == "ca" and is_list and is_path(value.text) and not (folder / value.text).exists():
        parts = [part.strip() for part in value.text.split(",")]
        return ",".join(
            part if part == SYSTEM else _below(folder, setting, SettingValue(part, value.name)) for part in parts
        )
    if setting in PATHS or (setting in PATHS_OR_PEM and is_path(value.text)):
        return os.fspath(folder / expand_path(value.text, value.name))
    return value.text
