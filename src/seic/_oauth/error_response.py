"""Error responses of a provider's endpoints, as the errors that say what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import httpx

from seic._errors import TokenEndpointUnavailable, TokenRequestRefused
from seic._oauth.challenges import parse_retry_after
from seic._oauth.error_body import END_OTHER_SESSIONS, LOGGED_IN_ELSEWHERE, ErrorBody
from seic._oauth.json_body import DefectiveDocument
from seic._oauth.redact import MAX_WORDS
from seic._oauth.reply import Reply, tracked

_LONGEST_HOST = 253

# RFC 6749 §5.2, and the gateway's; what to do about each.
_ADVICE_BY_CODE = {
    "invalid_client": "check client_id and client_secret, and that the provider takes this way of sending them",
    "invalid_grant": "check what the grant carries: the password, the code, the assertion or the refresh token is "
    "wrong, used up or too old",
    "unauthorized_client": "the application is not registered for this grant",
    "unsupported_grant_type": "the provider does not offer this grant",
    "invalid_scope": "check the grant's scope",
    "invalid_target": "check the grant's audience and resource",
    "gateway.authentication.failure": "check client_id (the AppKey), client_secret (the AppSecret), and the service "
    "account's username and password",
}
# Codes that put the client's credentials in doubt, whatever the status.
_OF_THE_CLIENT = frozenset({"invalid_client", "gateway.authentication.failure"})
_ADVICE_BY_STATUS = {
    400: "check the grant and its fields",
    401: "check client_id, client_secret and the grant's credentials",
    403: "check that the application and its account may use this endpoint: the grant, the address it calls from, "
    "and on a mutual-TLS host the certificate, whose CN is the account's name at SEI",
    404: "check the host and provider.token_url",
    405: "check the host and provider.token_url",
}
_ADVICE = "check the host, provider.token_url and the credentials"


def raise_token_error(reply: Reply, *, hint: str | None = None) -> None:
    """Raise the error of a reply, unless its status is a success.

    Args:
        reply: The reply.
        hint: Advice to add if the credentials are refused.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: 3xx, or a status that is not final.
    """
    if reply.is_success:
        return
    if reply.status in (408, 429) or 500 <= reply.status < 600:
        _raise_unavailable(reply)
    if 400 <= reply.status < 500:
        refuse(reply, reply.error or ErrorBody(), hint=hint)
    if 300 <= reply.status < 400:
        reply.invalid(
            f"a redirect to {_target(reply)}",
            advice="redirects of token requests are never followed, which would leak the credentials; set the host "
            "and provider.token_url to the real address of the endpoint",
        )
    reply.invalid("the status is not final")


def refuse(reply: Reply, error: ErrorBody, *, hint: str | None = None) -> NoReturn:
    """Raise TokenRequestRefused with the provider's text and with advice."""
    tracking_id = reply.tracking_id(error)
    if error.subcode == LOGGED_IN_ELSEWHERE:
        advice = END_OTHER_SESSIONS
    else:
        advice = _ADVICE_BY_CODE.get(error.code or "") or _ADVICE_BY_STATUS.get(reply.status) or _ADVICE
    if error.code == "invalid_grant" and reply.provider.code_lifetime is not None:
        advice += f" (a code lives {reply.provider.code_lifetime:g} s)"
    if hint and (error.code in _OF_THE_CLIENT or reply.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)):
        advice += f"; {hint}"
    raise TokenRequestRefused(
        f"{reply.provider.name} at {reply.host} refused the request: it answered {reply.status}"
        f"{_quoted(reply, error)}; {advice}{tracked(tracking_id)}",
        status=reply.status,
        code=reply.code_of(error),
        description=reply.sanitize(error.description, MAX_WORDS),
        transient=error.transient or False,
        tracking_id=tracking_id,
    )


def read_success(reply: Reply) -> Mapping[str, object]:
    """Return the JSON object of a success.

    Raises:
        InvalidTokenResponse: The body is none, or it is an error in spite of the status.
    """
    document = reply.document
    if isinstance(document, DefectiveDocument):
        member = reply.sanitize(document.member, MAX_WORDS)
        reply.invalid(document.problem if member is None else f"{member} {document.problem}")
    error = reply.error
    # With a token only `error` counts: some servers say `"code": 0, "message": "success"`. A token that comes with an
    # error is not taken: a reply that contradicts itself cannot be trusted.
    if document.get("error") or (error is not None and "access_token" not in document):
        words = (error and _words(reply, error)) or "without a description"
        reply.invalid(f"the reply is an error: {words}", error=error, advice="do what the error asks for")
    return document


def _words(reply: Reply, error: ErrorBody) -> str:
    """Return code and description of an error for a message, sanitized."""
    words = (reply.code_of(error), reply.sanitize(error.description, MAX_WORDS))
    return ": ".join(filter(None, words))


def _raise_unavailable(reply: Reply) -> NoReturn:
    error = reply.error or ErrorBody()
    retry_after = parse_retry_after(reply.headers.get("Retry-After"), now=reply.now)
    tracking_id = reply.tracking_id(error)
    pause = "try again later" if retry_after is None else f"try again in {retry_after:.0f} s"
    raise TokenEndpointUnavailable(
        f"{reply.provider.name} at {reply.host} is unavailable: it answered {reply.status}{_quoted(reply, error)}; "
        f"{pause}{tracked(tracking_id)}",
        retry_after=retry_after,
        status=reply.status,
        tracking_id=tracking_id,
    )


def _quoted(reply: Reply, error: ErrorBody) -> str:
    words = _words(reply, error)
    return f" ({words})" if words else ""


def _target(reply: Reply) -> str:
    # The host alone: path and query of a redirect may carry a session or what was sent.
    location = reply.headers.get("Location")
    if not location:
        return "nowhere: it names no location"
    try:
        host = httpx.URL(location).raw_host.decode("ascii")
    except httpx.InvalidURL:
        return "an unreadable location"
    return reply.sanitize(host, _LONGEST_HOST) or f"another path of {reply.host}"
