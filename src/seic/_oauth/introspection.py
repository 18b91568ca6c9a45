"""Token introspection (RFC 7662) and the platform's tokeninfo: build the request, parse the reply."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from seic._errors import ConfigurationError
from seic._model.provider import Provider, RequestContext
from seic._model.token_info import TokenInfo
from seic._oauth.form_request import build_form_request, dialect_headers, endpoint_url, is_header_safe
from seic._oauth.json_body import kind_of, number_in
from seic._oauth.redact import redact
from seic._oauth.reply import Reply, raise_token_error, read_success

# Members that have a field of TokenInfo, and the tokens, which are left out.
_READ = frozenset(
    {
        "active",
        "scope",
        "token_type",
        "client_id",
        "username",
        "email",
        "app_name",
        "status",
        "expires_in",
        "exp",
        "refresh_token_expires_in",
        "access_token",
        "refresh_token",
    }
)

#: The platform's status of an active token.
_ALIVE = "approved"


def require_token_info(provider: Provider) -> None:
    """Raise ConfigurationError if a provider has no call that describes a token."""
    if provider.token_info_url is None and provider.introspection_url is None:
        raise ConfigurationError(
            f"provider.introspection_url: {provider.name} has no call that describes a token; if yours has one, set it "
            "with attrs.evolve(provider, introspection_url=...)",
            field="provider.introspection_url",
        )


def build_token_info_request(
    context: RequestContext,
    *,
    access_token: str,
) -> httpx.Request:
    """Build the request that describes an access token.

    The platform's call is a GET with the token in a header and the client id in its URL. Introspection posts the token
    in the form, with client authentication.

    Args:
        context: The client and the circumstances.
        access_token: The token to describe.

    Raises:
        ConfigurationError: The provider has neither call, or a credential is missing or cannot be sent.
    """
    require_token_info(context.provider)
    if context.provider.token_info_url is not None:
        if not is_header_safe(access_token):
            raise ConfigurationError("access_token: must be visible ASCII", field="access_token")
        return httpx.Request(
            "GET",
            endpoint_url(context, "token_info_url", "describing a token"),
            params={"client_id": context.client_id},
            headers={**dialect_headers(context), "Authorization": f"Bearer {access_token}"},
        )
    url = endpoint_url(context, "introspection_url", "describing a token")
    return build_form_request(context, url, {"token": access_token})


def parse_token_info_reply(reply: Reply) -> TokenInfo:
    """Parse the description of a token.

    Introspection must say whether the token is active (RFC 7662 §2.2). The platform describes valid tokens only: there
    a token is active unless it has expired, or its status is not `approved`, the documented one. Other malformed
    members are left out.

    Args:
        reply: The reply.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx: the credentials, or on the platform the token itself.
        InvalidTokenResponse: A redirect, or a success without a description.
    """
    describes_itself = reply.provider.token_info_url is not None
    raise_token_error(reply, hint="or the described token is not valid any more" if describes_itself else None)
    document = read_success(reply)
    expires_in = number_in(document.get("expires_in"))
    if expires_in is None and (ends := number_in(document.get("exp"))) is not None:
        # A token that has expired by our clock has zero seconds left.
        expires_in = max(0.0, ends - reply.now)
    named_status = _text(reply, document.get("status"))
    if not describes_itself:
        active = _active(reply, document)
    elif expires_in is None and named_status is None:
        reply.invalid("it describes no token: it has neither expires_in nor status")
    else:
        active = (expires_in is None or expires_in > 0) and (named_status or _ALIVE).lower() == _ALIVE
    return TokenInfo(
        active=active,
        expires_in=expires_in,
        scope=_scope(reply, document.get("scope")),
        token_type=_text(reply, document.get("token_type")),
        client_id=_text(reply, document.get("client_id")),
        username=_text(reply, document.get("username")) or _text(reply, document.get("email")),
        app_name=_text(reply, document.get("app_name")),
        status=named_status,
        refresh_expires_in=number_in(document.get("refresh_token_expires_in")),
        tracking_id=reply.tracking_id(),
        extra={name: value for name, value in document.items() if name not in _READ},
    )


def _active(reply: Reply, document: Mapping[str, object]) -> bool:
    value = document.get("active")
    if isinstance(value, bool):
        return value
    # Some gateways write every value as a string.
    word = value.lower() if isinstance(value, str) else ""
    if word not in ("true", "false"):
        reply.invalid("active is missing" if value is None else f"active must be a boolean, not {kind_of(value)}")
    return word == "true"


def _scope(reply: Reply, value: object) -> str:
    # Some servers send a list instead of a string with spaces (RFC 6749 §3.3).
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    return _text(reply, value) or ""


def _text(reply: Reply, value: object) -> str | None:
    # The description has a readable repr, and a server may echo the token in it.
    return redact(value, reply.secret_values) if isinstance(value, str) and value else None
