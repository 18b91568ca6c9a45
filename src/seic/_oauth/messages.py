"""The call for a token, a pair: the request is built, the reply is parsed (RFC 6749 §3.2, §5).

Nothing is sent here and no clock is read: times are handed in, and who sends is decided elsewhere.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import httpx

from seic._model.grant_parameters import Grant
from seic._model.provider import RequestContext
from seic._model.secrecy import HIDDEN
from seic._model.token import Token
from seic._oauth.error_response import raise_token_error, read_success
from seic._oauth.form_request import build_form_request, is_header_safe
from seic._oauth.json_body import MAX_REPLY_BYTES, kind_of, number_in
from seic._oauth.jwt import lifetime_of
from seic._oauth.redact import redact, sanitize
from seic._oauth.reply import Reply

__all__ = ["MAX_LIFETIME", "MAX_REPLY_BYTES", "MIN_LIFETIME", "build_token_request", "parse_token_reply"]

#: The longest life of a token that is believed, in seconds: a year. Nothing runs that long on one token, and timers and
#: dates hold it on every platform, whatever number a provider writes.
MAX_LIFETIME = 365 * 86400.0
#: The shortest, in seconds: with less, nearly each call would ask for a token of its own. Where the provider meant it,
#: its 401 says so.
MIN_LIFETIME = 1.0

# RFC 8693 §2.2.1: what an exchange brought is no access token.
_NO_ACCESS_TOKEN = "the exchange brought no access token: ask for one with requested_token_type='access_token'"
# Gateways write BearerToken; it is used as Bearer all the same.
_BEARER = frozenset({"bearer", "bearertoken"})
# Below it, milliseconds since the epoch name a day before any provider's first token: the number is something else.
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

    Every parameter stands in the form, even where a provider would take it from the URL: URLs end in access logs.

    Args:
        context: The client and the circumstances.
        grant: How the token is asked for.

    Raises:
        ConfigurationError: A credential is missing or cannot be sent.
    """
    form = {"grant_type": grant.grant_type, **grant.fields(context.provider)}
    return build_form_request(context, context.token_url, form)


def parse_token_reply(reply: Reply, *, obtained_at: float, hint: str | None = None, takes_dpop: bool = False) -> Token:
    """Read the answer to a request for a token (RFC 6749 §5).

    The content type is not asked, the body is read strictly. A reply without `token_type` is taken as Bearer, although
    the RFC requires the property: a token of another kind has to announce itself, for its use takes more than sending
    it. `expires_in` may be a number or a string of digits; missing or null is unknown; what is not positive is an
    error, for such a token would be asked for without end; what lies beyond MIN_LIFETIME or MAX_LIFETIME is taken as
    that. Where the token is a JWT that names a shorter life, or the only one, that counts; one that names its end alone
    counts only where the reply says nothing, since it takes this machine's clock to read it. A lifetime of the refresh
    token, or a time of issue, that makes no sense is left out.

    Args:
        reply: The reply.
        obtained_at: Seconds since the epoch, just before the request was sent.
        hint: What a message about refused credentials should add.
        takes_dpop: Whether the request carried a DPoP proof, so that a token of that type can be used.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: A redirect, or a success that is no token.
    """
    raise_token_error(reply, hint=hint)
    document = read_success(reply)
    access_token = _access_token(reply, document)
    refresh_token = _refresh_token(reply, document)
    stated = _expires_in(reply, document)
    own = lifetime_of(access_token, now=obtained_at if stated is None else None)
    lifetimes = [seconds for seconds in (stated, own) if seconds is not None]
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
        reply.invalid("access_token is missing")
    if not isinstance(value, str):
        reply.invalid(f"access_token must be a string, not {kind_of(value)}")
    if not value:
        reply.invalid("access_token is empty")
    if not is_header_safe(value):
        reply.invalid("access_token has characters that no header can carry: only visible ASCII can")
    return value


def _token_type(reply: Reply, document: Mapping[str, object], *, takes_dpop: bool) -> str:
    value = document.get("token_type")
    if value is None:
        return "Bearer"
    if not isinstance(value, str):
        reply.invalid(f"token_type must be a string, not {kind_of(value)}")
    if value.lower() not in _BEARER and not (takes_dpop and value.lower() == "dpop"):
        # RFC 6749 §7.1: a client must not use a token whose type it does not understand.
        named = (
            HIDDEN if value == document.get("access_token") else sanitize(value, secrets=reply.secret_values, limit=40)
        )
        advice = _NO_ACCESS_TOKEN if value.upper() == "N_A" else "such tokens are not supported"
        reply.invalid(f"token_type must be Bearer, not {named!r}", advice=advice)
    return value


def _expires_in(reply: Reply, document: Mapping[str, object]) -> float | None:
    value = document.get("expires_in")
    if value is None:
        return None
    seconds = number_in(value)
    if seconds is None:
        what = "a string that is no number" if isinstance(value, str) else kind_of(value)
        reply.invalid(f"expires_in must be a number of seconds, not {what}")
    if seconds <= 0:
        reply.invalid(f"expires_in must be positive, not {'zero' if seconds == 0 else 'negative'}")
    return seconds


def _scope(reply: Reply, document: Mapping[str, object]) -> str:
    value = document.get("scope")
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        # Some servers list what the RFC joins with spaces (§3.3).
        value = " ".join(value)
    if not isinstance(value, str):
        reply.invalid(f"scope must be a string, not {kind_of(value)}")
    # It is shown with the token.
    return redact(value, reply.secret_values)


def _refresh_token(reply: Reply, document: Mapping[str, object]) -> str | None:
    value = document.get("refresh_token")
    if value is not None and not isinstance(value, str):
        reply.invalid(f"refresh_token must be a string, not {kind_of(value)}")
    return value or None


def _issued_at(value: object) -> dt.datetime | None:
    # The gateway's unit, milliseconds since the epoch, as a string.
    milliseconds = number_in(value)
    if milliseconds is None or not _FIRST_ISSUE_MS <= milliseconds <= _LAST_ISSUE_MS:
        return None
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def _positive(value: object) -> float | None:
    seconds = number_in(value)
    return min(seconds, MAX_LIFETIME) if seconds is not None and seconds > 0 else None
