"""What a user states, checked at once and never changed after."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import attrs
import httpx

from seic._errors import ConfigurationError
from seic._model.grant_parameters import Grant
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts, Origin
from seic._model.provider import Provider, RequestContext
from seic._model.secrecy import Unpicklable, hide, traceless, tracelessly_made
from seic._network.identity import Presenter
from seic._network.proxies import Network, ProxyLike, show_proxy
from seic._oauth.assertion_auth import PrivateKeyJwt
from seic._oauth.client_auth import TlsClientAuth
from seic._oauth.dpop import DPoP
from seic._oauth.messages import build_token_request
from seic._options import ConfigOptions
from seic._settings import read_environment, read_file
from seic._tls.certificate import ClientCertificate
from seic._tls.context import check_source
from seic._tls.rotation import CertificateSource
from seic._tls.trust import read_trust
from seic._tokens.held import Margin, Windows
from seic._tokens.store import TokenStore

#: What names trust anchors: a path, PEM bytes, or None for the system's.
CA: TypeAlias = str | os.PathLike[str] | bytes | None

#: Seconds for getting a token in all; an answer takes well under one, and callers may be waiting.
_TOKEN_TIMEOUT = 10.0

_Validator: TypeAlias = "Callable[[Config, attrs.Attribute[Any], object], None]"


def _text(_config: Config, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None and attribute.default is None:
        return
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{attribute.name}: must be a text that is not empty", field=attribute.name)
    # Each may travel in a header, where a control character would begin a header of its own.
    if not value.isprintable():
        raise ConfigurationError(
            f"{attribute.name}: holds a character that cannot be printed, such as a line end at its end; remove it",
            field=attribute.name,
        )


def _is(*kinds: type, wanted: str) -> _Validator:
    def check(_config: Config, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and attribute.default is None:
            return
        if not isinstance(value, kinds):
            raise _unlike(attribute, value, wanted)

    return check


def _offers(*methods: str, wanted: str) -> _Validator:
    def check(_config: Config, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and attribute.default is None:
            return
        # A class has the methods too, and is what stands there when the brackets were forgotten.
        if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
            raise _unlike(attribute, value, wanted)

    return check


def _unlike(attribute: attrs.Attribute[Any], value: object, wanted: str) -> ConfigurationError:
    # The value stays unsaid: it may be a secret in the wrong place.
    actual = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return ConfigurationError(f"{attribute.name}: must be {wanted}, not {actual}", field=attribute.name)


def _seconds(_config: Config, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike(attribute, value, "a number of seconds")


def _gives_certificate(_config: Config, _attribute: attrs.Attribute[Any], value: object) -> None:
    check_source(value)


def _ca_repr(ca: CA) -> str:
    if isinstance(ca, bytes):
        return f"<{len(ca)} bytes>"
    # Text that is no path: whoever takes it for PEM may have taken a key for a certificate.
    return "<PEM text>" if isinstance(ca, str) and "-----BEGIN" in ca else repr(ca)


@tracelessly_made
@attrs.frozen(kw_only=True)
class Config(Unpicklable):
    """Everything that identifies an application to a provider: frozen, checked, its secrets never in a repr.

    Who asks for its content has it, secrets included: by an attribute, by `attrs.asdict` or by `vars`. Log the value
    itself.

    Args:
        provider: The dialect: `SEI_GATEWAY`, `SEI_PLATFORM`, `OAUTH2` or a `Provider` of your own.
        environment: One of the provider's environments: `production` or `test`. Unused where `hosts` is given.
        hosts: Hosts of your own in place of the environment's, both of them: none is taken from there.
        client_id: The client's id (the gateway's AppKey).
        client_secret: Its secret.
        grant: How a token is asked for.
        certificate: The client certificate, or a function that returns the present one, from a vault say; it is asked
            again each minute and should have a time limit of its own. With a certificate token and API calls go to the
            mutual-TLS host, and follow it when its files are renewed.
        dpop: The key that tokens are bound to (RFC 9449), where the provider and its APIs offer that; None is none.
        ca: Whom to trust: None is the system's trust, a path or PEM bytes are exactly these; a path is followed as the
            certificate's are.
        store: Where tokens are kept beyond this process's clients; None is nowhere.
        advisory_refresh: From when before expiry a token is renewed in the background: seconds, or a share of its
            lifetime such as `"20%"`, the default.
        mandatory_refresh: From when before expiry calls wait for the renewal: seconds, or a share of the lifetime; by
            default `"2.5%"`.
        token_timeout: Seconds for getting a token in all: each attempt, and the pauses between them.
        proxy: The proxy for token and API calls; None leaves that to `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        local_address: The address of this machine that calls leave from, where the provider's allow-list knows one.
        trust_env: Whether those variables count.
        strict_common_name: Refuse a certificate whose CN is not the service account's name, where the provider wants
            the two equal; otherwise that is a warning.

    Raises:
        ConfigurationError: A setting is missing, malformed or contradicts another; its `field` names it.
        CertificateError: There is no authority in what `ca` names, or `strict_common_name` refuses the certificate.
    """

    provider: Provider = attrs.field(validator=_is(Provider, wanted="a seic.Provider such as seic.SEI_GATEWAY"))
    environment: str = attrs.field(default="production", validator=_text)
    hosts: Hosts | None = attrs.field(default=None, validator=_is(Hosts, wanted="seic.Hosts(api=..., mtls=...)"))
    client_id: str = attrs.field(validator=_text)
    client_secret: str | None = attrs.field(default=None, repr=hide, validator=_text)
    grant: Grant = attrs.field(
        validator=_offers("check", "fields", wanted="a grant such as seic.ClientCredentials(...)")
    )
    certificate: CertificateSource | None = attrs.field(default=None, validator=_gives_certificate)
    dpop: DPoP | None = attrs.field(default=None, validator=_is(DPoP, wanted="seic.DPoP()"))
    ca: CA = attrs.field(default=None, repr=_ca_repr, validator=_is(str, os.PathLike, bytes, wanted="a path or PEM"))
    store: TokenStore | None = attrs.field(
        default=None, validator=_offers("load", "save", "delete", wanted="a store such as seic.MemoryStore()")
    )
    advisory_refresh: Margin | None = None
    mandatory_refresh: Margin | None = None
    token_timeout: float = attrs.field(default=_TOKEN_TIMEOUT, validator=_seconds)
    proxy: ProxyLike | None = attrs.field(default=None, repr=show_proxy)
    local_address: str | None = None
    strict_common_name: bool = attrs.field(default=False, validator=_is(bool, wanted="True or False"))
    trust_env: bool = attrs.field(default=True, validator=_is(bool, wanted="True or False"))
    #: Where API calls go, and the token with them.
    origin: Origin = attrs.field(init=False, repr=False, eq=False)
    #: The token endpoint's whole URL.
    token_url: str = attrs.field(init=False, repr=False, eq=False)
    #: How calls leave this machine.
    network: Network = attrs.field(init=False, repr=False, eq=False)
    #: What its clients present, all of them the same.
    presenter: Presenter = attrs.field(init=False, repr=False, eq=False)
    #: When tokens are renewed.
    windows: Windows = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Check what needs more than one setting, and choose the host."""
        if self.ca in ("", b""):
            raise ConfigurationError("ca: is empty; name a file or give PEM, or leave it out", field="ca")
        # The authorities that the user names, not the system's: those are no setting of his, and may yet be installed.
        if self.ca is not None:
            for warning in read_trust(self.ca).check():
                warnings.warn(warning, stacklevel=4)  # past attrs' constructor and what keeps its frames out of sight
        if not 0 < self.token_timeout < math.inf:
            raise ConfigurationError(
                "token_timeout: must be more than 0 seconds, and not endless", field="token_timeout"
            )
        self.grant.check(self.provider)
        if self.store is not None and getattr(self.grant, "subject", "") is None:
            raise ConfigurationError(
                "grant.subject: must say whose token it is: the grant's secret is a callable, and the store could not "
                "tell one person's token from another's",
                field="grant.subject",
            )
        # attrs' own way to set a derived value of a frozen class.
        object.__setattr__(self, "windows", Windows(self.advisory_refresh, self.mandatory_refresh))
        object.__setattr__(self, "origin", self._choose_origin())
        object.__setattr__(self, "token_url", self._choose_token_url())
        object.__setattr__(self, "network", self._choose_network())
        object.__setattr__(self, "presenter", self._make_presenter())
        # A credential that is missing or cannot be sent is found here, and not by the first call. The grant's own are
        # left alone: a callable that supplies one is asked when it is needed.
        certificate = None if callable(self.certificate) else self.certificate
        by_certificate = isinstance(self.provider.client_authentication, (TlsClientAuth, PrivateKeyJwt))
        if not (callable(self.certificate) and by_certificate):
            context = RequestContext(
                provider=self.provider,
                token_url=self.token_url,
                client_id=self.client_id,
                client_secret=self.client_secret,
                certificate=certificate,
            )
            build_token_request(context, grant=ClientCredentials())

    @classmethod
    @traceless
    def from_env(cls, environ: Mapping[str, str] | None = None, **changes: Unpack[ConfigOptions]) -> Config:
        r"""Read the settings from `SEIC_*` variables, over those of the profile that `SEIC_PROFILE` names.

        `SEIC_PROVIDER` (`sei-gateway`, which is the default, `sei-platform`, `oauth2`), `SEIC_ENVIRONMENT`,
        `SEIC_CLIENT_ID`, `SEIC_CLIENT_SECRET`, `SEIC_USERNAME`, `SEIC_PASSWORD`, `SEIC_CERTIFICATE`,
        `SEIC_CERTIFICATE_KEY`, `SEIC_CERTIFICATE_PASSWORD`, `SEIC_CA`, `SEIC_API_HOST`, `SEIC_MTLS_HOST`, `SEIC_STORE`
        (`memory`), `SEIC_PROFILE`. A certificate, key or CA is a path or the PEM text itself, with line ends or with
        `\n` for each. A secret may stand in a file that the same name with `_FILE` at its end names. A variable that
        is empty counts as not set; another name that begins with `SEIC_` is refused, lest a slip pass unseen. The
        profile is a table of `seic/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.

        Account and password make the grant `ClientCredentials`. Any other is given as `grant=`; they are then not read.

        Args:
            environ: The variables; None is the process's own.
            changes: Settings that stand above both; what they replace is not read.

        Raises:
            ConfigurationError: A variable is missing or malformed; its `field` is the variable's name.
            CertificateError: The certificate that they name cannot work.
        """
        settings = read_environment(os.environ if environ is None else environ, given=changes)
        with settings.rename_errors():
            return cls(**settings.arguments, **changes)

    @classmethod
    @traceless
    def from_file(
        cls, path: str | os.PathLike[str], *, profile: str = "default", **changes: Unpack[ConfigOptions]
    ) -> Config:
        """Read the settings from a table of a TOML file; its keys are the variables' names without `SEIC_`, lower case.

        Paths in it are relative to the file. Any grant but `ClientCredentials` is given as `grant=`.

        Args:
            path: The file.
            profile: The table's name.
            changes: Settings that stand above the file's; what they replace is not read.

        Raises:
            ConfigurationError: The file or a key cannot be used; its `field` names the key.
            CertificateError: The certificate that it names cannot work.
        """
        settings = read_file(Path(path), profile, given=changes)
        with settings.rename_errors():
            return cls(**settings.arguments, **changes)

    @property
    def base_url(self) -> str:
        """Where API calls go: the mutual-TLS host with a certificate, the API host without one."""
        return str(self.origin)

    def store_key(self, thumbprint: str | None) -> str:
        """Return what a store keeps this configuration's token under: a digest of all that the token is bound to.

        Secrets are left out: a digest of a guessable secret would give it away.
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
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _choose_origin(self) -> Origin:
        with_certificate = self.certificate is not None
        environment = self.environment if self.hosts is None else None
        hosts = self.provider.hosts_of(self.environment, self.hosts)
        origin = hosts.choose(certificate=with_certificate, environment=environment)
        try:
            # Read as a name for people, too: some of its readers do.
            httpx.URL(str(origin)).host  # noqa: B018
        except (httpx.InvalidURL, UnicodeError):
            field = "hosts.mtls" if with_certificate else "hosts.api"
            raise ConfigurationError(f"{field}: {origin.host!r} is no host name or IP address", field=field) from None
        return origin

    def _make_presenter(self) -> Presenter:
        account = getattr(self.grant, "username", None) if self.provider.common_name_is_username else None
        if self.strict_common_name and account is not None and isinstance(self.certificate, ClientCertificate):
            self.certificate.check_common_name(account, strict=True)
        return Presenter(self.certificate, ca=self.ca, account=account, strict=self.strict_common_name)

    def _choose_network(self) -> Network:
        network = Network.of(proxy=self.proxy, local_address=self.local_address, trust_env=self.trust_env)
        network.check(self.origin)
        return network

    def _choose_token_url(self) -> str:
        field, path_or_url = "provider.token_url", self.provider.token_url
        if self.certificate is not None and self.provider.mtls_endpoint_aliases:
            field = "provider.mtls_endpoint_aliases"
            if "token_endpoint" not in self.provider.mtls_endpoint_aliases:
                # The usual endpoint would hand out tokens that are bound to nothing, and nobody would see it.
                raise ConfigurationError(
                    f"{field}: names no token_endpoint, and there is a client certificate; add it, or leave the "
                    "certificate out",
                    field=field,
                )
            path_or_url = self.provider.mtls_endpoint_aliases["token_endpoint"]
        text = f"{self.origin}{path_or_url}" if path_or_url.startswith("/") else path_or_url
        try:
            # What sends the request reads the URL by the same rules, so there is no second reading of it to exploit.
            url = httpx.URL(text)
            url.host  # noqa: B018  # as above
        except (httpx.InvalidURL, UnicodeError):
            raise ConfigurationError(f"{field}: is not a path or a URL that can be called", field=field) from None
        if url.fragment:
            raise ConfigurationError(f"{field}: must have no fragment (RFC 6749 §3.2)", field=field)
        # http only beside hosts that allow it.
        allow_http = self.origin.scheme == "http"
        Origin.parse(f"{url.scheme}://{url.netloc.decode('ascii')}", field=field, allow_http_on_loopback=allow_http)
        return str(url)


def _public_facts(grant: Grant) -> dict[str, object]:
    kind: type = type(grant)
    if not attrs.has(kind):
        return {}
    return {field.name: getattr(grant, field.name) for field in attrs.fields(kind) if field.repr is True}
