"""Ending a token before its time, a pair: RFC 7009, the platform's form of it, and the gateway's `invalidate_token`."""

from __future__ import annotations

from collections.abc import Collection

import httpx

from seic._model.provider import KeyedCertificate, Provider, RequestContext
from seic._oauth.error_body import read_error
from seic._oauth.error_response import Reply, raise_for_status, read_success, refuse
from seic._oauth.requests import build_form_request, endpoint_url


def build_revocation_request(
    *,
    provider: Provider,
    token_url: str,
    client_id: str,
    client_secret: str | None,
    token: str,
    is_refresh_token: bool = False,
    now: float = 0.0,
    certificate: KeyedCertificate | None = None,
) -> httpx.Request:
    """Build the request that ends a token.

    On the SEI platform either token of a pair takes the other along; elsewhere a refresh token takes its access tokens
    along, and an access token goes alone (RFC 7009 §2.1): a pair is revoked by its refresh token.

    Args:
        provider: The dialect.
        token_url: The whole URL of the token endpoint; the revocation's lies beside it.
        client_id: Who asks.
        client_secret: The proof of it, where the provider's method needs one.
        token: The token that is to die.
        is_refresh_token: Whether it is a refresh token; the gateway ends access tokens only.
        now: Seconds since the epoch, for a proof that is signed.
        certificate: The client's certificate, where it presents one.

    Raises:
        ConfigurationError: The provider names no way to end the token, or a credential is missing or cannot be sent.
    """
    occasion = RequestContext(now=now, token_url=token_url, issuer=provider.issuer, certificate=certificate)
    if provider.invalidate_grant_type is not None and not is_refresh_token:
        url = token_url
        form = {"grant_type": provider.invalidate_grant_type, "access_token": token}
    else:
        url = endpoint_url(provider, "revocation_url", "revoking a token", occasion)
        if not is_refresh_token:
            form = {"token": token}
        elif provider.revocation_refresh_field is not None:
            form = {provider.revocation_refresh_field: token}
        else:
            form = {"token": token, "token_type_hint": "refresh_token"}
    return build_form_request(
        provider=provider, url=url, client_id=client_id, client_secret=client_secret, form=form, occasion=occasion
    )


def parse_revocation_reply(
    *,
    provider: Provider,
    status: int,
    headers: httpx.Headers,
    body: bytes,
    host: str,
    now: float,
    secrets: Collection[str] = (),
) -> None:
    """Read the answer: a success unless the body is an error, or the errors of a token call.

    A token that was dead before is a success, too, and a body counts for nothing (RFC 7009 §2.2). Where one call ends a
    pair, as on the SEI platform, the answer has to say so: its `cascade` is `"true"`.

    Args:
        provider: The dialect.
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed.
        host: Where the reply came from, for messages.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
        secrets: What no message may repeat, should the server echo it.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx, or an error in the body.
        InvalidTokenResponse: A redirect, or a success that does not say that the pair is dead.
    """
    reply = Reply(provider=provider, status=status, headers=headers, body=body, host=host, now=now, secrets=secrets)
    raise_for_status(reply)
    form = read_error(body)
    if form is not None:
        refuse(reply, form)
    if provider.revocation_cascades and str(read_success(reply).get("cascade")).lower() != "true":
        reply.invalid("cascade must be 'true'", advice="the other token of the pair may be alive; ask the provider")
