"""`Config`: the settings of a client, as an immutable value that is validated when it is created."""

from __future__ import annotations

import functools
import inspect
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import attrs
import httpx

from seic._errors import CertificateError, ConfigurationError
from seic._model.grant_parameters import Grant
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts, Origin
from seic._model.provider import Provider, RequestContext
from seic._model.secret import Secret, Unpicklable, hide, strip_frames, strip_frames_on_init
from seic._network.proxies import Network, ProxyLike, show_proxy
from seic._oauth.client_auth import TlsClientAuth
from seic._oauth.dpop import DPoP
from seic._oauth.form_request import parse_url
from seic._options import ConfigOptions
from seic._public import publish
from seic._setting_errors import SettingNames
from seic._tls.context import CertificateSource, check_source, source_key
from seic._tls.trust import SYSTEM, CaSource, read_trust_store
from seic._tokens.refresh_policy import Margin, RefreshPolicy
from seic._tokens.store import TokenStore
from seic._validators import is_a, is_seconds, is_secret, is_text, offers
from seic._values import frozen
from seic._x509.credential_files import CredentialFile

#: The trusted authorities: a path, PEM bytes, or None for the system's.
CA: TypeAlias = CaSource | None

#: The total seconds of a token refresh; a response takes well under one, and callers may be waiting.
_TOKEN_TIMEOUT = 10.0


def _gives_certificate(_config: Config, _attribute: attrs.Attribute[Any], value: object) -> None:
    check_source(value)


def _absolute(ca: CA) -> CA:
    # Here, so that a copy made in another working directory keeps the file.
    if isinstance(ca, list | tuple):
        return tuple(one if one == SYSTEM else _absolute_path(one) for one in ca)
    return ca if ca is None else _absolute_path(ca)


def _absolute_path(ca: Any) -> Any:
    if not ca or not isinstance(ca, str | os.PathLike):
        return ca
    try:
        path = CredentialFile.of(ca, "CA").path
    except CertificateError:  # it is raised again when the file is read, and names the setting there
        return ca
    return ca if path is None or str(path) == os.fspath(ca) else str(path)


def _ca_repr(ca: object) -> str:
    if isinstance(ca, bytes):
        return f"<{len(ca)} bytes>"
    if isinstance(ca, tuple):
        return f"({', '.join(map(_ca_repr, ca))})"
    # PEM text can contain a key that the user takes for a certificate.
    return "<PEM text>" if isinstance(ca, str) and "-----BEGIN" in ca else repr(ca)


def _is_authorities(config: object, attribute: attrs.Attribute[Any], value: object) -> None:
    wanted = "a path or PEM, a list of these, or a plain function that returns them"
    is_function = callable(value) and not isinstance(value, type) and not inspect.iscoroutinefunction(value)
    for one in () if is_function else value if isinstance(value, tuple) else [value]:
        is_a(str, os.PathLike, bytes, wanted=wanted)(config, attribute, one)


@strip_frames_on_init
@frozen(kw_only=True)
class Config(Unpicklable):
    """The settings of a client of a provider: immutable, validated, without secrets in its repr.

    Attributes, `attrs.asdict` and `vars` return the secrets. Log the value itself instead.

    Args:
        provider: `SEI_GATEWAY`, `SEI_PLATFORM`, `OAUTH2` or a custom `Provider`.
        environment: One of the provider's environments: `production` or `test`. Unused if `hosts` is set.
        hosts: Custom hosts, which replace both hosts of the environment.
        client_id: The client id (the gateway's AppKey).
        client_secret: The client secret, or a callable that returns the current one.
        grant: The grant of token requests.
        certificate: The client certificate, or a function that returns the current one, such as from a vault; it is
            called once a minute and should have a timeout. With a certificate, token requests and API calls use the
            mutual-TLS host. A certificate from files is reloaded when they change.
        dpop: The key that tokens are bound to (RFC 9449), if the provider and its APIs support it.
        ca: The trusted authorities: None for the system's, a path, or PEM bytes; or a list of these, in which "system"
            adds the system's. A file is reloaded when it changes. Or a function that returns them, called as that of
            the certificate.
            The attribute is the absolute path: the working directory counts at the time of creation.
        store: Keeps tokens beyond the life of a client; None for no store.
        advisory_refresh: The time before expiry at which a token is refreshed in the background: seconds, or a share of
            its lifetime; by default `"20%"`.
        mandatory_refresh: The time before expiry at which calls wait for a refresh: seconds, or a share of the
            lifetime; by default `"2.5%"`.
        token_timeout: The total seconds of a refresh, including retries and pauses.
        rate_limit_timeout: The longest wait of a request in seconds, while the API asks for a pause by 429 or
            `Retry-After`; then it raises `TooManyRequests`. All clients of the process wait, and with a store those of
            all processes. None lets no request wait.
        proxy: The proxy of token requests and API calls; None for `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        local_address: The local address of connections, such as the one in the provider's allow-list.
        trust_env: Whether the proxy variables apply.
        strict_common_name: Refuse a certificate whose CN is not the service account's username, instead of a warning.
        probe_rotation: Try renewed certificates and authorities at the host before they replace those in use.

    Raises:
        ConfigurationError: A setting is missing, malformed or contradicts another; its `field` names it.
        CertificateError: `ca` contains no authority, or `strict_common_name` refuses the certificate.
    """

    provider: Provider = attrs.field(validator=is_a(Provider, wanted="a seic.Provider such as seic.SEI_GATEWAY"))
    environment: str = attrs.field(default="production", validator=is_text)
    hosts: Hosts | None = attrs.field(default=None, validator=is_a(Hosts, wanted="seic.Hosts(api=..., mtls=...)"))
    client_id: str = attrs.field(validator=is_text)
    client_secret: Secret | None = attrs.field(default=None, repr=hide, validator=is_secret)
    grant: Grant = attrs.field(
        validator=offers("check", "fields", wanted="a grant such as seic.ClientCredentials(...)")
    )
    certificate: CertificateSource | None = attrs.field(default=None, eq=source_key, validator=_gives_certificate)
    dpop: DPoP | None = attrs.field(default=None, validator=is_a(DPoP, wanted="seic.DPoP()"))
    ca: CA = attrs.field(
        default=None,
        converter=_absolute,
        repr=_ca_repr,
        validator=_is_authorities,
    )
    store: TokenStore | None = attrs.field(
        default=None, validator=offers("load", "save", "delete", wanted="a store such as seic.MemoryStore()")
    )
    advisory_refresh: Margin | None = None
    mandatory_refresh: Margin | None = None
    token_timeout: float = attrs.field(default=_TOKEN_TIMEOUT, validator=is_seconds)
    rate_limit_timeout: float | None = attrs.field(default=None, validator=is_seconds)
    proxy: ProxyLike | None = attrs.field(default=None, repr=show_proxy)
    local_address: str | None = None
    strict_common_name: bool = attrs.field(default=False, validator=is_a(bool, wanted="True or False"))
    probe_rotation: bool = attrs.field(default=True, validator=is_a(bool, wanted="True or False"))
    trust_env: bool = attrs.field(default=True, validator=is_a(bool, wanted="True or False"))
    # For messages; an argument, so that `attrs.evolve` keeps them.
    _setting_names: SettingNames = attrs.field(default=SettingNames(), eq=False, repr=False, alias="_setting_names")

    def __attrs_post_init__(self) -> None:
        """Check what needs more than one setting, so that a mistake is found here and not by the first call."""
        if self.ca in ("", b"", ()):
            raise ConfigurationError("ca: empty; set a file or PEM, or remove it", field="ca")
        # Only the authorities of the user. The system's are not a setting, and can still be installed.
        if self.ca is not None and not callable(self.ca):
            for warning in read_trust_store(self.ca).check():
                warnings.warn(warning, stacklevel=4)  # skips attrs' constructor and the decorator that hides its frames
        if not 0 < self.token_timeout < math.inf:
            raise ConfigurationError("token_timeout: must be more than 0 seconds, and finite", field="token_timeout")
        if self.rate_limit_timeout is not None and not 0 <= self.rate_limit_timeout < math.inf:
            raise ConfigurationError(
                "rate_limit_timeout: must be 0 seconds or more, and finite", field="rate_limit_timeout"
            )
        self.grant.check(self.provider)
        if self.store is not None and getattr(self.grant, "subject", "") is None:
            raise ConfigurationError(
                "grant.subject: missing; the grant's secret is a callable, so set the owner of the token, by which the "
                "store distinguishes tokens",
                field="grant.subject",
            )
        _ = refresh_policy_of(self), self.origin, self.token_url, network_of(self)
        certificate = None if callable(self.certificate) else self.certificate
        if self.strict_common_name and certificate is not None and self.account is not None:
            certificate.check_common_name(self.account, strict=True)
        # A callable that supplies a credential is called when it is needed.
        # Without a method, the issuer's metadata names one.
        is_checked_later = self.provider.token_url is None and self.provider.client_authentication is None
        if callable(self.certificate):
            from seic._oauth.assertion_auth import PrivateKeyJwt

            is_checked_later |= isinstance(self.provider.client_authentication, (TlsClientAuth, PrivateKeyJwt))
        if not is_checked_later:
            from seic._oauth.messages import build_token_request

            context = RequestContext(
                provider=self.provider,
                token_url=self.token_url,
                client_id=self.client_id,
                client_secret="-" * 64 if callable(self.client_secret) else self.client_secret,
                certificate=certificate,
            )
            build_token_request(context, grant=ClientCredentials())

    @classmethod
    @strip_frames
    def from_env(cls, environ: Mapping[str, str] | None = None, **changes: Unpack[ConfigOptions]) -> Config:
        r"""Read the settings from `SEIC_*` variables, and from the profile in `SEIC_PROFILE` if it is set.

        docs/settings.md lists the variables. A certificate, key or CA is a path, or the PEM text itself, with line ends
        or `\n`. A secret can also come from a file, which the same name with the suffix `_FILE` names. An empty
        variable is not set. An unknown variable that starts with `SEIC_` is an error. Variables take precedence over
        the profile, which is a table of `seic/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.

        Args:
            environ: The variables; None for those of the process.
            changes: Arguments of `Config`, which take precedence; their variables are not read.

        Raises:
            ConfigurationError: A variable is missing or malformed; its `field` is the name of the variable.
            CertificateError: The certificate cannot be used.
        """
        from seic._settings import read_environment

        settings = read_environment(os.environ if environ is None else environ, given=changes)
        with settings.names.rename_errors():
            return cls(**settings.arguments, **changes, _setting_names=settings.names)

    @classmethod
    @strip_frames
    def from_file(
        cls, path: str | os.PathLike[str], *, profile: str = "default", **changes: Unpack[ConfigOptions]
    ) -> Config:
        """Read the settings from a table of a TOML file; its keys are the variables in lower case, without `SEIC_`.

        Paths in it are relative to the file.

        Args:
            path: The file.
            profile: The name of the table.
            changes: Arguments of `Config`, which take precedence; their keys are not read.

        Raises:
            ConfigurationError: The file or a key cannot be used; its `field` names the key.
            CertificateError: The certificate cannot be used.
        """
        from seic._settings import read_file

        settings = read_file(Path(path), profile, given=changes)
        with settings.names.rename_errors():
            return cls(**settings.arguments, **changes, _setting_names=settings.names)

    @property
    def base_url(self) -> str:
        """The URL of API calls: the mutual-TLS host with a certificate, otherwise the API host."""
        return str(self.origin)

    def store_key(self, thumbprint: str | None) -> str:
        """Return the key of the configuration's token in a store: a digest of all that it is bound to.

        It does not depend on secrets, since a digest can reveal a guessable one. The keyed hash of an encrypted store
        includes those that can request another token. The first 16 digits are those of the client id, so that a store
        can delete all tokens of a client.
        """
        named = {name: value for name, value in _public_facts(self.grant).items() if value is not None}
        facts = (
            self.token_url,
            self.base_url,
            self.client_id,
            thumbprint,
            None if self.dpop is None else self.dpop.thumbprint,
            self.grant.grant_type,
            sorted(named.items()),
        )
        # A user's session outlives a renewed client secret: only a login could replace its refresh token.
        secrets = [_constant(self.client_secret), *_secrets_of(self.grant)] if self.grant.is_repeatable else []
        from seic._stores.token_cipher import EntryKey

        return EntryKey.of(self.client_id, facts, secrets)

    @property
    def network(self) -> object:
        """The proxy and the local address of connections, to print: it shows the proxy that is in force."""
        return network_of(self)

    @property
    def account(self) -> str | None:
        """The service account that the certificate's CN should name; None if the provider does not compare them."""
        return getattr(self.grant, "username", None) if self.provider.common_name_is_username else None

    @functools.cached_property
    def origin(self) -> Origin:
        """The origin of API calls; the token is sent to no other."""
        with_certificate = self.certificate is not None
        environment = self.environment if self.hosts is None else None
        hosts = self.provider.hosts_of(self.environment, self.hosts)
        origin = hosts.choose(certificate=with_certificate, environment=environment)
        try:
            # httpx decodes an internationalised name on access, which can fail.
            parse_url(str(origin)).host  # noqa: B018
        except (httpx.InvalidURL, UnicodeError):
            field = "hosts.mtls" if with_certificate else "hosts.api"
            raise ConfigurationError(f"{field}: {origin.host!r} is not a host name or address", field=field) from None
        return origin

    @functools.cached_property
    def token_url(self) -> str:
        """The token endpoint's URL; the issuer's, if the provider's endpoints are read from its metadata."""
        field, path_or_url = "provider.token_url", self.provider.token_url
        if path_or_url is None:
            issuer = self.provider.issuer or ""
            from seic._oauth.metadata import metadata_urls

            metadata_urls(issuer, allow_http_on_loopback=self.origin.scheme == "http")
            return issuer
        if self.certificate is not None and self.provider.mtls_endpoint_aliases:
            field = "provider.mtls_endpoint_aliases"
            if "token_endpoint" not in self.provider.mtls_endpoint_aliases:
                # The normal endpoint would issue tokens that are not bound, without an error.
                raise ConfigurationError(
                    f"{field}: no token_endpoint, but a client certificate is set; add the endpoint, or remove the "
                    "certificate",
                    field=field,
                )
            path_or_url = self.provider.mtls_endpoint_aliases["token_endpoint"]
        text = f"{self.origin}{path_or_url}" if path_or_url.startswith("/") else path_or_url
        try:
            # The client that sends the request parses the URL with the same rules, so no difference can be exploited.
            url = parse_url(text)
            url.host  # noqa: B018  # as above
        except (httpx.InvalidURL, UnicodeError):
            raise ConfigurationError(f"{field}: must be a path or a valid URL", field=field) from None
        if url.fragment:
            raise ConfigurationError(f"{field}: must have no fragment (RFC 6749 §3.2)", field=field)
        # http is allowed only if the hosts allow it.
        allow_http = self.origin.scheme == "http"
        Origin.parse(f"{url.scheme}://{url.netloc.decode('ascii')}", field=field, allow_http_on_loopback=allow_http)
        return str(url)


def setting_names_of(config: Config) -> SettingNames:
    """Return the variables or keys that a configuration's values came from."""
    return config._setting_names  # noqa: SLF001 - private to users


def network_of(config: Config) -> Network:
    """Return the proxy and the local address of a configuration's requests."""
    network = Network.of(
        proxy=config.proxy,
        local_address=config.local_address,
        trust_env=config.trust_env,
        shown_for=config.origin,
        setting_names=setting_names_of(config).arguments,
    )
    network.check(config.origin)
    return network


def refresh_policy_of(config: Config) -> RefreshPolicy:
    """Return the times of refresh that a configuration sets."""
    return RefreshPolicy(config.advisory_refresh, config.mandatory_refresh)


def differing_setting(one: Config, other: Config) -> str | None:
    """Return the first setting that gives two configurations different tokens; None if they may share one.

    The times of refreshes and the route of requests are left out: they do not decide to whom a token belongs.
    """
    for name in ("base_url", "token_url", "client_id"):
        if getattr(one, name) != getattr(other, name):
            return name
    # As in the registry of identities: the same content of other files is rotated separately.
    if source_key(one.certificate) != source_key(other.certificate):
        return "certificate"
    names = ("provider", "client_secret", "grant", "dpop", "ca", "store", "strict_common_name")
    return next((name for name in names if getattr(one, name) != getattr(other, name)), None)


def _public_facts(grant: Grant) -> dict[str, object]:
    kind: type = type(grant)
    if not attrs.has(kind):
        return {}
    return {field.name: getattr(grant, field.name) for field in attrs.fields(kind) if field.repr is True}


def _secrets_of(grant: Grant) -> list[str | None]:
    """Return the secrets of a grant; None for one that a callable returns."""
    kind: type = type(grant)
    fields = attrs.fields(kind) if attrs.has(kind) else ()
    return [_constant(getattr(grant, field.name)) for field in fields if field.repr is not True]


def _constant(secret: object) -> str | None:
    """Return a secret, or None if it may be another each time."""
    return (secret or "") if secret is None or isinstance(secret, str) else None


publish("seic", ["Config"], globals())
