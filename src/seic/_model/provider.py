"""A provider: everything in which one dialect of OAuth 2.0 differs from another, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from seic._errors import ConfigurationError
from seic._model.hosts import Hosts, Origin
from seic._model.secrecy import Unpicklable, hide, tracelessly_made


class KeyedCertificate(Protocol):
    """What a proof needs of the client's certificate."""

    @property
    def x5t_s256(self) -> str:
        """SHA-256 of it, as base64url without padding (RFC 8705 §3.1)."""
        ...

    def reveal_key(self) -> bytes:
        """Return the private key: PKCS#8 in DER, not encrypted."""
        ...


class ClientAuthentication(Protocol):
    """How the client proves itself to the token endpoint (RFC 6749 §2.3): one small function over headers and form."""

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add what proves the client to `headers` or `form`, in place."""
        ...


def _is_path_or_url(provider: Provider, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None or attribute.default is not None:
        _check_url(f"provider.{attribute.name}", value)


def _check_url(field: str, value: object) -> None:
    # Two slashes make a host of what follows (RFC 3986 §4.2).
    if isinstance(value, str) and value.startswith("/") and not value.startswith("//"):
        return
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise ConfigurationError(f"{field}: must be a path such as '/oauth/token' or an https URL", field=field)
    scheme, _, rest = value.partition("://")
    # Whether http on loopback is wanted is the configuration's to say, by its hosts.
    Origin.parse(f"{scheme}://{rest.partition('/')[0]}", field=field, allow_http_on_loopback=True)


def _are_urls(provider: Provider, attribute: attrs.Attribute[Any], value: Mapping[str, str]) -> None:
    for name, url in value.items():
        _check_url(f"provider.{attribute.name}[{name!r}]", url)


@tracelessly_made
@attrs.frozen(kw_only=True)
class Provider:
    """One dialect of OAuth 2.0; a new one is a new value, no code.

    What a provider's documents leave open stays None here, and asking for it is an error that names the setting;
    `attrs.evolve(seic.SEI_PLATFORM, revocation_url="/...")` fills it in. A URL is a path below the chosen host, or a
    whole https URL.

    Args:
        token_url: The token endpoint.
        name: What errors and logs call it.
        environments: The known hosts by environment; empty where the user must pass `hosts`.
        grants: The `grant_type` of each grant that it offers; None where that is not known, and all are tried.
        issuer: Who the provider is, as its metadata says it (RFC 8414 §2): the audience of signed proofs. None is the
            token endpoint's URL in its place.
        mtls_endpoint_aliases: Where a client with a certificate finds the endpoints, by the names that the metadata has
            for them, such as `token_endpoint` (RFC 8705 §5).
        client_authentication: How the client proves itself; None is `client_secret_basic` (RFC 6749 §2.3.1).
        client_id_header: A header that carries the client id on token and API calls (the gateway's `AppKey`).
        common_name_is_username: Whether a client certificate's CN has to be the service account's name.
        username_field: The form field of the service account in `client_credentials`; None where there is none.
        session_token_field: The form field of the session token in the `sessionToken` grant.
        end_other_sessions_field: The field that ends the account's other sessions; None where there is no such thing.
        tracking_header: The response header that names a call, for the provider's support.
        idle_lifetime: Seconds after which an unused token is dead; None where there is no such limit.
        invalidate_grant_type: The `grant_type` that kills a token at the token endpoint; None where there is none.
        bare_401_means_token: Whether a 401 of the API that explains itself by neither challenge nor error body means a
            bad token. Only where the provider's documents say so: each such 401 costs a token request.
        authorize_url: Where a person logs in (RFC 6749 §3.1).
        authorize_scope: The scope of a login that names none.
        redirect_field: What the login calls the address that it returns to.
        redirect_on_token_call: Whether the token call repeats that address (RFC 6749 §4.1.3).
        issuer_in_callback: Whether a login's answer always names the issuer (RFC 9207), so that one without is refused.
        takes_pkce: Whether login and token call take a code challenge and its verifier (RFC 7636).
        code_lifetime: Seconds for which an authorization code lives, for messages.
        token_info_url: Where a token is described to who holds it, as on the SEI platform.
        introspection_url: Where a token is described to the client (RFC 7662).
        revocation_url: Where a token is revoked (RFC 7009).
        revocation_refresh_field: The form field of a refresh token that is revoked; None is the RFC's `token` with a
            hint.
        device_authorization_url: Where a login on another device begins (RFC 8628 §3.1).
        certificate_bound_tokens: Whether the provider says that it binds tokens to the client's certificate (RFC 8705
            §3.3), so that one that is not bound is told of.
        revocation_cascades: Whether revoking one token of a pair surely ends the other.
    """

    token_url: str = attrs.field(validator=_is_path_or_url)
    name: str = "the provider"
    environments: Mapping[str, Hosts] = attrs.field(factory=dict, hash=False)
    grants: frozenset[str] | None = None
    issuer: str | None = None
    mtls_endpoint_aliases: Mapping[str, str] = attrs.field(factory=dict, hash=False, validator=_are_urls)
    client_authentication: ClientAuthentication | None = None
    client_id_header: str | None = None
    common_name_is_username: bool = False
    username_field: str | None = None
    session_token_field: str | None = None
    end_other_sessions_field: str | None = None
    tracking_header: str | None = None
    idle_lifetime: float | None = None
    invalidate_grant_type: str | None = None
    bare_401_means_token: bool = False
    authorize_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    authorize_scope: str | None = None
    redirect_field: str = "redirect_uri"
    redirect_on_token_call: bool = True
    issuer_in_callback: bool = False
    takes_pkce: bool = True
    code_lifetime: float | None = None
    token_info_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    introspection_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    revocation_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    revocation_refresh_field: str | None = None
    revocation_cascades: bool = False
    device_authorization_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    certificate_bound_tokens: bool = False

    def hosts_of(self, environment: str, hosts: Hosts | None) -> Hosts:
        """Return the hosts that a user names, or else those of an environment.

        Raises:
            ConfigurationError: There are none.
        """
        if hosts is not None:
            return hosts
        known = self.environments
        if not known:
            raise ConfigurationError(
                f"hosts: {self.name} has no default hosts; set hosts=seic.Hosts(api=..., mtls=...)",
                field="hosts",
            )
        if environment not in known:
            names = " or ".join(repr(name) for name in known)
            raise ConfigurationError(
                f"environment: {self.name} has no {environment!r}; set {names}, or your own hosts with "
                "hosts=seic.Hosts(api=..., mtls=...)",
                field="environment",
            )
        return known[environment]

    def require(self, setting: str, purpose: str) -> str:
        """Return a setting that may be None.

        Args:
            setting: The attribute's name.
            purpose: What it is needed for, for the error.

        Raises:
            ConfigurationError: It is None; the message names it and how to fill it in.
        """
        value = getattr(self, setting)
        if not isinstance(value, str):
            raise ConfigurationError(
                f"provider.{setting}: {purpose} needs it, and no document of {self.name} names it; set it with "
                f"attrs.evolve(provider, {setting}=...)",
                field=f"provider.{setting}",
            )
        return value


@attrs.frozen(kw_only=True)
class RequestContext(Unpicklable):
    """The client and the circumstances of one request to a provider's endpoint.

    Args:
        provider: The dialect.
        token_url: The whole URL of the token endpoint, whichever endpoint the request goes to.
        client_id: The client's id.
        client_secret: Its secret; None if it has none.
        certificate: The certificate that the client presents on the connection; None if it presents none.
        now: Seconds since the epoch, for what is signed.
    """

    provider: Provider = attrs.field(repr=False)
    token_url: str
    client_id: str
    client_secret: str | None = attrs.field(default=None, repr=hide)
    certificate: KeyedCertificate | None = attrs.field(default=None, repr=False)
    now: float = 0.0

    @property
    def audience(self) -> str:
        """The audience of a signed proof (RFC 7523 §3): the issuer, or the token endpoint if no issuer is known."""
        return self.provider.issuer or self.token_url
