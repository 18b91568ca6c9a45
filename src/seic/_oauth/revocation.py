"""Token revocation (RFC 7009, the platform's form of it, the gateway's `invalidate_token`): build and parse."""

from __future__ import annotations

import httpx

from seic._model.provider import RequestContext
from seic._oauth.form_request import build_form_request, endpoint_url
from seic._oauth.reply import Reply, raise_token_error, read_success, refuse


def build_revocation_request(
    context: RequestContext,
    *,
    token: str,
    is_refresh_token: bool = False,
) -> httpx.Request:
    """Build the request that revokes a token.

    On the SEI platform revoking either token of a pair revokes the other. Elsewhere revoking a refresh token revokes
    its access tokens, and an access token is revoked alone (RFC 7009 §2.1).

    Args:
        context: The client and the circumstances.
        token: The token to revoke.
        is_refresh_token: Whether it is a refresh token; the gateway revokes access tokens only.

    Raises:
        ConfigurationError: The provider cannot revoke the token, or a credential is missing or cannot be sent.
    """
    if context.provider.invalidate_grant_type is not None and not is_refresh_token:
        url = context.token_url
        form = {"grant_type": context.provider.invalidate_grant_type, "access_token": token}
    else:
        url = endpoint_url(context, "revocation_url", "revoking a token")
        if not is_refresh_token:
            form = {"token": token}
        elif context.provider.revocation_refresh_field is not None:
            form = {context.provider.revocation_refresh_field: token}
        else:
            form = {"token": token, "token_type_hint": "refresh_token"}
    return build_form_request(context, url, form)


def parse_revocation_reply(reply: Reply) -> None:
    """Parse the reply to a revocation.

    An unknown or expired token is a success, too, and the body is ignored unless it is an error (RFC 7009 §2.2). If one
    call revokes a pair, as on the SEI platform, the reply must say so: its `cascade` is `"true"`.

    Args:
        reply: The reply.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx, or an error in the body.
        InvalidTokenResponse: A redirect, or a success that does not confirm that both tokens are revoked.
    """
    raise_token_error(reply)
    if reply.error is not None:
        refuse(reply, reply.error)
    if reply.provider.revocation_cascades and str(read_success(reply).get("cascade")).lower() != "true":
        reply.invalid("cascade must be 'true'", advice="the other token may still be valid; ask the provider")
