"""Authorization server metadata (RFC 8414, OpenID Connect Discovery): its URLs, and a strict parser.

Metadata decides where secrets are sent, so every malformed member is an error; none is left out. `seic._discovery`
sends the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import attrs
import httpx

from seic._errors import ConfigurationError, InvalidTokenResponse
from seic._model.provider import ClientAuthentication, Provider
from seic._oauth.addresses import is_private
from seic._oauth.assertion_auth import ClientSecretJwt, PrivateKeyJwt
from seic._oauth.authorize import CHALLENGE_METHOD
from seic._oauth.client_auth import (
    ClientIdOnly,
    ClientSecretBasic,
    ClientSecretPost,
    SelfSignedTlsClientAuth,
    TlsClientAuth,
)
from seic._oauth.form_request import origin_of
from seic._oauth.json_body import JsonBodyError, as_utf8, read_document
from seic._oauth.redact import sanitize
from seic._values import frozen

#: The provider's settings and their names in the metadata.
_ENDPOINTS = {
    "token_url": "token_endpoint",
    "authorize_url": "authorization_endpoint",
    "revocation_url": "revocation_endpoint",
    "introspection_url": "introspection_endpoint",
    "device_authorization_url": "device_authorization_endpoint",
}
#: The methods by their names (RFC 8414 §2, OpenID Connect Core §9), in the order of preference: first those that need
#: only id and secret, which most users have.
CLIENT_AUTHENTICATIONS: dict[str, ClientAuthentication] = {
    "client_secret_basic": ClientSecretBasic(),
    "client_secret_post": ClientSecretPost(),
    "tls_client_auth": TlsClientAuth(),
    "self_signed_tls_client_auth": SelfSignedTlsClientAuth(),
    "private_key_jwt": PrivateKeyJwt(),
    "client_secret_jwt": ClientSecretJwt(),
    "none": ClientIdOnly(),
}

#: Demands of providers that a login of seic does not meet (RFC 9126 §5, RFC 9101 §10.5).
_LOGIN_DEMANDS = ("require_pushed_authorization_requests", "require_signed_request_object")
#: A login's type and mode of response, by the lists that must have them if there are any (RFC 8414 §2).
_LOGIN_RESPONSES = {"response_types_supported": "code", "response_modes_supported": "query"}
#: The members that are read; a defect of another one does not matter.
_MEMBERS = {
    "issuer",
    "mtls_endpoint_aliases",
    "token_endpoint_auth_methods_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
    "tls_client_certificate_bound_access_tokens",
    *_ENDPOINTS.values(),
    *_LOGIN_DEMANDS,
    *_LOGIN_RESPONSES,
}


def metadata_urls(issuer: str, *, allow_http_on_loopback: bool = False) -> tuple[str, str]:
    """Return the two metadata URLs of an issuer: of RFC 8414 §3.1, and of OpenID Connect Discovery §4.

    Args:
        issuer: The issuer, exactly as the provider writes it.
        allow_http_on_loopback: Whether `http://` is allowed for a loopback address.

    Raises:
        ConfigurationError: It is not an https URL, or has a query or a fragment (RFC 8414 §2).
    """
    origin_of("issuer", issuer, allow_http=allow_http_on_loopback)
    url = httpx.URL(issuer)
    try:
        # httpx decodes the host for each request, and raises what idna raises.
        url.host  # noqa: B018
    except (httpx.InvalidURL, UnicodeError):
        raise ConfigurationError("issuer: its host is not a valid name", field="issuer") from None
    if "?" in issuer or "#" in issuer:
        raise ConfigurationError("issuer: must have no query and no fragment (RFC 8414 §2)", field="issuer")
    path = url.path.rstrip("/")
    return (
        str(url.copy_with(path=f"/.well-known/oauth-authorization-server{path}")),
        str(url.copy_with(path=f"{path}/.well-known/openid-configuration")),
    )


def parse_metadata(
    body: bytes,
    *,
    issuer: str,
    base: Provider | None = None,
    client_authentication: ClientAuthentication | None = None,
    allow_http_on_loopback: bool = False,
) -> Provider:
    """Parse an issuer's metadata into a provider.

    Args:
        body: The document.
        issuer: The issuer: the document must name exactly this one (RFC 8414 §3.3).
        base: A provider whose other settings are kept.
        client_authentication: The client's authentication method; None chooses one that the provider supports.
        allow_http_on_loopback: Whether `http://` is allowed for a loopback address.

    Raises:
        InvalidTokenResponse: It is not metadata, or another issuer's, or names a URL that must not be used.
        ConfigurationError: The provider does not support the client authentication.
    """
    problem = None
    document: Mapping[str, object] = {}
    try:
        document = read_document(as_utf8(body), members=_MEMBERS)
    except JsonBodyError as defect:
        problem = str(defect)
    if problem is not None:
        _invalid(issuer, problem)
    if document.get("issuer") != issuer:
        said = document.get("issuer")
        named = sanitize(said) if isinstance(said, str) else "none"
        _invalid(
            issuer,
            f"issuer must be exactly {issuer!r}, and is {named!r}; ask the provider for its exact spelling, and set "
            "provider.issuer to it",
        )
    reader = _Reader(document, issuer, allow_http=allow_http_on_loopback)
    endpoints = {setting: url for setting, name in _ENDPOINTS.items() if (url := reader.url(name)) is not None}
    if "token_url" not in endpoints:
        _invalid(issuer, "token_endpoint is missing")
    methods = reader.texts("token_endpoint_auth_methods_supported")
    grants = reader.texts("grant_types_supported")
    challenges = reader.texts("code_challenge_methods_supported")
    start = base or Provider(token_url=endpoints["token_url"], name=httpx.URL(issuer).raw_host.decode("ascii"))
    provider = attrs.evolve(
        start,
        issuer=issuer,
        # A provider that issues refresh tokens takes them, listed or not: the RFC's default does not list them (§2).
        grants=None if grants is None else frozenset({*grants, "refresh_token"}),
        client_authentication=_choose(client_authentication or start.client_authentication, methods),
        # An empty list means no PKCE by the RFC, but many servers without the list support it; others ignore it (RFC
        # 6749 §3.1).
        takes_pkce=start.takes_pkce if challenges is None else CHALLENGE_METHOD in challenges,
        login_demands=(*filter(reader.flag, _LOGIN_DEMANDS), *reader.foreign_responses()),
        issuer_in_callback=reader.flag("authorization_response_iss_parameter_supported"),
        mtls_endpoint_aliases=reader.aliases(),
        certificate_bound_tokens=reader.flag("tls_client_certificate_bound_access_tokens"),
    )
    changes: dict[str, Any] = dict(endpoints)
    return attrs.evolve(provider, **changes)


@frozen
class _Reader:
    document: Mapping[str, object]
    issuer: str
    allow_http: bool = attrs.field(kw_only=True)

    def url(self, name: str) -> str | None:
        # Some servers write an empty string for an endpoint that they do not have.
        return self._checked(name, self.document.get(name) or None)

    def aliases(self) -> dict[str, str]:
        value = self.document.get("mtls_endpoint_aliases")
        if value is None:
            return {}
        if not isinstance(value, dict):
            _invalid(self.issuer, "mtls_endpoint_aliases must be an object")
        wanted = set(_ENDPOINTS.values())
        found = {
            name: self._checked(f"mtls_endpoint_aliases.{name}", url) for name, url in value.items() if name in wanted
        }
        return {name: url for name, url in found.items() if url is not None}

    def texts(self, name: str) -> Sequence[str] | None:
        value = self.document.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            # A list of one.
            return [value]
        if not isinstance(value, list):
            _invalid(self.issuer, f"{name} must be a list of strings")
        texts = [each for each in value if isinstance(each, str)]
        if len(texts) != len(value):
            _invalid(self.issuer, f"{name} must be a list of strings")
        return texts

    def foreign_responses(self) -> list[str]:
        """Return what a login cannot answer to, in words: lists of responses without the one that seic reads."""
        lists = {name: self.texts(name) for name in _LOGIN_RESPONSES}
        return [
            f"one of {name} ({', '.join(map(sanitize, texts))})"
            for name, texts in lists.items()
            if texts and _LOGIN_RESPONSES[name] not in texts
        ]

    def flag(self, name: str) -> bool:
        value = self.document.get(name)
        if value is None:
            return False
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            _invalid(self.issuer, f"{name} must be a boolean")
        return value

    def _checked(self, name: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            _invalid(self.issuer, f"{name} must be a string")
        problem = None
        try:
            endpoint = origin_of(name, value, allow_http=self.allow_http)
        except ConfigurationError as error:
            problem = error.message
        else:
            if "#" in value:
                problem = f"{name}: has a fragment (RFC 6749 §3.2)"
            elif is_private(endpoint.host) and not is_private(httpx.URL(self.issuer).raw_host.decode("ascii")):
                # Metadata from outside must not direct the client's credentials to machines behind the firewall.
                problem = f"{name}: {endpoint.host} is not a public address, but the issuer has one"
        if problem is not None:
            _invalid(self.issuer, problem)
        return value


def _choose(configured: ClientAuthentication | None, methods: Sequence[str] | None) -> ClientAuthentication | None:
    if methods is None:
        # Without a list it is client_secret_basic (RFC 8414 §2), which is a provider's default.
        return configured
    offered = ", ".join(sanitize(each) for each in methods) or "none"
    if configured is None:
        known = next((method for name, method in CLIENT_AUTHENTICATIONS.items() if name in methods), None)
        if known is None:
            raise ConfigurationError(
                f"client_authentication: the provider offers {offered}, and seic supports "
                f"{', '.join(CLIENT_AUTHENTICATIONS)}; pass client_authentication=..., either one of these that the "
                "provider takes although it does not list it, or your own",
                field="client_authentication",
            )
        return known
    name = next((name for name, method in CLIENT_AUTHENTICATIONS.items() if type(method) is type(configured)), None)
    if name is not None and name not in methods:
        raise ConfigurationError(
            f"client_authentication: the provider does not offer {name}; it offers {offered}",
            field="client_authentication",
        )
    return configured


def _invalid(issuer: str, problem: str) -> NoReturn:
    words = sanitize(problem)
    raise InvalidTokenResponse(f"the metadata of {issuer} cannot be used: {words}", problem=words)
