"""The calls of the token endpoint, each a pair: a request is built, a reply is parsed (RFC 6749 §3.2, §5).

Nothing is sent here and no clock is read: times are handed in, and who sends is decided elsewhere.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping

import httpx

from seic._errors import ConfigurationError
from seic._model.grants import Grant
from seic._model.provider import Provider
from seic._model.token import Token
from seic._oauth.client_auth import client_authentication_of
from seic._oauth.documents import MAX_REPLY_BYTES, DefectiveDocument, read_document
from seic._oauth.error_forms import error_in
from seic._oauth.refusals import Reply, raise_for_status, said
from seic._oauth.words import is_text

__all__ = [
    "MAX_LIFETIME",
    "MAX_REPLY_BYTES",
    "build_form_request",
    "build_invalidate_request",
    "build_token_request",
    "dialect_headers",
    "parse_invalidate_reply",
    "parse_token_reply",
]

#: The longest life of a token that is believed, in seconds: a year. Nothing runs that long on one token, and timers and
#: dates hold it on every platform, whatever number a provider writes.
MAX_LIFETIME = 365 * 86400.0

# Gateways write BearerToken; it is used as Bearer all the same.
_BEARER = frozenset({"bearer", "bearertoken"})
# RFC 6750 §2.1 allows fewer characters; these are all that a header carries without a way to break out of it.
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")
_NUMBER = re.compile(r"([+-]?)([0-9]{1,400})(\.[0-9]{1,400})?")
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
    *, provider: Provider, token_url: str, client_id: str, client_secret: str | None, grant: Grant
) -> httpx.Request:
    """Build the request for a token (RFC 6749 §4).

    Every parameter stands in the form, even where a provider would take it from the URL: URLs end in access logs.

    Args:
        provider: The dialect.
        token_url: The whole URL of the token endpoint.
        client_id: Who asks.
        client_secret: The proof of it, where the provider's method needs one.
        grant: How the token is asked for.

    Raises:
        ConfigurationError: A credential is missing or cannot be sent.
    """
    form = {"grant_type": grant.grant_type, **grant.fields(provider)}
    return build_form_request(
        provider=provider, url=token_url, client_id=client_id, client_secret=client_secret, form=form
    )


def build_invalidate_request(
    *, provider: Provider, token_url: str, client_id: str, client_secret: str | None, access_token: str
) -> httpx.Request:
    """Build the request that kills a token at the token endpoint, as the gateway has it.

    Raises:
        ConfigurationError: The provider has no such call, or a credential is missing or cannot be sent.
    """
    if provider.invalidate_grant_type is None:
        raise ConfigurationError(
            f"provider.invalidate_grant_type: {provider.name} names no way to revoke a token",
            field="provider.invalidate_grant_type",
        )
    form = {"grant_type": provider.invalidate_grant_type, "access_token": access_token}
    return build_form_request(
        provider=provider, url=token_url, client_id=client_id, client_secret=client_secret, form=form
    )


def build_form_request(
    *, provider: Provider, url: str, client_id: str, client_secret: str | None, form: dict[str, str]
) -> httpx.Request:
    """Build a request that posts a form to the provider, with the client's proof and the headers of the dialect.

    Args:
        provider: The dialect.
        url: The whole URL.
        client_id: Who asks.
        client_secret: The proof of it, where the provider's method needs one.
        form: What is asked; the client's proof may join it.

    Raises:
        ConfigurationError: A credential is missing or cannot be sent.
    """
    headers = dialect_headers(provider, client_id)
    client_authentication_of(provider).apply(headers, form, client_id=client_id, client_secret=client_secret)
    for name, value in form.items():
        if not is_text(value):
            raise ConfigurationError(
                f"the form's field {name!r} has a character that UTF-8 cannot carry",
                field=name if name in ("client_id", "client_secret") else "grant",
            )
    return httpx.Request("POST", url, headers=headers, data=form)


def dialect_headers(provider: Provider, client_id: str) -> dict[str, str]:
    """Return the headers that every call to the provider's own endpoints carries.

    Raises:
        ConfigurationError: The client id travels in one, and cannot.
    """
    headers = {"Accept": "application/json"}
    if provider.client_id_header is not None:
        headers[provider.client_id_header] = _header_value(client_id)
    return headers


def _header_value(client_id: str) -> str:
    if _ACCESS_TOKEN.fullmatch(client_id) is None:
        raise ConfigurationError(
            "client_id: it travels in a header, where only visible ASCII characters can stand", field="client_id"
        )
    return client_id


def parse_token_reply(
    *,
    provider: Provider,
    status: int,
    headers: httpx.Headers,
    body: bytes,
    obtained_at: float,
    host: str,
    now: float,
    secrets: Collection[str] = (),
    hint: str | None = None,
) -> Token:
    """Read the answer to a request for a token (RFC 6749 §5).

    The content type is not asked, the body is read strictly. A reply without `token_type` is taken as Bearer, although
    the RFC requires the property: a token of another kind has to announce itself, for its use takes more than sending
    it. `expires_in` may be a number or a string of digits; missing or null is unknown; what is not positive is an
    error, for such a token would be asked for without end; what is beyond MAX_LIFETIME is taken as that. A lifetime of
    the refresh token, or a time of issue, that makes no sense is left out.

    Args:
        provider: The dialect.
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed.
        obtained_at: Seconds since the epoch, just before the request was sent.
        host: Where the reply came from, for messages.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
        secrets: What no message may repeat, should the server echo it; see `seic._oauth.words.secrets_in`.
        hint: What a message about refused credentials should add.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: A redirect, or a success that is no token.
    """
    reply = Reply(
        provider=provider, status=status, headers=headers, body=body, host=host, now=now, secrets=secrets, hint=hint
    )
    raise_for_status(reply)
    document = _read_success(reply)
    refresh_token = _refresh_token(reply, document)
    return Token(
        access_token=_access_token(reply, document),
        token_type=_token_type(reply, document),
        expires_in=_expires_in(reply, document),
        obtained_at=obtained_at,
        scope=_scope(reply, document),
        issued_at=_issued_at(document.get("issued_at")),
        refresh_token=refresh_token,
        refresh_expires_in=_positive(document.get("refresh_token_expires_in")) if refresh_token else None,
        tracking_id=reply.tracking_id(),
        extra={name: value for name, value in document.items() if name not in _READ},
    )


def parse_invalidate_reply(
    *,
    provider: Provider,
    status: int,
    headers: httpx.Headers,
    body: bytes,
    host: str,
    now: float,
    secrets: Collection[str] = (),
) -> None:
    """Read the answer to a request that kills a token: a success, whatever its body, or the errors of a token call.

    Raises:
        TokenEndpointUnavailable: 5xx, 429 or 408.
        TokenRequestRefused: Another 4xx.
        InvalidTokenResponse: A redirect.
    """
    raise_for_status(
        Reply(provider=provider, status=status, headers=headers, body=body, host=host, now=now, secrets=secrets)
    )


def _read_success(reply: Reply) -> Mapping[str, object]:
    document = _document_or_problem(reply.body)
    if isinstance(document, str):
        reply.invalid(document)
    form = error_in(document)
    # Beside a token only `error` counts: some servers say `"code": 0, "message": "success"`. A token that comes with an
    # error is not taken: who says both cannot be trusted with either.
    if document.get("error") or (form is not None and "access_token" not in document):
        words = (form and said(reply, form)) or "without words"
        reply.invalid(f"the reply is an error: {words}", form=form, advice="do what the error asks for")
    return document


def _document_or_problem(body: bytes) -> dict[str, object] | str:
    # Handed out and not chained: the problem may quote a name from the reply, uncleaned.
    try:
        return read_document(body)
    except DefectiveDocument as defect:
        return str(defect)


def _access_token(reply: Reply, document: Mapping[str, object]) -> str:
    value = document.get("access_token")
    if value is None:
        reply.invalid("access_token is missing")
    if not isinstance(value, str):
        reply.invalid(f"access_token must be a string, not {_kind(value)}")
    if not value:
        reply.invalid("access_token is empty")
    if _ACCESS_TOKEN.fullmatch(value) is None:
        reply.invalid("access_token has characters that no header can carry: only visible ASCII can")
    return value


def _token_type(reply: Reply, document: Mapping[str, object]) -> str:
    value = document.get("token_type")
    if value is None:
        return "Bearer"
    if not isinstance(value, str):
        reply.invalid(f"token_type must be a string, not {_kind(value)}")
    if value.lower() not in _BEARER:
        # RFC 6749 §7.1: a client must not use a token whose type it does not understand.
        reply.invalid(f"token_type must be Bearer, not {value[:40]!r}", advice="such tokens are not supported")
    return value


def _expires_in(reply: Reply, document: Mapping[str, object]) -> float | None:
    value = document.get("expires_in")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        what = "a string that is no number" if isinstance(value, str) else _kind(value)
        reply.invalid(f"expires_in must be a number of seconds, not {what}")
    if seconds <= 0:
        reply.invalid(f"expires_in must be positive, not {'zero' if seconds == 0 else 'negative'}")
    return min(seconds, MAX_LIFETIME)


def _scope(reply: Reply, document: Mapping[str, object]) -> str:
    value = document.get("scope")
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        # Some servers list what the RFC joins with spaces (§3.3).
        return " ".join(value)
    if not isinstance(value, str):
        reply.invalid(f"scope must be a string, not {_kind(value)}")
    return value


def _refresh_token(reply: Reply, document: Mapping[str, object]) -> str | None:
    value = document.get("refresh_token")
    if value is not None and not isinstance(value, str):
        reply.invalid(f"refresh_token must be a string, not {_kind(value)}")
    return value or None


def _issued_at(value: object) -> dt.datetime | None:
    # The gateway's unit, milliseconds since the epoch, as a string.
    milliseconds = _number(value)
    if milliseconds is None or not _FIRST_ISSUE_MS <= milliseconds <= _LAST_ISSUE_MS:
        return None
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def _positive(value: object) -> float | None:
    seconds = _number(value)
    return min(seconds, MAX_LIFETIME) if seconds is not None and seconds > 0 else None


def _number(value: object) -> float | None:
    """Read a number or a string of digits; None for anything else. What a float cannot hold is infinite."""
    if isinstance(value, str):
        # float() alone would take underscores, "nan" and the digits of every script.
        return float(value.strip()) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _kind(value: object) -> str:
    """Name a JSON type."""
    if value is None:
        return "null"
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")
