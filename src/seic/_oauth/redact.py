"""Sanitize a provider's text for messages, and find the secrets to redact.

Errors are logged and sent to trackers, and a server may echo the secrets that it was sent.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import httpx

from seic._model.secret import HIDDEN

#: Characters of a provider's text in a message: a sentence or two.
MAX_WORDS = 300
# A tracking id is a UUID, a few of them joined, a number, or Base64. Anything longer or with other characters is
# ignored.
_ID = r"[0-9A-Za-z][0-9A-Za-z._:;,/+=@|~-]{0,127}"
# A part of a secret with this many characters counts as one.
_SIGNIFICANT = 8
# Characters that are read before the text is truncated, so that a megabyte of blanks costs nothing.
_MAX_READ = 16 * MAX_WORDS

# Form fields that are no secrets; any other field of a grant counts as one.
_PUBLIC_FIELDS = frozenset(
    {
        "grant_type",
        "client_id",
        "client_assertion_type",
        "username",
        "email",
        "scope",
        "audience",
        "resource",
        "redirect_uri",
        "redirect_url",
        "token_type_hint",
        "subject_token_type",
        "actor_token_type",
        "requested_token_type",
        "endOtherSessions",
    }
)


def sanitize(text: str, *, secrets: Collection[str] = (), limit: int = MAX_WORDS) -> str:
    """Return `text` on one line, printable, without any of `secrets`, in at most `limit` characters.

    Args:
        text: The provider's text.
        secrets: Strings that the result must not contain; see `secrets_in`.
        limit: The maximum length of the result, in characters.
    """
    text = redact(text, secrets)
    # Control characters can forge log lines, and bidirectional marks can reverse them; neither is printable.
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_READ]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def redact(text: str, secrets: Collection[str]) -> str:
    """Return `text` with each of `secrets` replaced, and otherwise unchanged."""
    # The longest first: one secret may be part of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def find_tracking_id(
    headers: Mapping[str, str], header: str | None, *, otherwise: str | None = None, secrets: Collection[str]
) -> str | None:
    """Return the provider's id of a request; None if there is no valid one.

    It goes into each event, log line, span and error, so a value that cannot be an id, or contains a secret, is
    ignored.

    Args:
        headers: The reply's headers.
        header: The header with the id; None if the provider has none.
        otherwise: The id in the body.
        secrets: Strings that the id must not contain; see `secrets_in` and `credentials_of`.
    """
    for named in (headers.get(header) if header else None, otherwise):
        if named and re.fullmatch(_ID, named) and not any(_reveals(named, secret) for secret in secrets if secret):
            return named
    return None


def _reveals(named: str, secret: str) -> bool:
    return secret in named or (len(named) >= _SIGNIFICANT and named in secret)


def is_text(text: str) -> bool:
    """Whether UTF-8 can encode a string, which it cannot if there is half of a surrogate pair.

    Ask this first: a UnicodeEncodeError holds the string, which may be a password.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def secrets_in(request: httpx.Request) -> tuple[str, ...]:
    """Return each secret of a token request, in each encoding in which a server could echo it."""
    plain = [value for name, value in parse_qsl(request.content.decode()) if name not in _PUBLIC_FIELDS]
    credentials = request.headers.get("Authorization", "").partition(" ")[2]
    found = {request.headers.get("DPoP", ""), *secrets_of(credentials), *_forms(*plain)}
    return tuple(found - {""})


def secrets_of(credentials: str) -> set[str]:
    """Return each secret of an authorization header's credentials, in each encoding in which they could be echoed.

    Args:
        credentials: The header without the scheme; those of Basic contain a password.
    """
    return {credentials, *_forms(_basic_secret(credentials))} - {""}


def _forms(*secrets: str) -> set[str]:
    return {form for one in secrets for form in (one, unquote(one), quote(one, safe=""), quote_plus(one))}


def _basic_secret(credentials: str) -> str:
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return pair.partition(":")[2]


def credentials_in(request: Any) -> tuple[str, ...]:
    """Return the token and the DPoP proof of a request, which an API may echo."""
    authorization = request.headers.get("Authorization", "")
    return tuple(filter(None, (authorization.partition(" ")[2], request.headers.get("DPoP", ""))))


def credentials_of(response: Any) -> tuple[str, ...]:
    """Return the credentials of a response's request; none if it has no request."""
    try:
        request = response.request
    except RuntimeError:  # a response without a request, made by hand
        return ()
    return credentials_in(request)
