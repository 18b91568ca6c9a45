"""The plain provider, by the RFCs: tokens as JWTs, revocation, introspection, metadata. No socket and no counting here.

Its documents know `POST /oauth/v2/token` with Basic and `client_credentials`; the other endpoints are the standards'.
"""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs
from aiohttp import hdrs, web

from seic.sandbox._dialects.jwt_signer import JwtSigner
from seic.sandbox._error_responses import (
    SCOPE_INVALID,
    TARGET_INVALID,
    ErrorResponse,
    InvalidField,
    authentication_failure,
    invalid_request,
    unknown_grant_type,
    unknown_resource,
)
from seic.sandbox._form import Form, read_basic, read_post, required, same
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._token_registry import InactiveToken, TokenFamily, TokenRecord, TokenRegistry

OAUTH2_TOKEN_PATH = "/oauth/v2/token"
OAUTH2_REVOCATION_PATH = "/oauth/v2/revoke"
INTROSPECTION_PATH = "/oauth/v2/introspect"
KEYS_PATH = "/oauth/v2/keys"
#: RFC 8414 §3.
METADATA_PATH = "/.well-known/oauth-authorization-server"
#: What the API asks for: `read` for a GET, `write` for anything else. A token call that names none gets both.
SCOPES = ("read", "write")

_CHALLENGE = 'Basic realm="seic sandbox", charset="UTF-8"'
_GRANT_TYPE = "client_credentials"

_Answer: TypeAlias = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class ProviderUrls:
    """Where the provider is reached.

    Args:
        issuer: The host that asks for no client certificate.
        mtls: The host that demands one; None where that is not known.
    """

    issuer: str
    mtls: str | None


class OAuth2Endpoints:
    """Answers the plain provider's calls.

    Args:
        registration: Who is known.
        registry: The tokens.
        addresses: Tells where the caller reaches the provider.
    """

    def __init__(
        self, registration: Registration, registry: TokenRegistry, addresses: Callable[[web.BaseRequest], ProviderUrls]
    ) -> None:
        self._registration = registration
        self._registry = registry
        self._addresses = addresses
        self._signer = JwtSigner()

    async def token(self, request: web.BaseRequest, peer: Peer | None) -> _Answer:
        """Return the reply to a token call.

        Raises:
            ErrorResponse: The request breaks one of the rules.
        """
        form = await self._read_client_form(request, peer)
        (grant_type,) = required(form, "grant_type")
        if grant_type != _GRANT_TYPE:
            raise unknown_grant_type([_GRANT_TYPE])
        family = TokenFamily(
            dialect="plain",
            username=self._registration.client_id,
            # RFC 8705 §3: whoever shows a certificate gets a token that is bound to it.
            thumbprint=None if peer is None else peer.thumbprint,
            scope=_scope(form),
        )
        issuer = self._addresses(request).issuer
        audience = _audience(form) or issuer
        token, record = self._registry.issue(
            family, lambda record: self._signer.sign(_claims(record, issuer=issuer, audience=audience), kind="at+jwt")
        )
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(record.seconds_left),
            "scope": family.scope,
        }

    async def revoke(self, request: web.BaseRequest, peer: Peer | None) -> web.Response:
        """Kill a token; one that is dead already is dead (RFC 7009 §2.2).

        Raises:
            ErrorResponse: The request breaks one of the rules.
        """
        form = await self._read_client_form(request, peer)
        (token,) = required(form, "token")
        family = self._registry.family_of(token)
        if family is not None and family.dialect == "plain":
            self._registry.revoke_family(family)
        return web.Response(status=200)

    async def introspect(self, request: web.BaseRequest, peer: Peer | None) -> _Answer:
        """Return what is known of a token (RFC 7662 §2.2); of a dead one, only that it is.

        Raises:
            ErrorResponse: The request breaks one of the rules.
        """
        form = await self._read_client_form(request, peer)
        (token,) = required(form, "token")
        try:
            record = self._registry.find(token)
        except InactiveToken:
            return {"active": False}
        family = record.family
        if family.dialect != "plain":
            return {"active": False}
        issued = record.issued_at // 1000
        return {
            "active": True,
            "token_type": "Bearer",
            "client_id": family.username,
            "sub": family.username,
            "scope": family.scope,
            "iss": self._addresses(request).issuer,
            "iat": issued,
            "exp": issued + int(self._registry.active_lifetime),
            **_confirmation(family),
        }

    async def metadata(self, request: web.BaseRequest, _peer: Peer | None) -> _Answer:
        """Return the provider's own description (RFC 8414 §2).

        Raises:
            ErrorResponse: The method is another.
        """
        _demand_get(request)
        addresses = self._addresses(request)
        issuer = addresses.issuer
        answer: dict[str, Any] = {
            "issuer": issuer,
            **_endpoints(issuer),
            "jwks_uri": f"{issuer}{KEYS_PATH}",
            "scopes_supported": list(SCOPES),
            # RFC 8414 §2 demands the member; there is no login here.
            "response_types_supported": [],
            "grant_types_supported": [_GRANT_TYPE],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "tls_client_auth"],
            "tls_client_certificate_bound_access_tokens": True,
        }
        if addresses.mtls is not None:
            # RFC 8705 §5
            answer["mtls_endpoint_aliases"] = _endpoints(addresses.mtls)
        return answer

    async def keys(self, request: web.BaseRequest, _peer: Peer | None) -> _Answer:
        """Return the keys that verify the tokens (RFC 7517 §5).

        Raises:
            ErrorResponse: The method is another.
        """
        _demand_get(request)
        return {"keys": [self._signer.public_jwk]}

    async def _read_client_form(self, request: web.BaseRequest, peer: Peer | None) -> Form:
        form = await read_post(request)
        if "client_secret" in form:
            raise invalid_request(
                "The client_secret belongs in the Authorization header alone.",
                InvalidField("client_secret", "body", "must not stand in the form"),
            )
        known = self._registration
        if peer is not None and hdrs.AUTHORIZATION not in request.headers and "client_id" in form:
            # RFC 8705 §2.1: the certificate is the proof; its subject is registered.
            if not same(form["client_id"], known.client_id) or peer.common_name != known.username:
                raise authentication_failure("The client_id is unknown, or the certificate is not the client's.")
            return form
        pair = read_basic(request, expected="Basic of client_id:client_secret, both form-encoded", challenge=_CHALLENGE)
        client_id, client_secret = (_decode(half) for half in pair)
        if not (same(client_id, known.client_id) & same(client_secret, known.client_secret)):
            raise authentication_failure("The client_id or the client_secret is wrong.", challenge=_CHALLENGE)
        if not same(form.get("client_id", client_id), client_id):
            raise invalid_request("The client_id of the form is another than that of the Authorization header.")
        return form


def _decode(half: str) -> str:
    """Undo the form encoding of one half of Basic (RFC 6749 §2.3.1)."""
    try:
        return urllib.parse.unquote_plus(half, errors="strict")
    except ValueError:
        raise authentication_failure("The credentials are not form-encoded UTF-8.", challenge=_CHALLENGE) from None


def _scope(form: Form) -> str:
    wanted = form.get("scope", " ".join(SCOPES)).split(" ")
    if not set(wanted) <= set(SCOPES) or len(set(wanted)) != len(wanted):
        fault = InvalidField("scope", "body", f"must be of: {' '.join(SCOPES)}")
        raise ErrorResponse(400, SCOPE_INVALID, "The scope is unknown or malformed.", faults=[fault])
    return " ".join(wanted)


def _audience(form: Form) -> str | None:
    resource = form.get("resource")
    if resource is None:
        return form.get("audience")
    # RFC 8707 §2: an absolute URI without a fragment.
    scheme, _, rest = resource.partition(":")
    if not scheme.isalnum() or not rest or "#" in resource:
        fault = InvalidField("resource", "body", "must be an absolute URI without a fragment")
        raise ErrorResponse(400, TARGET_INVALID, "The resource is malformed.", faults=[fault])
    return resource


def _claims(record: TokenRecord, *, issuer: str, audience: str) -> Mapping[str, Any]:
    # RFC 9068 §2.2
    issued = record.issued_at // 1000
    return {
        "iss": issuer,
        "sub": record.username,
        "aud": audience,
        "client_id": record.username,
        "iat": issued,
        "exp": issued + int(record.seconds_left),
        "jti": str(uuid.uuid4()),
        "scope": record.family.scope,
        **_confirmation(record.family),
    }


def _confirmation(family: TokenFamily) -> Mapping[str, Any]:
    # RFC 8705 §3.1 and §3.2
    return {} if family.thumbprint is None else {"cnf": {"x5t#S256": family.thumbprint}}


def _endpoints(host: str) -> Mapping[str, str]:
    return {
        "token_endpoint": f"{host}{OAUTH2_TOKEN_PATH}",
        "revocation_endpoint": f"{host}{OAUTH2_REVOCATION_PATH}",
        "introspection_endpoint": f"{host}{INTROSPECTION_PATH}",
    }


def _demand_get(request: web.BaseRequest) -> None:
    if request.method != "GET":
        raise unknown_resource("This is read with a GET.")
