"""Ending a token before its time, a pair: RFC 7009, the platform's form of it, and the gateway's `invalidate_token`."""

from __future__ import annotations

import httpx

from seic._model.provider import RequestContext
from seic._oauth.error_response import raise_token_error, read_success, refuse
from seic._oauth.form_request import build_form_request, endpoint_url
from seic._oauth.reply import Reply


def build_revocation_request(
    context: RequestContext,
    *,
    token: str,
    is_refresh_token: bool = False,
) -> httpx.Request:
    """Build the request that ends a token.

    On the SEI platform either token of a pair takes the other along; elsewhere a refresh token takes its access tokens
    along, and an access token goes alone (RFC 7009 §2.1): a pair is revoked by its refresh token.

    Args:
        context: The client and the circumstances.
        token: The token that is to die.
        is_refresh_token: Whether it is a refresh token; the gateway ends access tokens only.

    Raises:
        ConfigurationError: The provider names no way to end the token, or a credential is missing or cannot be sent.
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
    """Read the answer: a success unless the body is an error, or the errors of a token call.

    A token that was dead before is a success, too, and a body counts for nothing (RFC 7009 §2.2). Where one call ends a
    pair, as on the SEI platform, the answer has to say so: its `cascade` is `"true"`.

    Args:
        reply: The reply.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx, or an error in the body.
        InvalidTokenResponse: A redirect, or a success that does not say that the pair is dead.
    """
    raise_token_error(reply)
    if reply.error is not None:
        refuse(reply, reply.error)
    if reply.provider.revocation_cascades and str(read_success(reply).get("cascade")).lower() != "true":
        reply.invalid("cascade must be 'true'", advice="the other token of the pair may be alive; ask the provider")
