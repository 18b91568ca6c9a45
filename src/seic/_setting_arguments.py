"""Conversion of settings to arguments of `Config`; one error names all that is missing, in the user's own words."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx

from seic._errors import CertificateError, ConfigurationError
from seic._model.hosts import Hosts
from seic._model.provider import ClientAuthentication, Provider
from seic._model.secret import Secret, Unpicklable
from seic._oauth.assertion_auth import ClientSecretJwt, PrivateKeyJwt
from seic._oauth.client_auth import ClientSecretBasic, ClientSecretPost, TlsClientAuth, client_authentication_of
from seic._oauth.metadata import CLIENT_AUTHENTICATIONS
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._setting_errors import GRANT_CREDENTIALS, SettingNames, with_setting_names
from seic._setting_grants import NEEDS, GrantReader
from seic._setting_names import PATHS, SECRETS, SETTING_BY_NAME, SETTING_OF_FIELD, SETTINGS_OF_ARGUMENT, forms_of
from seic._setting_secrets import SecretFile, is_plausible
from seic._setting_values import SettingReader, SettingValue, expand_path, is_path
from seic._stores.store_url import open_store
from seic._tls.certificate import ClientCertificate
from seic._tls.trust import SYSTEM
from seic._tokens.store import TokenStore
from seic._x509.credential_files import given_as_text
from seic._x509.reasons import Reason

_PROVIDERS = {"sei-gateway": SEI_GATEWAY, "sei-platform": SEI_PLATFORM, "oauth2": OAUTH2}
#: The settings that are arguments of the provider.
_OF_PROVIDER = ("token_url", "revocation_url", "introspection_url", "page_cursor_field", "page_cursor_parameter")
#: The methods of client authentication that need a secret.
_BY_SECRET = (ClientSecretBasic, ClientSecretPost, ClientSecretJwt)
#: Seconds between two looks at files that are waited for.
_WAIT_INTERVAL = 0.1
#: The further settings of which one is enough.
_ALTERNATIVES = {"api_host": ("mtls_host",), "client_key": ("certificate",)}
#: The settings of client authentication with a signature, and the argument of each.
_SIGNING = {
    "client_key": "key",
    "client_key_password": "password",
    "client_key_id": "key_id",
    "client_key_algorithm": "algorithm",
    "client_assertion_audience": "audience",
}


@attrs.frozen
class ConfigArguments(Unpicklable):
    """Arguments of `Config` that were read from variables or a file.

    Attributes:
        arguments: The arguments.
        names: The variables or keys that they came from.
    """

    arguments: dict[str, Any] = attrs.field(repr=False)
    names: SettingNames


def _argument_of(setting: str) -> str:
    """Return the argument of `Config` that a setting is a part of."""
    bare = setting.removesuffix("_file").removesuffix("_command")
    setting = bare if bare in SECRETS else setting
    return SETTING_BY_NAME[setting].keyword.partition("=")[0]


class ArgumentReader:
    """Converts settings to arguments of `Config`.

    Args:
        values: The settings.
        name: Returns the user's name of a setting that is missing.
        given: Arguments that are not read.
    """

    def __init__(self, values: dict[str, SettingValue], name: Callable[[str], str], given: Mapping[str, Any]) -> None:
        # The settings of a given argument may be malformed, and their files may be missing.
        values = {setting: value for setting, value in values.items() if _argument_of(setting) not in given}
        self._values = values
        self._settings = SettingReader(values, name)
        self._name = name
        self._given = given

    def read(self) -> ConfigArguments:
        """Return all arguments, except those that are given."""
        self._refuse_both()
        self._await_files()
        given = self._given.get("provider")
        provider = self._provider() if given is None else given
        grants = GrantReader(self._settings, provider)
        self._require_all(provider, grants.name)
        settings = self._settings
        readers: dict[str, Callable[[], object]] = {
            "provider": lambda: self._authenticated(provider),
            "environment": lambda: settings.text("environment"),
            "hosts": self._hosts,
            "client_id": lambda: settings.text("client_id"),
            "client_secret": self._client_secret,
            "grant": grants.read,
            "certificate": self._certificate,
            "strict_common_name": lambda: settings.flag("strict_common_name"),
            "ca": self._ca,
            "store": self._store,
            "token_timeout": lambda: settings.number("token_timeout"),
            "rate_limit_timeout": lambda: settings.number("rate_limit_timeout"),
            "advisory_refresh": lambda: settings.margin("advisory_refresh"),
            "mandatory_refresh": lambda: settings.margin("mandatory_refresh"),
            "proxy": lambda: settings.text("proxy"),
            "trust_env": lambda: settings.flag("trust_env"),
            "local_address": lambda: settings.text("local_address"),
        }
        arguments = {name: read() for name, read in readers.items() if name not in self._given}
        fields = {
            field: setting for field, setting in SETTING_OF_FIELD.items() if _argument_of(setting) not in self._given
        }
        fields = {field: settings.name_of(setting) for field, setting in fields.items()}
        if "grant" not in self._given and (named := grants.credentials()):
            fields[GRANT_CREDENTIALS] = " and ".join(named)
        return ConfigArguments(
            {name: value for name, value in arguments.items() if value is not None},
            SettingNames(fields, self._remedies()),
        )

    def _remedies(self) -> dict[str, str]:
        return {
            words: " and ".join(self._settings.name_of(setting) for setting in settings)
            for argument, places in SETTINGS_OF_ARGUMENT.items()
            if argument not in self._given
            for words, settings in places.items()
        }

    def _refuse_both(self) -> None:
        for setting in SECRETS:
            first, *others = [self._values[form].name for form in forms_of(setting) if form in self._values] or [""]
            if others:
                raise ConfigurationError(f"{others[0]}: {first} is also set; remove one of them", field=others[0])

    def _await_files(self) -> None:
        """Wait for files that are missing or empty, for `certificate_wait`; the certificate has a wait of its own."""
        settings, self._deadline = self._settings, time.monotonic()
        wait = settings.number("certificate_wait")
        if wait is None:
            return
        name = settings.name_of("certificate_wait")
        if not 0 <= wait < math.inf:
            raise ConfigurationError(f"{name}: must be a finite number of seconds, 0 or more", field=name)
        files = dict(self._secret_files())
        if wait and not files and not settings.has("certificate"):
            settings.require_with("certificate_wait", "certificate")
        self._deadline += wait
        while late := [path for path in files if not _has_content(path)]:
            if time.monotonic() >= self._deadline:
                if not wait:
                    return
                name, path = files[late[0]], late[0]
                shown = path if is_plausible(path, Path()) else "the file that it names"
                raise ConfigurationError(
                    f"{name}: {shown} does not exist or is empty; it was waited for, for {wait:g} seconds", field=name
                )
            time.sleep(_WAIT_INTERVAL)

    def _secret_files(self) -> Iterator[tuple[Path, str]]:
        """Yield the files other than the certificate's, with the name of the setting of each."""
        for setting in (*PATHS, "client_key"):
            value = self._values.get(setting)
            if value is not None and setting != "certificate_password_file" and is_path(value.text):
                yield value.folder / expand_path(value.text, value.name), value.name
        ca = self._ca()
        for part in ca if isinstance(ca, tuple) else (ca,):
            if isinstance(part, str) and part != SYSTEM:
                name = self._settings.name_of("ca")
                yield expand_path(part, name), name

    def _require_all(self, provider: object, grant: str) -> None:
        """Raise one error for all missing settings, so that a user sets them at once."""
        if not isinstance(provider, Provider):
            return  # `Config` refuses it
        needed = {"client_id": "the client id of your application, the gateway's AppKey"}
        if not self._is_chosen_later(provider):
            needed |= self._needed_by(self._method(provider))
        if "grant" not in self._given:
            needed |= NEEDS.get(grant, {})
            if grant == "client_credentials" and provider.username_field is not None:
                needed["username"] = f"the {provider.username_field} of a service account"
                needed["password"] = "the password of a service account"
        if not provider.environments and "hosts" not in self._given and not self._settings.has("mtls_host"):
            needed["api_host"] = "the host of its API"
        missing = [
            setting
            for setting in needed
            if _argument_of(setting) not in self._given and not self._settings.has(*self._forms(setting))
        ]
        if missing:
            first = self._name(missing[0])
            parts = [f"{needed[name]} ({' or '.join(map(self._name, self._forms(name)))})" for name in missing]
            listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
            raise ConfigurationError(f"{first}: missing; {provider.name} needs {listed}", field=first)

    def _forms(self, setting: str) -> tuple[str, ...]:
        return (*forms_of(setting), *_ALTERNATIVES.get(setting, ()))

    def _needed_by(self, method: ClientAuthentication) -> dict[str, str]:
        if isinstance(method, _BY_SECRET):
            return {"client_secret": "the client secret"}
        if isinstance(method, TlsClientAuth) and "certificate" not in self._given:
            return {"certificate": "the client certificate"}
        if isinstance(method, PrivateKeyJwt) and method.key is None and "certificate" not in self._given:
            return {"client_key": "the key that signs"}
        return {}

    def _client_secret(self) -> Secret | None:
        secret = self._settings.secret("client_secret")
        if isinstance(secret, SecretFile) and not secret().isprintable():
            raise ConfigurationError(
                f"{secret.name}: contains a character that is not printable; write one line into the file",
                field=secret.name,
            )
        return secret

    # --- the provider -------------------------------------------------------------------------------------------------

    def _provider(self) -> Provider:
        settings = self._settings
        base = settings.one_of(_PROVIDERS, "provider")
        issuer, token_url = settings.text("issuer"), settings.text("token_url")
        names = {f"provider.{setting}": settings.name_of(setting) for setting in (*_OF_PROVIDER, "issuer")}
        with SettingNames(names).rename_errors():
            changes: dict[str, Any] = {
                setting: text for setting in _OF_PROVIDER if (text := settings.text(setting)) is not None
            }
            if issuer is not None:
                changes |= {"issuer": issuer, "token_url": token_url}
            if base is None and (issuer or token_url) is not None:
                return Provider(name=_host(issuer or token_url), **changes)
            base = base or SEI_GATEWAY
            return attrs.evolve(base, **changes) if changes else base

    def _is_chosen_later(self, provider: Provider) -> bool:
        """Whether the issuer's metadata decides on the method of client authentication."""
        is_named = provider.client_authentication is not None or self._settings.has("client_auth")
        return provider.token_url is None and not is_named

    def _method(self, provider: Provider) -> ClientAuthentication:
        chosen = None if "provider" in self._given else self._settings.one_of(CLIENT_AUTHENTICATIONS, "client_auth")
        own = client_authentication_of(provider)
        # The gateway's form of Basic is the gateway's.
        return own if chosen is None or type(chosen) is type(own) else chosen

    def _authenticated(self, provider: Provider) -> Provider:
        """Return the provider with the client authentication that is set."""
        settings = self._settings
        method = None if self._is_chosen_later(provider) else self._method(provider)
        takes = {PrivateKeyJwt: set(_SIGNING), ClientSecretJwt: {"client_key_algorithm", "client_assertion_audience"}}
        taken: set[str] = next((names for kind, names in takes.items() if isinstance(method, kind)), set())
        for setting in _SIGNING:
            if settings.has(setting) and setting not in taken:
                name = settings.name_of(setting)
                raise ConfigurationError(
                    f"{name}: unused, since nothing is signed; set {settings.name_of('client_auth')} to "
                    "private_key_jwt, or remove it",
                    field=name,
                )
        values: dict[str, Callable[[str], Any]] = {}
        values |= {"client_key": settings.path_or_pem, "client_key_password": settings.secret}
        changes: dict[str, Any] = {}
        for setting, argument in _SIGNING.items():
            if setting in taken and (value := values.get(setting, settings.text)(setting)) is not None:
                changes[argument] = value
        if method is None or (method is client_authentication_of(provider) and not changes):
            return provider
        method = attrs.evolve(method, **changes)  # type: ignore[misc]  # all are attrs classes
        return attrs.evolve(provider, client_authentication=method)

    # --- hosts, certificate, trust, store -----------------------------------------------------------------------------

    def _hosts(self) -> Hosts | None:
        settings = self._settings
        api, mtls = settings.text("api_host"), settings.text("mtls_host")
        if api is None and mtls is None:
            return None
        names = {"hosts.api": settings.name_of("api_host"), "hosts.mtls": settings.name_of("mtls_host")}
        with SettingNames(names, self._remedies()).rename_errors():
            return Hosts(api=api, mtls=mtls)

    def _certificate(self) -> ClientCertificate | None:
        settings = self._settings
        certificate, key = settings.path_or_pem("certificate"), settings.path_or_pem("certificate_key")
        wait = round(max(self._deadline - time.monotonic(), 0.0), 2)
        password = settings.secret("certificate_password", is_awaited=wait > 0)
        # The username of another grant is a user's, whose name is in no certificate of the client.
        account = settings.text("username") if settings.text("grant") in (None, "client_credentials") else None
        if certificate is not None:
            try:
                loaded = ClientCertificate.load(certificate, key=key, password=password, common_name=account, wait=wait)
            except CertificateError as error:
                if isinstance(error.__cause__, ConfigurationError):
                    # The file of the passphrase did not come.
                    raise error.__cause__ from None
                raise self._rename_certificate_error(error, key) from error.__cause__
            return attrs.evolve(loaded, setting_names=self._remedies())
        for setting in ("certificate_key", "certificate_password"):
            if settings.has(setting):
                name = self._name("certificate")
                raise ConfigurationError(
                    f"{name}: missing, but {settings.name_of(setting)} is set; set both or neither", field=name
                )
        return None

    def _rename_certificate_error(self, error: CertificateError, key: str | None) -> CertificateError:
        setting = "certificate"
        if error.reason in (Reason.PASSPHRASE_MISSING, Reason.PASSPHRASE_WRONG):
            setting = "certificate_password"
        elif key is not None and error.path in (key, given_as_text("key")):
            setting = "certificate_key"
        name = self._settings.name_of(setting)
        text, path = error.message, error.path
        if error.reason == Reason.NOT_FOUND and path is not None and not is_plausible(Path(path), Path()):
            text, path = text.replace(f"{path}: there is", "there is"), None
        text = f"{name}: {with_setting_names(text, self._remedies())}"
        return CertificateError(text, path=path, reason=error.reason, field=name)

    def _ca(self) -> str | bytes | tuple[str, ...] | None:
        ca = self._settings.path_or_pem("ca")
        if ca is None or not is_path(ca):
            return ca if ca is None else ca.encode(errors="replace")
        is_list = (ca == SYSTEM or "," in ca) and not Path(ca).exists()
        return tuple(part.strip() for part in ca.split(",") if part.strip()) if is_list else ca

    def _store(self) -> TokenStore | None:
        place, key = self._settings.text("store"), self._settings.secret("store_key")
        if place is None:
            if self._settings.has("store_key"):
                self._settings.require_with("store_key", "store")
            return None
        # An error about the secret itself has its name already.
        text = key() if callable(key) else key
        try:
            return open_store(place, text)
        except ConfigurationError as error:
            name = self._settings.name_of("store_key" if error.field == "key" else "store")
            raise ConfigurationError(f"{name}: {error.message.partition(': ')[2]}", field=name) from None
        except ImportError as error:
            name = self._settings.name_of("store")
            raise ConfigurationError(f"{name}: {error}", field=name) from None


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        # No waiting ends it, and the reader has words for it.
        return True


def _host(url: str | None) -> str:
    """Return the host of a URL, as the provider's name; it is validated elsewhere."""
    try:
        host = httpx.URL(url or "").raw_host.decode("ascii", "replace")
    except httpx.InvalidURL:
        host = ""
    return host or "the provider"
