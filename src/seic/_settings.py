"""Where settings are read from: `SEIC_*` variables and profiles of a TOML file. `Config` checks what they mean."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from seic._errors import CertificateError, ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._tls.certificate import ClientCertificate
from seic._tls.credential_files import given_as_text, is_material
from seic._tls.reasons import Reason
from seic._tokens.store import MemoryStore, TokenStore

_T = TypeVar("_T")

_PREFIX = "SEIC_"
_PROFILE = f"{_PREFIX}PROFILE"
_PROVIDERS = {"sei-gateway": SEI_GATEWAY, "sei-platform": SEI_PLATFORM, "oauth2": OAUTH2}
_STORES: Mapping[str, Callable[[], TokenStore]] = {"memory": MemoryStore}
_SECRETS = ("client_secret", "password", "certificate_password")
_PATHS_OR_PEM = ("certificate", "certificate_key", "ca")
_PATHS = tuple(f"{secret}_file" for secret in _SECRETS)
_NAMES = (
    "provider",
    "environment",
    "client_id",
    "username",
    "api_host",
    "mtls_host",
    "store",
    *_PATHS_OR_PEM,
    *_SECRETS,
    *_PATHS,
)
_VARIABLES = sorted((_PROFILE, *(f"{_PREFIX}{name.upper()}" for name in _NAMES)))
#: What Kubernetes sets in each pod for a service beside it that is called seic, or seic-something.
_OF_KUBERNETES = re.compile(r"SEIC_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
#: What somebody sets who looks for another grant than `client_credentials`.
_OF_A_GRANT = re.compile(r"grant|token|code|saml|assertion", re.IGNORECASE)
_GIVE_GRANT = (
    "variables and files state client_credentials only; pass another grant in code, such as "
    "grant=seic.RefreshToken(refresh_token=...)"
)
#: What a variable replaces in a profile beside its own namesake: a new certificate has a key of its own.
_REPLACES = {
    **{secret: (f"{secret}_file",) for secret in _SECRETS},
    **{f"{secret}_file": (secret,) for secret in _SECRETS},
    "certificate": ("certificate_key", "certificate_password", "certificate_password_file"),
    "environment": ("api_host", "mtls_host"),
}
#: The setting behind each field that `Config` and the model find fault with.
_FIELDS = {
    "environment": "environment",
    "client_id": "client_id",
    "client_secret": "client_secret",
    "grant.username": "username",
    "grant.password": "password",
    "ca": "ca",
    "hosts": "api_host",
    "hosts.api": "api_host",
    "hosts.mtls": "mtls_host",
}


@attrs.frozen
class _Value:
    """A setting as the user wrote it: its text, which may be a secret, and its name."""

    text: str = attrs.field(repr=False)
    name: str


@attrs.frozen
class Settings:
    """Arguments of `Config`, and what the user calls each field that can be at fault."""

    arguments: dict[str, Any] = attrs.field(repr=False)
    names: Mapping[str, str]


@contextlib.contextmanager
def named(names: Mapping[str, str]) -> Iterator[None]:
    """Let an error of the block name what the user wrote in place of the field."""
    try:
        yield
    except CertificateError as error:
        field = error.field or ""
        if field not in names:
            raise
        text = names[field] + error.message.removeprefix(field)
        raise CertificateError(text, path=error.path, reason=error.reason, field=names[field]) from None
    except ConfigurationError as error:
        field = error.field or ""
        if field not in names:
            raise
        raise ConfigurationError(names[field] + error.message.removeprefix(field), field=names[field]) from None


def read_environment(environ: Mapping[str, str], *, given: Collection[str] = ()) -> Settings:
    """Return what the variables state, over the profile that they name.

    Args:
        environ: The variables.
        given: Arguments of `Config` that the caller has, and that are not looked for.

    Raises:
        ConfigurationError: A variable is missing, malformed or none that is known.
        CertificateError: The certificate cannot work.
    """
    refuse_unknown(environ)
    values: dict[str, _Value] = {}
    for setting in _NAMES:
        name = f"{_PREFIX}{setting.upper()}"
        # A variable set to nothing is how a compose file or a shell says that it is not set.
        if text := environ.get(name):
            values[setting] = _Value(text, name)
    if profile := environ.get(_PROFILE):
        below = _read_table(_profiles_path(environ), profile, field=_PROFILE)
        for setting in tuple(values):
            for replaced in _REPLACES.get(setting, ()):
                below.pop(replaced, None)
        values = {**below, **values}
    return _Reader(values, lambda setting: f"{_PREFIX}{setting.upper()}", given).settings()


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """Refuse a name that is no setting's: a certificate that nobody reads means another host, not an error later."""
    for name in sorted(environ):
        spelt = name.upper()
        if not spelt.startswith(_PREFIX) or name in _VARIABLES or not environ[name] or _OF_KUBERNETES.fullmatch(spelt):
            continue
        # A certificate, a key or a CA needs no variable for its file.
        bare = spelt.removesuffix("_FILE")
        near = [bare] if bare in _VARIABLES else difflib.get_close_matches(spelt, _VARIABLES, n=1, cutoff=0.7)
        if _OF_A_GRANT.search(spelt):
            hint = _GIVE_GRANT
        else:
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_VARIABLES)}"
        raise ConfigurationError(f"{name}: is no variable of seic; {hint}", field=name)


def read_file(path: Path, profile: str, *, given: Collection[str] = ()) -> Settings:
    """Return what a table of a TOML file states; paths in it are relative to the file.

    Args:
        path: The file.
        profile: The table's name.
        given: Arguments of `Config` that the caller has, and that are not looked for.

    Raises:
        ConfigurationError: The file, the table or a key cannot be used.
        CertificateError: The certificate cannot work.
    """
    values = _read_table(_expand(path, profile), profile, field=profile)
    return _Reader(values, lambda setting: f"{profile}.{setting}", given).settings()


def _profiles_path(environ: Mapping[str, str]) -> Path:
    return _expand(environ.get("XDG_CONFIG_HOME") or "~/.config", _PROFILE) / "seic" / "config.toml"


def _expand(path: str | Path, field: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{field}: the home that ~ stands for cannot be found; write the whole path", field=field
        ) from None


def _no_path(field: str) -> ConfigurationError:
    # Not quoted: it cannot be printed.
    return ConfigurationError(f"{field}: holds a character that no path has; write the path of a file", field=field)


def _read_table(path: Path, profile: str, *, field: str) -> dict[str, _Value]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{field}: {path} cannot be read: {error.strerror}; it must hold a table [{profile}]", field=field
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's own words quote what they stumble over, and that may be a secret.
        raise ConfigurationError(f"{field}: {path} is not a TOML file in UTF-8", field=field) from None
    except ValueError:
        raise _no_path(field) from None
    table = document.get(profile)
    if not isinstance(table, dict):
        names = ", ".join(sorted(name for name, value in document.items() if isinstance(value, dict))) or "none"
        raise ConfigurationError(f"{field}: {path} has no table [{profile}]; it has: {names}", field=field)
    values: dict[str, _Value] = {}
    for setting, text in table.items():
        name = f"{profile}.{setting}"
        if setting not in _NAMES:
            hint = _GIVE_GRANT if _OF_A_GRANT.search(setting) else f"known are {', '.join(sorted(_NAMES))}"
            raise ConfigurationError(f"{name}: is no setting, in {path}; {hint}", field=name)
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"{name}: must be a text that is not empty, in {path}", field=name)
        values[setting] = _Value(_below(path.parent, setting, _Value(text, name)), name)
    return values


def _below(folder: Path, setting: str, value: _Value) -> str:
    """Return the setting with its path, if it is one, below the folder."""
    if setting in _PATHS or (setting in _PATHS_OR_PEM and _is_path(value.text)):
        return os.fspath(folder / _expand(value.text, value.name))
    return value.text


def _is_path(text: str) -> bool:
    return "\n" not in text and not is_material(text)


class _Reader:
    """Turns settings into arguments.

    Args:
        values: The settings.
        name: Gives what the user calls a setting that is missing.
        given: Arguments that are not looked for.
    """

    def __init__(self, values: dict[str, _Value], name: Callable[[str], str], given: Collection[str]) -> None:
        self._values = values
        self._name = name
        self._given = given

    def settings(self) -> Settings:
        """Return everything that is not given."""
        readers: dict[str, Callable[[], object]] = {
            "provider": lambda: self._one_of(_PROVIDERS, "provider") or SEI_GATEWAY,
            "environment": lambda: self._text("environment"),
            "hosts": self._hosts,
            "client_id": self._client_id,
            "client_secret": lambda: self._secret("client_secret"),
            "grant": self._grant,
            "certificate": self._certificate,
            "ca": self._ca,
            "store": self._store,
        }
        arguments = {name: read() for name, read in readers.items() if name not in self._given}
        looked_for = {field: setting for field, setting in _FIELDS.items() if field.split(".")[0] not in self._given}
        names = {field: self._called(setting) for field, setting in looked_for.items()}
        return Settings({name: value for name, value in arguments.items() if value is not None}, names)

    def _called(self, setting: str) -> str:
        value = self._values.get(setting)
        return self._name(setting) if value is None else value.name

    def _text(self, setting: str) -> str | None:
        value = self._values.get(setting)
        return None if value is None else value.text

    def _secret(self, setting: str) -> str | None:
        file = self._values.pop(f"{setting}_file", None)
        if file is not None:
            if setting in self._values:
                raise ConfigurationError(
                    f"{file.name}: {self._called(setting)} is set too; keep one of them", field=file.name
                )
            self._values[setting] = _Value(_read_secret(file), file.name)
        return self._text(setting)

    def _client_id(self) -> str:
        text = self._text("client_id")
        if text is None:
            name = self._name("client_id")
            raise ConfigurationError(
                f"{name}: is missing; set it to the id of your application (the gateway's AppKey)", field=name
            )
        return text

    def _hosts(self) -> Hosts | None:
        api, mtls = self._text("api_host"), self._text("mtls_host")
        if api is None and mtls is None:
            return None
        with named({"hosts.api": self._called("api_host"), "hosts.mtls": self._called("mtls_host")}):
            return Hosts(api=api, mtls=mtls)

    def _grant(self) -> ClientCredentials:
        # Whether the provider needs them is the grant's to say.
        return ClientCredentials(username=self._text("username"), password=self._secret("password"))

    def _certificate(self) -> ClientCertificate | None:
        certificate, key = self._path_or_pem("certificate"), self._path_or_pem("certificate_key")
        password = self._secret("certificate_password")
        if certificate is not None:
            try:
                return ClientCertificate.load(certificate, key=key, password=password)
            except CertificateError as error:
                raise self._blame(error, key) from error.__cause__
        for setting in ("certificate_key", "certificate_password"):
            if setting in self._values:
                name = self._name("certificate")
                raise ConfigurationError(
                    f"{name}: is missing, but {self._called(setting)} is set; set both or neither", field=name
                )
        return None

    def _blame(self, error: CertificateError, key: str | None) -> CertificateError:
        setting = "certificate"
        if error.reason in (Reason.PASSPHRASE_MISSING, Reason.PASSPHRASE_WRONG):
            setting = "certificate_password"
        elif key is not None and error.path in (key, given_as_text("key")):
            setting = "certificate_key"
        text = error.message
        for argument, remedy in (("key=…", "certificate_key"), ("password=…", "certificate_password")):
            text = text.replace(argument, self._called(remedy))
        name = self._called(setting)
        return CertificateError(f"{name}: {text}", path=error.path, reason=error.reason, field=name)

    def _ca(self) -> str | bytes | None:
        ca = self._path_or_pem("ca")
        return ca if ca is None or _is_path(ca) else ca.encode()

    def _path_or_pem(self, setting: str) -> str | None:
        text = self._text(setting)
        # Files of variables know no line ends, so PEM stands there with two characters in place of each.
        return text.replace("\\n", "\n") if text is not None and "-----BEGIN" in text else text

    def _store(self) -> TokenStore | None:
        make = self._one_of(_STORES, "store")
        return None if make is None else make()

    def _one_of(self, known: Mapping[str, _T], setting: str) -> _T | None:
        text = self._text(setting)
        if text is None:
            return None
        if text not in known:
            name = self._called(setting)
            # Not quoted: it may be a secret in the wrong place.
            raise ConfigurationError(f"{name}: is not one that is known; take {' or '.join(known)}", field=name)
        return known[text]


def _read_secret(file: _Value) -> str:
    path = _expand(file.text, file.name)
    try:
        # Editors and `kubectl create secret --from-file` leave a line end that is no part of the secret, and some
        # editors a byte order mark.
        text = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{file.name}: {path} cannot be read: {error.strerror}", field=file.name) from None
    except UnicodeDecodeError:
        # It would quote the bytes.
        raise ConfigurationError(f"{file.name}: {path} is not a text in UTF-8", field=file.name) from None
    except ValueError:
        raise _no_path(file.name) from None
    if not text:
        raise ConfigurationError(f"{file.name}: {path} is empty; write the secret into it", field=file.name)
    return text
