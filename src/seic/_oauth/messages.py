"""The token request and its reply (RFC 6749 §3.2, §5): build one, parse the other. Pure: no I/O and no clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import httpx

from seic._model.grant_parameters import Grant
from seic._model.provider import RequestContext
from seic._model.secret import HIDDEN
from seic._model.token import Token
from seic._oauth.form_request import build_form_request, is_header_safe
from seic._oauth.json_body import MAX_REPLY_BYTES, kind_of, number_in
from seic._oauth.jwt import lifetime_of
from seic._oauth.redact import redact, sanitize
from seic._oauth.reply import NO_ACCESS_TOKEN, Reply, raise_token_error, read_success, refuse_without_token

__all__ = ["MAX_LIFETIME", "MAX_REPLY_BYTES", "MIN_LIFETIME", "build_token_request", "parse_token_reply"]

#: The maximum lifetime of a token, in seconds: a year. Timers and dates hold it on every platform, whatever number a
#: provider writes.
MAX_LIFETIME = 365 * 86400.0
#: The minimum lifetime, in seconds: with less, nearly every request would need a token of its own. If the provider
#: meant less, its 401 says so.
MIN_LIFETIME = 1.0

# RFC 8693 §2.2.1: the result of a token exchange may be another kind of token.
_OTHER_TYPE = (
    "such tokens are not supported; if the provider means a bearer token, add its word to provider.bearer_token_types"
)
_NO_EXCHANGED_TOKEN = "the exchange returned no access token: request one with requested_token_type='access_token'"
# Smaller numbers of milliseconds are dates before any provider's first token: they mean something else.
_FIRST_ISSUE_MS = 1e11
_LAST_ISSUE_MS = 1e14

_READ = frozenset(
    {
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "issued_at",
        "refresh_token",
        "refresh_token_expires_in",
    }
)


def build_token_request(
    context: RequestContext,
    *,
    grant: Grant,
) -> httpx.Request:
    """Build the request for a token (RFC 6749 §4).

    Every parameter is in the form, even if a provider would take it from the URL: URLs end up in access logs.

    Args:
        context: The client and the circumstances.
        grant: The grant.

    Raises:
        ConfigurationError: A credential is missing or cannot be sent.
    """
    form = {"grant_type": grant.grant_type, **grant.fields(context.provider)}
    return build_form_request(context, context.token_url, form)


def parse_token_reply(reply: Reply, *, obtained_at: float, hint: str | None = None, takes_dpop: bool = False) -> Token:
    """Parse the reply to a token request (RFC 6749 §5).

    The content type is ignored; the body is parsed strictly.

    - A reply without `token_type`, or with a blank one, counts as Bearer, although the RFC requires the property: a
      token of another type must say so, because its use takes more than sending it.
    - `expires_in` may be a number or a string of digits. Missing, null or blank means unknown. A value that is not
      positive is an error: such a token would be requested again without end. The value is clamped to MIN_LIFETIME and
      MAX_LIFETIME.
    - If the token is a JWT with a shorter lifetime, or with the only one, that counts. `exp` without `iat` counts only
      if the reply has no `expires_in`, because it depends on this machine's clock.
    - A malformed lifetime of the refresh token or time of issue is left out.

    Args:
        reply: The reply.
        obtained_at: Seconds since the epoch, just before the request was sent.
        hint: Advice to add if the credentials are refused.
        takes_dpop: Whether the request had a DPoP proof, so that a token of that type can be used.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx, or a success that is an error or lacks a token.
        InvalidTokenResponse: A redirect, or a success without a valid token.
    """
    raise_token_error(reply, hint=hint)
    refuse_without_token(reply, hint=hint)
    document = read_success(reply)
    access_token = _access_token(reply, document)
    refresh_token = _refresh_token(reply, document)
    expires_in = _expires_in(reply, document)
    claimed = lifetime_of(access_token, now=obtained_at if expires_in is None else None)
    lifetimes = [seconds for seconds in (expires_in, claimed) if seconds is not None]
    return Token(
        access_token=access_token,
        token_type=_token_type(reply, document, takes_dpop=takes_dpop),
        expires_in=max(MIN_LIFETIME, min(MAX_LIFETIME, *lifetimes)) if lifetimes else None,
        obtained_at=obtained_at,
        scope=_scope(reply, document),
        issued_at=_issued_at(document.get("issued_at")),
        refresh_token=refresh_token,
        refresh_expires_in=_positive(document.get("refresh_token_expires_in")) if refresh_token else None,
        tracking_id=reply.tracking_id(),
        extra={name: value for name, value in document.items() if name not in _READ},
    )


def _access_token(reply: Reply, document: Mapping[str, object]) -> str:
    value = document.get("access_token")
    if value is None:
        reply.invalid(NO_ACCESS_TOKEN)
    if not isinstance(value, str):
        reply.invalid(f"access_token must be a string, not {kind_of(value)}")
    if not value:
        reply.invalid("access_token is empty")
    if not is_header_safe(value):
        reply.invalid("access_token must be visible ASCII, because it is sent in a header")
    return value


def _token_type(reply: Reply, document: Mapping[str, object], *, takes_dpop: bool) -> str:
    value = document.get("token_type")
    if _is_absent(value):
        return "Bearer"
    if not isinstance(value, str):
        reply.invalid(f"token_type must be a string, not {kind_of(value)}")
    value = value.strip()
    known = {"bearer", *map(str.lower, reply.provider.bearer_token_types)}
    if value.lower() not in known and not (takes_dpop and value.lower() == "dpop"):
        # RFC 6749 §7.1: a client must not use a token whose type it does not understand.
        named = (
            HIDDEN if value == document.get("access_token") else sanitize(value, secrets=reply.secret_values, limit=40)
        )
        advice = _NO_EXCHANGED_TOKEN if value.upper() == "N_A" else _OTHER_TYPE
        reply.invalid(f"token_type must be Bearer, not {named!r}", advice=advice)
    return value


def _expires_in(reply: Reply, document: Mapping[str, object]) -> float | None:
    value = document.get("expires_in")
    if _is_absent(value):
        return None
    seconds = number_in(value)
    if seconds is None:
        what = "a string without a number" if isinstance(value, str) else kind_of(value)
        reply.invalid(f"expires_in must be a number of seconds, not {what}")
    if seconds <= 0:
        reply.invalid(f"expires_in must be positive, not {'zero' if seconds == 0 else 'negative'}")
    return seconds


def _scope(reply: Reply, document: Mapping[str, object]) -> str:
    value = document.get("scope")
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        # Some servers send a list instead of a string with spaces (§3.3).
        value = " ".join(value)
    if not isinstance(value, str):
        reply.invalid(f"scope must be a string, not {kind_of(value)}")
    # The token's repr shows it.
    return redact(value, reply.secret_values)


def _is_absent(value: object) -> bool:
    # Some servers write every member, and leave blank what does not apply.
    return value is None or (isinstance(value, str) and not value.strip())


def _refresh_token(reply: Reply, document: Mapping[str, object]) -> str | None:
    value = document.get("refresh_token")
    if value is not None and not isinstance(value, str):
        reply.invalid(f"refresh_token must be a string, not {kind_of(value)}")
    return value or None


def _issued_at(value: object) -> dt.datetime | None:
    # The gateway sends milliseconds since the epoch, as a string.
    milliseconds = None if value is None else number_in(value)
    if milliseconds is None or not _FIRST_ISSUE_MS <= milliseconds <= _LAST_ISSUE_MS:
        return None
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def _positive(value: object) -> float | None:
    seconds = number_in(value)
    return min(seconds, MAX_LIFETIME) if seconds is not None and seconds > 0 else None
