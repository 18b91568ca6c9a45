"""Reading settings from `SEIC_*` variables and from profiles of a TOML file. `Config` validates the values."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from seic._errors import CertificateError, ConfigurationError
from seic._files import read_regular_file, read_toml
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._model.secret import Unpicklable
from seic._oauth.assertion_auth import ClientSecretJwt
from seic._oauth.client_auth import ClientSecretBasic, ClientSecretPost, client_authentication_of
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._setting_names import (
    NAMES,
    PATHS,
    PATHS_OR_PEM,
    PREFIX,
    PROFILE,
    SECRETS,
    SETTING_OF_FIELD,
    SETTINGS_OF_ARGUMENT,
    hint_for_unknown,
    refuse_unknown,
    with_setting_names,
)
from seic._tls.certificate import ClientCertificate
from seic._tls.credential_files import given_as_text, is_material
from seic._tls.reasons import Reason
from seic._tokens.store import MemoryStore, TokenStore

_T = TypeVar("_T")

_PROVIDERS = {"sei-gateway": SEI_GATEWAY, "sei-platform": SEI_PLATFORM, "oauth2": OAUTH2}
_STORES: Mapping[str, Callable[[], TokenStore]] = {"memory": MemoryStore}
#: The maximum size of a secret's file.
_MAX_SECRET_BYTES = 64 * 1024
#: The settings of which one is enough.
_ALTERNATIVES = {
    "client_id": ("client_id",),
    "client_secret": ("client_secret", "client_secret_file"),
    "username": ("username",),
    "password": ("password", "password_file"),
    "api_host": ("api_host", "mtls_host"),
}
_USUAL_SUFFIXES = {".cer", ".crt", ".der", ".key", ".p12", ".p7b", ".pem", ".pfx", ".txt"}
#: The methods of client authentication that need a secret.
_BY_SECRET = (ClientSecretBasic, ClientSecretPost, ClientSecretJwt)
#: Further settings of a profile that a variable replaces, since they belong to the replaced value: a new certificate
#: has its own key.
_REPLACES = {
    **{secret: (f"{secret}_file",) for secret in SECRETS},
    **{f"{secret}_file": (secret,) for secret in SECRETS},
    "certificate": ("certificate_key", "certificate_password", "certificate_password_file"),
    "environment": ("api_host", "mtls_host"),
}


@attrs.frozen
class _Value(Unpicklable):
    """The text of a setting, which may be a secret, its name in the user's words, and the folder of relative paths."""

    text: str = attrs.field(repr=False)
    name: str
    folder: Path = Path()


@attrs.frozen
class ConfigArguments(Unpicklable):
    """Arguments of `Config` that were read from variables or a file.

    Attributes:
        arguments: The arguments.
        names: The variable or key of each field, by the field's name in errors.
        remedies: The variables or keys that replace an argument in messages.
    """

    arguments: dict[str, Any] = attrs.field(repr=False)
    names: Mapping[str, str]
    remedies: Mapping[str, str]

    @contextlib.contextmanager
    def rename_errors(self) -> Iterator[None]:
        """Replace fields and arguments in errors of the block by the variables or keys that the user set."""
        try:
            yield
        except (CertificateError, ConfigurationError) as error:
            field = error.field or ""
            name = self.names.get(field)
            if name is None:
                raise
            text = f"{name}{with_setting_names(error.message.removeprefix(field), self.remedies)}"
            if isinstance(error, CertificateError):
                raise CertificateError(text, path=error.path, reason=error.reason, field=name) from None
            raise ConfigurationError(text, field=name) from None


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
    return _ArgumentReader(values, lambda setting: f"{PREFIX}{setting.upper()}", given or {}).read()


def read_values(environ: Mapping[str, str]) -> dict[str, _Value]:
    """Return the text of each setting with its variable or key, as `read_environment` uses them.

    Raises:
        ConfigurationError: A variable is unknown, or the profile cannot be read.
    """
    refuse_unknown(environ)
    values: dict[str, _Value] = {}
    for setting in NAMES:
        name = f"{PREFIX}{setting.upper()}"
        # Compose files and shells set a variable to nothing to unset it.
        if text := environ.get(name):
            values[setting] = _Value(text, name)
    if profile := environ.get(PROFILE):
        below = _read_table(_profiles_path(environ), profile, field=PROFILE)
        for setting in tuple(values):
            for replaced in _REPLACES.get(setting, ()):
                below.pop(replaced, None)
        values = {**below, **values}
    return values


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
    values = _read_table(_expand(path, profile), profile, field=profile)
    return _ArgumentReader(values, lambda setting: f"{profile}.{setting}", given or {}).read()


def _profiles_path(environ: Mapping[str, str]) -> Path:
    return _expand(environ.get("XDG_CONFIG_HOME") or "~/.config", PROFILE) / "seic" / "config.toml"


def _expand(path: str | Path, field: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{field}: the home directory of ~ was not found; set the full path", field=field
        ) from None


def _invalid_path(field: str) -> ConfigurationError:
    # The path is not quoted, since it cannot be printed.
    return ConfigurationError(f"{field}: contains a character that is invalid in a path; remove it", field=field)


def _read_table(path: Path, profile: str, *, field: str) -> dict[str, _Value]:
    try:
        document = read_toml(path)
    except OSError as error:
        raise ConfigurationError(
            f"{field}: {path} cannot be read: {error.strerror}; it must contain a table [{profile}]", field=field
        ) from None
    except ValueError:
        raise _invalid_path(field) from None
    if document is None:
        raise ConfigurationError(f"{field}: {path} is not TOML in UTF-8, or is nested too deeply", field=field)
    table = document.get(profile)
    if not isinstance(table, dict):
        names = ", ".join(sorted(name for name, value in document.items() if isinstance(value, dict))) or "none"
        raise ConfigurationError(f"{field}: {path} has no table [{profile}]; its tables: {names}", field=field)
    values: dict[str, _Value] = {}
    for setting, text in table.items():
        name = f"{profile}.{setting}"
        if setting not in NAMES:
            hint = hint_for_unknown(setting) or f"known settings: {', '.join(sorted(NAMES))}"
            raise ConfigurationError(f"{name}: unknown setting in {path}; {hint}", field=name)
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"{name}: must be a non-empty string, in {path}", field=name)
        values[setting] = _Value(_below(path.parent, setting, _Value(text, name)), name, path.parent)
    return values


def _below(folder: Path, setting: str, value: _Value) -> str:
    """Return the text of the setting; a relative path is joined to the folder."""
    if setting in PATHS or (setting in PATHS_OR_PEM and _is_path(value.text)):
        return os.fspath(folder / _expand(value.text, value.name))
    return value.text


def _is_path(text: str) -> bool:
    return "\n" not in text and not is_material(text)


class _ArgumentReader:
    """Converts settings to arguments of `Config`.

    Args:
        values: The settings.
        name: Returns the user's name of a setting that is missing.
        given: Arguments that are not read.
    """

    def __init__(self, values: dict[str, _Value], name: Callable[[str], str], given: Mapping[str, Any]) -> None:
        self._values = values
        self._name = name
        self._given = given

    def read(self) -> ConfigArguments:
        """Return all arguments, except those that are given."""
        self._refuse_both()
        self._require_all(self._given.get("provider") or self._provider())
        readers: dict[str, Callable[[], object]] = {
            "provider": self._provider,
            "environment": lambda: self._text("environment"),
            "hosts": self._hosts,
            "client_id": lambda: self._text("client_id"),
            "client_secret": lambda: self._secret("client_secret"),
            "grant": self._grant,
            "certificate": self._certificate,
            "ca": self._ca,
            "store": self._store,
        }
        arguments = {name: read() for name, read in readers.items() if name not in self._given}
        fields = {field: setting for field, setting in SETTING_OF_FIELD.items() if self._reads(field)}
        return ConfigArguments(
            {name: value for name, value in arguments.items() if value is not None},
            names={field: self._name_of(setting) for field, setting in fields.items()},
            remedies=self._remedies(),
        )

    def _reads(self, field: str) -> bool:
        return field.partition(".")[0] not in self._given

    def _remedies(self) -> dict[str, str]:
        return {
            words: " and ".join(self._name_of(setting) for setting in settings)
            for argument, places in SETTINGS_OF_ARGUMENT.items()
            if argument not in self._given
            for words, settings in places.items()
        }

    def _name_of(self, setting: str) -> str:
        value = self._values.get(setting)
        return self._name(setting) if value is None else value.name

    def _text(self, setting: str) -> str | None:
        value = self._values.get(setting)
        return None if value is None else value.text

    def _secret(self, setting: str) -> str | None:
        file = self._values.pop(f"{setting}_file", None)
        if file is not None:
            self._values[setting] = _Value(_read_secret(file), file.name)
        return self._text(setting)

    def _provider(self) -> Provider:
        return self._one_of(_PROVIDERS, "provider") or SEI_GATEWAY

    def _refuse_both(self) -> None:
        for setting, argument in zip(SECRETS, ("client_secret", "grant", "certificate"), strict=True):
            file = self._values.get(f"{setting}_file")
            if file is not None and setting in self._values and argument not in self._given:
                raise ConfigurationError(
                    f"{file.name}: {self._name_of(setting)} is also set; remove one of them", field=file.name
                )

    def _require_all(self, provider: object) -> None:
        """Raise one error for all missing settings, so that a user sets them at once."""
        if not isinstance(provider, Provider):
            return  # `Config` refuses it
        needed = {"client_id": "the client id of your application, the gateway's AppKey"}
        if isinstance(client_authentication_of(provider), _BY_SECRET):
            needed["client_secret"] = "the client secret"
        if provider.username_field is not None and "grant" not in self._given:
            needed["username"] = f"the {provider.username_field} of a service account"
            needed["password"] = "the password of a service account"
        if not provider.environments and "hosts" not in self._given and not self._has("mtls_host"):
            needed["api_host"] = "the host of its API"
        missing = [name for name in needed if name not in self._given and not self._has(name, f"{name}_file")]
        if missing:
            first = self._name(missing[0])
            parts = [f"{needed[name]} ({' or '.join(map(self._name, _ALTERNATIVES[name]))})" for name in missing]
            listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
            raise ConfigurationError(f"{first}: missing; {provider.name} needs {listed}", field=first)

    def _has(self, *settings: str) -> bool:
        return any(setting in self._values for setting in settings)

    def _hosts(self) -> Hosts | None:
        api, mtls = self._text("api_host"), self._text("mtls_host")
        if api is None and mtls is None:
            return None
        names = {"hosts.api": self._name_of("api_host"), "hosts.mtls": self._name_of("mtls_host")}
        with ConfigArguments({}, names, self._remedies()).rename_errors():
            return Hosts(api=api, mtls=mtls)

    def _grant(self) -> ClientCredentials:
        # The grant checks whether the provider needs them.
        return ClientCredentials(username=self._text("username"), password=self._secret("password"))

    def _certificate(self) -> ClientCertificate | None:
        certificate, key = self._path_or_pem("certificate"), self._path_or_pem("certificate_key")
        password = self._secret("certificate_password")
        if certificate is not None:
            try:
                loaded = ClientCertificate.load(certificate, key=key, password=password)
            except CertificateError as error:
                raise self._rename_certificate_error(error, key) from error.__cause__
            return attrs.evolve(loaded, setting_names=self._remedies())
        for setting in ("certificate_key", "certificate_password"):
            if setting in self._values:
                name = self._name("certificate")
                raise ConfigurationError(
                    f"{name}: missing, but {self._name_of(setting)} is set; set both or neither", field=name
                )
        return None

    def _rename_certificate_error(self, error: CertificateError, key: str | None) -> CertificateError:
        setting = "certificate"
        if error.reason in (Reason.PASSPHRASE_MISSING, Reason.PASSPHRASE_WRONG):
            setting = "certificate_password"
        elif key is not None and error.path in (key, given_as_text("key")):
            setting = "certificate_key"
        name = self._name_of(setting)
        text, path = error.message, error.path
        if error.reason == Reason.NOT_FOUND and path is not None and not _is_plausible(Path(path), Path()):
            text, path = text.replace(f"{path}: there is", "there is"), None
        text = f"{name}: {with_setting_names(text, self._remedies())}"
        return CertificateError(text, path=path, reason=error.reason, field=name)

    def _ca(self) -> str | bytes | None:
        ca = self._path_or_pem("ca")
        return ca if ca is None or _is_path(ca) else ca.encode(errors="replace")

    def _path_or_pem(self, setting: str) -> str | None:
        text = self._text(setting)
        # Files of variables have no multi-line values, so PEM in them has \n as two characters.
        return text.replace("\\n", "\n") if text is not None and "-----BEGIN" in text else text

    def _store(self) -> TokenStore | None:
        make = self._one_of(_STORES, "store")
        return None if make is None else make()

    def _one_of(self, known: Mapping[str, _T], setting: str) -> _T | None:
        text = self._text(setting)
        if text is None:
            return None
        if text not in known:
            name = self._name_of(setting)
            # The value is not quoted, since it may be a secret in the wrong variable.
            raise ConfigurationError(f"{name}: unknown value; set {' or '.join(known)}", field=name)
        return known[text]


def _is_plausible(path: Path, folder: Path) -> bool:
    """Whether a file or its directory exists, other than the root and that of relative paths, or its name is usual."""
    if path.suffix.lower() in _USUAL_SUFFIXES or os.path.lexists(path):
        return True
    return path.parent not in {folder, Path(path.anchor)} and path.parent.is_dir()


def _read_secret(file: _Value) -> str:
    path = _expand(file.text, file.name)
    try:
        # Editors and `kubectl create secret --from-file` add a line end, which is not part of the secret. Some editors
        # add a byte order mark.
        text = read_regular_file(path, _MAX_SECRET_BYTES).decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        # Any other text may be the secret itself, set by mistake.
        shown = path if _is_plausible(path, file.folder) else "the file that it names"
        raise ConfigurationError(
            f"{file.name}: {shown} cannot be read: {error.strerror}; set the path of a file with the secret",
            field=file.name,
        ) from None
    except UnicodeDecodeError:
        # The original exception quotes the bytes.
        raise ConfigurationError(f"{file.name}: {path} is not UTF-8 text", field=file.name) from None
    except ValueError:
        raise _invalid_path(file.name) from None
    if not text:
        raise ConfigurationError(f"{file.name}: {path} is empty; write the secret into it", field=file.name)
    return text
