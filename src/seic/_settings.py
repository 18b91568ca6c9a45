"""Where settings are read from: `SEIC_*` variables and profiles of a TOML file. What they mean is checked by `Config`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seic._errors import ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._tls.certificate import ClientCertificate
from seic._tokens.store import MemoryStore, TokenStore

_PREFIX = "SEIC_"
_PROVIDERS = {"sei-gateway": SEI_GATEWAY, "sei-platform": SEI_PLATFORM, "oauth2": OAUTH2}
_SECRETS = ("client_secret", "password", "certificate_password")
_PLAIN = (
    "provider",
    "environment",
    "client_id",
    "username",
    "certificate",
    "certificate_key",
    "ca",
    "api_host",
    "mtls_host",
    "store",
)
_NAMES = frozenset((*_PLAIN, *_SECRETS, *(f"{name}_file" for name in _SECRETS)))


def profiles_path(environ: Mapping[str, str]) -> Path:
    """Return the TOML file that `SEIC_PROFILE` is looked up in: `seic/config.toml` in the user's configuration folder."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "seic" / "config.toml"


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `Config` that the variables state, over those of the profile that they name.

    Raises:
        ConfigurationError: A variable is missing or malformed.
    """
    # A variable set to nothing is how a compose file or a shell says that it is not set.
    values: dict[str, str] = {
        name: value for name in _NAMES if (value := environ.get(f"{_PREFIX}{name.upper()}")) is not None and value
    }
    profile = environ.get(f"{_PREFIX}PROFILE")
    if profile:
        below = _read_table(profiles_path(environ), profile)
        for secret in _SECRETS:
            # A secret in a variable stands above a file that the profile names for it, and the other way round.
            if secret in values or f"{secret}_file" in values:
                below.pop(secret, None)
                below.pop(f"{secret}_file", None)
        values = {**below, **values}
    return _arguments(values, lambda name: f"{_PREFIX}{name.upper()}", Path())


def read_profile(path: Path, profile: str) -> dict[str, Any]:
    """Return the arguments of `Config` that a table of a TOML file states; paths in it are relative to the file.

    Raises:
        ConfigurationError: The file, the table or a key cannot be used.
    """
    return _arguments(_read_table(path, profile), lambda name: f"{profile}.{name}", path.parent)


def _read_table(path: Path, profile: str) -> dict[str, str]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}", field=profile) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's own words quote the line, which may hold a secret.
        raise ConfigurationError(f"{path}: is not a TOML file in UTF-8", field=profile) from None
    table = document.get(profile)
    if not isinstance(table, dict):
        names = ", ".join(sorted(name for name, value in document.items() if isinstance(value, dict))) or "none"
        raise ConfigurationError(f"{path}: has no profile {profile!r}; it has: {names}", field=profile)
    for name, value in table.items():
        field = f"{profile}.{name}"
        if name not in _NAMES:
            raise ConfigurationError(
                f"{path}: {field} is no setting; known are {', '.join(sorted(_NAMES))}", field=field
            )
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{path}: {field} must be a text that is not empty", field=field)
    return table


def _arguments(values: dict[str, str], call: Callable[[str], str], folder: Path) -> dict[str, Any]:
    """Turn named texts into arguments; `call` gives a name as the user wrote it, for errors."""
    values = dict(values)
    for secret in _SECRETS:
        _take_from_file(values, secret, call, folder)
    provider = _one_of(_PROVIDERS, values.get("provider", "sei-gateway"), call("provider"))
    if "client_id" not in values:
        raise ConfigurationError(f"{call('client_id')}: is missing; it names your application", field=call("client_id"))
    arguments: dict[str, Any] = {
        "provider": provider,
        "client_id": values["client_id"],
        "client_secret": values.get("client_secret"),
        "grant": ClientCredentials(username=values.get("username"), password=values.get("password")),
        "certificate": _certificate(values, call, folder),
        "ca": _path_or_pem(values.get("ca"), folder),
        "store": _store(values.get("store"), call("store")),
    }
    if provider.username_field is not None:
        for name in ("username", "password"):
            if name not in values:
                raise ConfigurationError(
                    f"{call(name)}: is missing; {provider.name} needs a service account", field=call(name)
                )
    if "environment" in values:
        arguments["environment"] = values["environment"]
    if "api_host" in values or "mtls_host" in values:
        arguments["hosts"] = Hosts(api=values.get("api_host"), mtls=values.get("mtls_host"))
    return arguments


def _take_from_file(values: dict[str, str], secret: str, call: Callable[[str], str], folder: Path) -> None:
    file = values.pop(f"{secret}_file", None)
    if file is None:
        return
    field = call(f"{secret}_file")
    if secret in values:
        raise ConfigurationError(f"{field}: {call(secret)} is set too; keep one of them", field=field)
    try:
        # Editors and `kubectl create secret --from-file` leave a line end that is no part of the secret.
        values[secret] = (folder / file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{field}: {file} cannot be read: {error.strerror}", field=field) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{field}: {file} is not a text in UTF-8", field=field) from None


def _certificate(values: dict[str, str], call: Callable[[str], str], folder: Path) -> ClientCertificate | None:
    certificate = _path_or_pem(values.get("certificate"), folder)
    if certificate is None:
        for name in ("certificate_key", "certificate_password"):
            if name in values:
                raise ConfigurationError(
                    f"{call(name)}: is set, but {call('certificate')} is not", field=call("certificate")
                )
        return None
    key = _path_or_pem(values.get("certificate_key"), folder)
    return ClientCertificate.load(certificate, key=key, password=values.get("certificate_password"))


def _path_or_pem(value: str | None, folder: Path) -> str | bytes | None:
    if value is None:
        return None
    if "-----BEGIN" in value:
        return value.encode()
    return os.fspath(folder / Path(value).expanduser())


def _store(value: str | None, field: str) -> TokenStore | None:
    return None if value is None else _one_of({"memory": MemoryStore}, value, field)()


def _one_of(known: Mapping[str, Any], value: str, field: str) -> Any:
    if value not in known:
        raise ConfigurationError(f"{field}: {value!r} is unknown; take {' or '.join(known)}", field=field)
    return known[value]
