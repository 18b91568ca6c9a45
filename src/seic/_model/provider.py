"""`Provider`, one dialect of OAuth 2.0 as data; client authentication, and the context of a request to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from seic._errors import ConfigurationError
from seic._model.hosts import Hosts, Origin
from seic._model.secret import Unpicklable, hide, strip_frames_on_init
from seic._public import publish
from seic._values import frozen


class KeyedCertificate(Protocol):
    """The parts of a client certificate that client authentication needs."""

    @property
    def x5t_s256(self) -> str:
        """Its SHA-256 thumbprint, as base64url without padding (RFC 8705 §3.1)."""
        ...

    def reveal_key(self) -> bytes:
        """Return the private key as PKCS#8 in DER, not encrypted."""
        ...


class ClientAuthentication(Protocol):
    """A method of client authentication at the token endpoint (RFC 6749 §2.3)."""

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add the client's credentials to `headers` or `form`, in place."""
        ...


#: The longest URL of an endpoint, in characters: more than servers take. httpx's limit is 64 KiB, so a host and
#: parameters can be added.
MAX_URL_LENGTH = 16 * 1024


def _is_path_or_url(provider: Provider, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None or attribute.default is not None:
        _check_url(f"provider.{attribute.name}", value)


def _check_url(field: str, value: object) -> None:
    if isinstance(value, str) and len(value) > MAX_URL_LENGTH:
        raise ConfigurationError(f"{field}: must not be longer than {MAX_URL_LENGTH} characters", field=field)
    # After two slashes comes a host (RFC 3986 §4.2).
    if isinstance(value, str) and value.startswith("/") and not value.startswith("//"):
        return
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise ConfigurationError(f"{field}: must be a path such as '/oauth/token' or an https URL", field=field)
    scheme, _, rest = value.partition("://")
    # Config checks it against its hosts, which say whether http on loopback is allowed.
    Origin.parse(f"{scheme}://{rest.partition('/')[0]}", field=field, allow_http_on_loopback=True)


def _is_scheme(provider: Provider, attribute: attrs.Attribute[Any], value: object) -> None:
    # RFC 9110 §5.6.2.
    if not isinstance(value, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ConfigurationError(
            f"provider.{attribute.name}: must be a scheme such as 'Bearer' or 'Zoho-oauthtoken', without spaces",
            field=f"provider.{attribute.name}",
        )


def _are_urls(provider: Provider, attribute: attrs.Attribute[Any], value: Mapping[str, str]) -> None:
    for name, url in value.items():
        _check_url(f"provider.{attribute.name}[{name!r}]", url)


@strip_frames_on_init
@frozen(kw_only=True)
class Provider:
    """One dialect of OAuth 2.0; a new provider is a new value, without code.

    A setting that the provider's documents do not name is None, and its use is an error that names the setting; set it
    with `attrs.evolve(seic.SEI_PLATFORM, revocation_url="/...")`. A URL is a path on the chosen host, or an absolute
    https URL.

    Args:
        token_url: The token endpoint. None reads all endpoints from the metadata of `issuer` with the first token.
        name: Its name in errors and logs.
        environments: The known hosts by environment; empty if the user must set `hosts`.
        grants: The `grant_type` of each grant that it offers; None if that is not known, which allows all.
        issuer: The issuer identifier in its metadata (RFC 8414 §2), which is the audience of signed assertions. None
            makes the token endpoint's URL the audience.
        mtls_endpoint_aliases: The URLs for clients with a certificate, by the names of the endpoints in the metadata,
            such as `token_endpoint` (RFC 8705 §5).
        client_authentication: The method of client authentication; None is `client_secret_basic` (RFC 6749 §2.3.1).
        client_id_header: A header with the client id in token and API requests (the gateway's `AppKey`).
        common_name_is_username: Whether the CN of a client certificate must be the service account's name.
        username_field: The form field of the service account in `client_credentials`; None if there is none.
        session_token_field: The form field of the session token in the `sessionToken` grant.
        end_other_sessions_field: The field that ends the account's other sessions; None if there is none.
        tracking_header: The response header with the id of a request, for the provider's support.
        idle_lifetime: Seconds after which an unused token expires; None if there is no such limit.
        invalidate_grant_type: The `grant_type` that revokes a token at the token endpoint; None if there is none.
        bare_401_means_token: Whether a 401 of the API without a challenge and an error means an invalid token, so that
            the request is sent again with a new one.
        token_error_codes: Codes of the API's 401 that mean an invalid token; codes that name the token need no entry.
        error_code_field: The member of an error document with its code, if it is not one of the usual ones; a path such
            as `fault.detail.errorcode`, in which a number is an index of a list. An answer that has it is an error,
            whatever its status.
        error_description_field: The member with the description, in the same form.
        page_cursor_field: The member of a page with the cursor or the URL of the next page, for `client.pages`; a path
            such as `meta.next`. A `?` at its end says that even the first page may lack it; otherwise that is an error,
            because the name may be wrong. None is for APIs with `Link` headers (RFC 8288), and an error for a page that
            says that there are more.
        page_cursor_parameter: The parameter that takes the cursor; None if the member is the URL of the next page.
        bearer_token_types: Values of `token_type` that mean a bearer token, in any case; `Bearer` needs no entry.
        authorization_scheme: The scheme of `Authorization` in API requests, and of the API's challenges.
        authorize_url: The authorization endpoint, for logins (RFC 6749 §3.1).
        authorize_scope: The default scope of a login.
        redirect_field: The parameter of the redirect URI.
        redirect_on_token_call: Whether the token request repeats the redirect URI (RFC 6749 §4.1.3).
        issuer_in_callback: Whether a callback always names the issuer (RFC 9207); one without it is then refused.
        login_demands: Demands of the provider that a login of seic does not meet, by their names in the metadata, such
            as `require_pushed_authorization_requests` (RFC 9126 §5), or lists of responses without the one that seic
            reads; a login is then an error.
        takes_pkce: Whether login and token request take a code challenge and its verifier (RFC 7636).
        code_lifetime: Lifetime of an authorization code in seconds, for messages.
        token_info_url: The endpoint that describes a token to its holder, as on the SEI platform.
        introspection_url: The introspection endpoint (RFC 7662).
        revocation_url: The revocation endpoint (RFC 7009).
        revocation_refresh_field: The form field of a refresh token in a revocation; None is the RFC's `token` with a
            hint.
        device_authorization_url: The device authorization endpoint (RFC 8628 §3.1).
        certificate_bound_tokens: Whether the provider announces tokens that are bound to the client's certificate (RFC
            8705 §3.3); a token that is not bound is then reported as an event.
        revocation_cascades: Whether revoking one token of a pair is certain to revoke the other.
    """

    token_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
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
    bare_401_means_token: bool = True
    token_error_codes: frozenset[str] = frozenset()
    error_code_field: str | None = None
    error_description_field: str | None = None
    page_cursor_field: str | None = None
    page_cursor_parameter: str | None = None
    bearer_token_types: frozenset[str] = frozenset({"BearerToken"})
    authorization_scheme: str = attrs.field(default="Bearer", validator=_is_scheme)
    authorize_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    authorize_scope: str | None = None
    redirect_field: str = "redirect_uri"
    redirect_on_token_call: bool = True
    issuer_in_callback: bool = False
    login_demands: tuple[str, ...] = ()
    takes_pkce: bool = True
    code_lifetime: float | None = None
    token_info_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    introspection_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    revocation_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    revocation_refresh_field: str | None = None
    revocation_cascades: bool = False
    device_authorization_url: str | None = attrs.field(default=None, validator=_is_path_or_url)
    certificate_bound_tokens: bool = False

    def __attrs_post_init__(self) -> None:
        """Require a token endpoint, or an issuer whose metadata names it."""
        if self.token_url is None and self.issuer is None:
            raise ConfigurationError(
                "provider.token_url: missing; set the URL of the token endpoint, or issuer=... to read it from the "
                "provider's metadata",
                field="provider.token_url",
            )

    def hosts_of(self, environment: str, hosts: Hosts | None) -> Hosts:
        """Return the hosts that the user set, or else those of an environment.

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
            purpose: The operation that needs it, for the error.

        Raises:
            ConfigurationError: It is None; the message says how to set it.
        """
        value = getattr(self, setting)
        if not isinstance(value, str) and self.token_url is None:
            raise ConfigurationError(
                f"provider.{setting}: {purpose} needs it, and it is read from the metadata of {self.issuer} with the "
                "first token only; pass provider=await seic.discover(issuer)",
                field=f"provider.{setting}",
            )
        if not isinstance(value, str):
            raise ConfigurationError(
                f"provider.{setting}: {purpose} needs it, and the documents of {self.name} do not name it; set it with "
                f"attrs.evolve(provider, {setting}=...)",
                field=f"provider.{setting}",
            )
        return value

    def require_login(self) -> str:
        """Return the URL of the authorization endpoint, for a login.

        Raises:
            ConfigurationError: There is none, or no grant for it, or a login must do there what seic does not do.
        """
        url = self.require("authorize_url", "a login")
        if self.grants is not None and "authorization_code" not in self.grants:
            raise ConfigurationError(
                f"provider.grants: {self.name} does not offer the grant authorization_code, which a login needs; if it "
                "does, add it with attrs.evolve(provider, grants=...)",
                field="provider.grants",
            )
        if self.login_demands:
            raise ConfigurationError(
                f"provider.login_demands: {self.name} refuses a login without {' and '.join(self.login_demands)}, and "
                "seic does not support that; ask the provider to register the client without it, and then set "
                "attrs.evolve(provider, login_demands=())",
                field="provider.login_demands",
            )
        return url


@frozen(kw_only=True)
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


publish("seic", ["ClientAuthentication", "KeyedCertificate", "Provider", "RequestContext"], globals())
