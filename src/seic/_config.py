"""What a user states, checked at once and never changed after."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from seic._errors import ConfigurationError
from seic._model.grants import Grant
from seic._model.hosts import Hosts, Origin
from seic._model.provider import Provider
from seic._model.secrecy import Secretive, hide
from seic._settings import read_environment, read_profile
from seic._tls.certificate import ClientCertificate
from seic._tokens.held import Windows
from seic._tokens.store import TokenStore

#: What names trust anchors: a path, PEM bytes, or None for the system's.
CA: TypeAlias = "str | os.PathLike[str] | bytes | None"

#: Seconds for one token request in all; an answer takes well under one, and callers may be waiting.
_TOKEN_TIMEOUT = 10.0


def _text(config: Config, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None and attribute.default is None:
        return
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{attribute.name}: must be a text that is not empty", field=attribute.name)
    # Both travel in headers, where a control character would begin a header of its own.
    if not value.isprintable():
        raise ConfigurationError(
            f"{attribute.name}: holds a character that cannot be printed, such as a line end at its end",
            field=attribute.name,
        )


def _kind(*kinds: type, missing: str) -> Any:
    def check(_config: Config, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and attribute.default is None:
            return
        if not isinstance(value, kinds):
            raise ConfigurationError(
                f"{attribute.name}: must be {missing}, not {type(value).__name__}", field=attribute.name
            )

    return check


def _ca_repr(ca: CA) -> str:
    return f"<{len(ca)} bytes>" if isinstance(ca, bytes) else repr(ca)


@attrs.frozen(kw_only=True)
class Config(Secretive):
    """Everything that identifies an application to a provider: frozen, checked, its secrets never in a repr.

    Args:
        provider: The dialect: `SEI_GATEWAY`, `SEI_PLATFORM`, `OAUTH2` or a `Provider` of your own.
        environment: One of the provider's environments: `production` or `test`.
        hosts: Hosts of your own in place of the environment's.
        client_id: The client's id (the gateway's AppKey).
        client_secret: Its secret.
        grant: How a token is asked for.
        certificate: The client certificate; with one, token and API calls go to the mutual-TLS host.
        ca: Whom to trust: None is the system's trust, a path or PEM bytes are exactly these.
        store: Where tokens are kept beyond this process's clients; None is nowhere.
        advisory_refresh: Seconds before expiry from which a token is renewed in the background; None is a share of its
            lifetime.
        mandatory_refresh: Seconds before expiry from which calls wait for the renewal; None is a share of its lifetime.
        token_timeout: Seconds for one token request in all.

    Raises:
        ConfigurationError: A setting is missing, malformed or contradicts another; its `field` names it.
    """

    provider: Provider = attrs.field(validator=_kind(Provider, missing="a seic.Provider such as seic.SEI_GATEWAY"))
    environment: str = attrs.field(default="production", validator=_text)
    hosts: Hosts | None = attrs.field(default=None, validator=_kind(Hosts, missing="seic.Hosts(api=..., mtls=...)"))
    client_id: str = attrs.field(validator=_text)
    client_secret: str | None = attrs.field(default=None, repr=hide, validator=_text)
    grant: Grant
    certificate: ClientCertificate | None = attrs.field(
        default=None, validator=_kind(ClientCertificate, missing="seic.ClientCertificate.load(...)")
    )
    ca: CA = attrs.field(default=None, repr=_ca_repr, validator=_kind(str, os.PathLike, bytes, missing="a path or PEM"))
    store: TokenStore | None = None
    advisory_refresh: float | None = None
    mandatory_refresh: float | None = None
    token_timeout: float = _TOKEN_TIMEOUT
    #: Where API calls go, and the token with them.
    origin: Origin = attrs.field(init=False, repr=False)
    #: The token endpoint's whole URL.
    token_url: str = attrs.field(init=False, repr=False)
    #: When tokens are renewed.
    windows: Windows = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check what needs more than one setting, and choose the host."""
        if not hasattr(self.grant, "grant_type"):
            raise ConfigurationError("grant: must be a grant such as seic.ClientCredentials(...)", field="grant")
        if not 0 < self.token_timeout < math.inf:
            raise ConfigurationError("token_timeout: must be seconds, more than 0", field="token_timeout")
        self.grant.check(self.provider)
        hosts = self.hosts or self._environment_hosts()
        named = None if self.hosts else self.environment
        origin = hosts.choose(certificate=self.certificate is not None, environment=named)
        # attrs' own way to set a derived value of a frozen class.
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "token_url", self._choose_token_url(origin))
        object.__setattr__(self, "windows", Windows(self.advisory_refresh, self.mandatory_refresh))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **changes: Any) -> Config:
        """Read the settings from `SEIC_*` variables, over those of the profile that `SEIC_PROFILE` names.

        Args:
            environ: The variables; None is the process's own.
            changes: Settings that stand above both.

        Raises:
            ConfigurationError: A variable is missing or malformed; its `field` is the variable's name.
            CertificateError: The certificate that they name cannot work.
        """
        return cls(**{**read_environment(os.environ if environ is None else environ), **changes})

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, profile: str = "default", **changes: Any) -> Config:
        """Read the settings from a table of a TOML file; its keys are the variables' names without `SEIC_`, lower case.

        Args:
            path: The file.
            profile: The table's name.
            changes: Settings that stand above the file's.

        Raises:
            ConfigurationError: The file or a key cannot be used; its `field` names it.
            CertificateError: The certificate that it names cannot work.
        """
        return cls(**{**read_profile(Path(path), profile), **changes})

    @property
    def base_url(self) -> str:
        """Where API calls go: the mutual-TLS host because there is a certificate, the API host because there is none."""
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
            self.grant.grant_type,
            sorted(named.items()),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _environment_hosts(self) -> Hosts:
        known = self.provider.environments
        if not known:
            raise ConfigurationError(
                f"hosts: {self.provider.name} has no hosts of its own; pass hosts=seic.Hosts(api=..., mtls=...)",
                field="hosts",
            )
        if self.environment not in known:
            names = " or ".join(repr(name) for name in known)
            raise ConfigurationError(
                f"environment: {self.provider.name} has no {self.environment!r}; take {names}, or pass hosts=",
                field="environment",
            )
        return known[self.environment]

    def _choose_token_url(self, origin: Origin) -> str:
        url = self.provider.token_url
        if url.startswith("/"):
            return f"{origin}{url}"
        # A whole URL: its origin is checked like every host, so that no secret is sent in clear.
        scheme, _, rest = url.partition("://")
        authority = rest.partition("/")[0]
        Origin.parse(
            f"{scheme}://{authority}", field="provider.token_url", allow_http_on_loopback=origin.scheme == "http"
        )
        return url


def _public_facts(grant: Grant) -> dict[str, object]:
    kind: type = type(grant)
    if not attrs.has(kind):
        return {}
    return {field.name: getattr(grant, field.name) for field in attrs.fields(kind) if field.repr is True}
