"""The plain OAuth 2.0 provider: JWT access tokens, revocation, introspection, metadata and keys.

Its documents describe only `POST /oauth/v2/token` with Basic authentication and `client_credentials`; the other
endpoints follow the RFCs.
"""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from aiohttp import hdrs, web

from seic.sandbox._dialects.jwt_signer import JwtSigner
from seic.sandbox._error_responses import (
    SCOPE_INVALID,
    TARGET_INVALID,
    ErrorResponse,
    InvalidField,
    JsonBody,
    authentication_failure,
    invalid_request,
    unknown_resource,
)
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._request_reader import Form, read_basic, read_post, required, same, select_grant
from seic.sandbox._token_registry import InactiveToken, TokenFamily, TokenRecord, TokenRegistry

OAUTH2_TOKEN_PATH = "/oauth/v2/token"
OAUTH2_REVOCATION_PATH = "/oauth/v2/revoke"
INTROSPECTION_PATH = "/oauth/v2/introspect"
KEYS_PATH = "/oauth/v2/keys"
#: RFC 8414 §3.
METADATA_PATH = "/.well-known/oauth-authorization-server"

#: The API needs `read` for a GET and `write` for other methods; a token request without a scope gets both.
_SCOPES = ("read", "write")
_CHALLENGE = 'Basic realm="seic sandbox", charset="UTF-8"'
_GRANT_TYPE = "client_credentials"


@attrs.frozen(kw_only=True)
class ProviderUrls:
    """The base URLs of the provider.

    Args:
        issuer: The host without a client certificate.
        mtls: The host with a client certificate; None if it is unknown.
    """

    issuer: str
    mtls: str | None


@attrs.frozen(eq=False, repr=False)
class OAuth2Endpoints:
    """The endpoints of one issuer.

    Args:
        registration: The registered application and account.
        registry: The tokens of all dialects.
        urls_for: Returns the base URLs for a request.
        path: The path of the issuer; empty for the provider itself.
    """

    registration: Registration
    registry: TokenRegistry
    urls_for: Callable[[web.BaseRequest], ProviderUrls]
    path: str = ""
    _signer: JwtSigner = attrs.field(factory=JwtSigner, init=False)

    async def token(self, request: web.BaseRequest, peer: Peer | None) -> JsonBody:
        """Return the response to a token request.

        Raises:
            ErrorResponse: The request is invalid.
        """
        form = await self._read_client_form(request, peer)
        select_grant(form, {_GRANT_TYPE: None})
        family = TokenFamily(
            dialect="oauth2",
            username=self.registration.client_id,
            # RFC 8705 §3: a token requested with a certificate is bound to it.
            thumbprint=None if peer is None else peer.thumbprint,
            scope=_scope(form),
            issuer_path=self.path,
        )
        issuer = self.urls_for(request).issuer + self.path
        token, record = self._issue(family, issuer=issuer, audience=_audience(form) or issuer)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(record.seconds_left),
            "scope": family.scope,
        }

    def _issue(
        self, family: TokenFamily, *, issuer: str, audience: str, claims: Mapping[str, Any] | None = None
    ) -> tuple[str, TokenRecord]:
        claims = {} if claims is None else claims

        def make_token(record: TokenRecord) -> str:
            payload = {**_claims(record, issuer=issuer, audience=audience), **claims}
            kept = {name: value for name, value in payload.items() if value is not None}
            return self._signer.sign(kept, typ="at+jwt")

        expires_at = claims.get("exp")
        left = expires_at - self.registry.now() if isinstance(expires_at, int | float) else None
        return self.registry.issue(family, make_token, seconds_left=left)

    def issue(self, base_url: str, claims: Mapping[str, Any], *, thumbprint: str | None) -> str:
        """Return an access token without a request.

        Args:
            base_url: The host of the issuer.
            claims: They replace those of a token request; None removes a claim.
            thumbprint: The client certificate that the token is bound to; None for no binding.
        """
        issuer = base_url + self.path
        scope = claims.get("scope", " ".join(_SCOPES))
        family = TokenFamily(
            dialect="oauth2",
            username=self.registration.client_id,
            thumbprint=thumbprint,
            scope=scope if isinstance(scope, str) else "",
            issuer_path=self.path,
        )
        return self._issue(family, issuer=issuer, audience=issuer, claims=claims)[0]

    async def revoke(self, request: web.BaseRequest, peer: Peer | None) -> web.Response:
        """Revoke a token; an inactive token causes no error (RFC 7009 §2.2).

        Raises:
            ErrorResponse: The request is invalid.
        """
        form = await self._read_client_form(request, peer)
        (token,) = required(form, "token")
        family = self.registry.family_of(token)
        if family is not None and family.dialect == "oauth2" and family.issuer_path == self.path:
            self.registry.revoke_family(family)
        return web.Response(status=200)

    async def introspect(self, request: web.BaseRequest, peer: Peer | None) -> JsonBody:
        """Return the state of a token (RFC 7662 §2.2).

        Raises:
            ErrorResponse: The request is invalid.
        """
        form = await self._read_client_form(request, peer)
        (token,) = required(form, "token")
        try:
            record = self.registry.find(token, "oauth2")
        except InactiveToken:
            return {"active": False}
        family = record.family
        if family.issuer_path != self.path:
            return {"active": False}
        issued = record.issued_at // 1000
        return {
            "active": True,
            "token_type": "Bearer",
            "client_id": family.username,
            "sub": family.username,
            "scope": family.scope,
            "iss": self.urls_for(request).issuer + self.path,
            "iat": issued,
            "exp": issued + int(self.registry.active_lifetime),
            **_confirmation(family),
        }

    async def metadata(self, request: web.BaseRequest, _peer: Peer | None) -> JsonBody:
        """Return the metadata of the provider (RFC 8414 §2).

        Raises:
            ErrorResponse: The method is not GET.
        """
        _check_get(request)
        urls = self.urls_for(request)
        issuer = urls.issuer + self.path
        metadata: dict[str, Any] = {
            "issuer": issuer,
            **_endpoints(issuer),
            "jwks_uri": f"{issuer}{KEYS_PATH}",
            "scopes_supported": list(_SCOPES),
            # RFC 8414 §2 requires the member; there is no authorization endpoint.
            "response_types_supported": [],
            "grant_types_supported": [_GRANT_TYPE],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "tls_client_auth"],
            "tls_client_certificate_bound_access_tokens": True,
        }
        if urls.mtls is not None:
            # RFC 8705 §5
            metadata["mtls_endpoint_aliases"] = _endpoints(urls.mtls + self.path)
        return metadata

    async def keys(self, request: web.BaseRequest, _peer: Peer | None) -> JsonBody:
        """Return the keys that verify the access tokens (RFC 7517 §5).

        Raises:
            ErrorResponse: The method is not GET.
        """
        _check_get(request)
        return {"keys": [self._signer.public_jwk]}

    async def _read_client_form(self, request: web.BaseRequest, peer: Peer | None) -> Form:
        form = await read_post(request)
        if "client_secret" in form:
            raise invalid_request(
                "The client_secret must be only in the Authorization header.",
                InvalidField("client_secret", "body", "must not be in the form"),
            )
        known = self.registration
        if peer is not None and hdrs.AUTHORIZATION not in request.headers and "client_id" in form:
            # RFC 8705 §2.1: the certificate, with the registered subject, authenticates the client.
            if not same(form["client_id"], known.client_id) or peer.common_name != known.username:
                raise authentication_failure("The client_id is unknown, or the certificate is not the client's.")
            return form
        pair = read_basic(request, expected="Basic of client_id:client_secret, both form-encoded", challenge=_CHALLENGE)
        client_id, client_secret = (_decode(half) for half in pair)
        if not (same(client_id, known.client_id) & same(client_secret, known.client_secret)):
            raise authentication_failure("The client_id or the client_secret is wrong.", challenge=_CHALLENGE)
        if not same(form.get("client_id", client_id), client_id):
            raise invalid_request("The client_id of the form and the one of the Authorization header differ.")
        return form


def _decode(half: str) -> str:
    """Decode the user or the password of Basic authentication (RFC 6749 §2.3.1)."""
    try:
        return urllib.parse.unquote_plus(half, errors="strict")
    except ValueError:
        raise authentication_failure("The credentials are not form-encoded UTF-8.", challenge=_CHALLENGE) from None


def _scope(form: Form) -> str:
    scopes = form.get("scope", " ".join(_SCOPES)).split(" ")
    if not set(scopes) <= set(_SCOPES) or len(set(scopes)) != len(scopes):
        field = InvalidField("scope", "body", f"must be of: {' '.join(_SCOPES)}")
        raise ErrorResponse(400, SCOPE_INVALID, "The scope is unknown or malformed.", fields=[field])
    return " ".join(scopes)


def _audience(form: Form) -> str | None:
    resource = form.get("resource")
    if resource is None:
        return form.get("audience")
    # RFC 8707 §2: an absolute URI without a fragment.
    scheme, _, rest = resource.partition(":")
    if not scheme.isalnum() or not rest or "#" in resource:
        field = InvalidField("resource", "body", "must be an absolute URI without a fragment")
        raise ErrorResponse(400, TARGET_INVALID, "The resource is malformed.", fields=[field])
    return resource


def _claims(record: TokenRecord, *, issuer: str, audience: str) -> Mapping[str, Any]:
    # RFC 9068 §2.2
    issued = record.issued_at // 1000
    return {
        "iss": issuer,
        "sub": record.family.username,
        "aud": audience,
        "client_id": record.family.username,
        "iat": issued,
        "exp": issued + int(record.seconds_left),
        "jti": str(uuid.uuid4()),
        "scope": record.family.scope,
        **_confirmation(record.family),
    }


def _confirmation(family: TokenFamily) -> Mapping[str, Any]:
    # RFC 8705 §3.1 and §3.2
    return {} if family.thumbprint is None else {"cnf": {"x5t#S256": family.thumbprint}}


def _endpoints(issuer: str) -> Mapping[str, str]:
    return {
        "token_endpoint": f"{issuer}{OAUTH2_TOKEN_PATH}",
        "revocation_endpoint": f"{issuer}{OAUTH2_REVOCATION_PATH}",
        "introspection_endpoint": f"{issuer}{INTROSPECTION_PATH}",
    }


def _check_get(request: web.BaseRequest) -> None:
    if request.method != "GET":
        raise unknown_resource("This endpoint accepts only GET.")
