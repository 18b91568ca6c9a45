"""Words of the provider's that end in our messages: cleaned, cut short, and without our secrets.

An error is logged and sent to trackers, and a server may echo what it was sent.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import httpx

from seic._model.secrecy import HIDDEN

#: Enough for a sentence or two of a provider's; more belongs to its documentation.
MAX_WORDS = 300
# A tracking id is a UUID, a few of them joined, a number, or Base64. What is longer or has other signs is none, and may
# be anything.
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:;,/+=@|~-]{0,127}")
# How much of a secret is one, in characters.
_TELLING = 8
# What is looked at before the cut, so that a megabyte of blanks costs nothing.
_MAX_READ = 16 * MAX_WORDS

# The form's fields that are no secret; whatever a grant adds beside them is one until it is listed here.
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
        text: What a provider wrote.
        secrets: What must not stand in the result; see `secrets_in`.
        limit: The longest result, in characters.
    """
    text = redact(text, secrets)
    # Not printable are control characters, which forge log lines, and bidirectional marks, which turn them round.
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_READ]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def redact(text: str, secrets: Collection[str]) -> str:
    """Return `text` without any of `secrets`, and otherwise as it is."""
    # The longest first: a secret may be part of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def find_tracking_id(
    headers: Mapping[str, str], header: str | None, *, otherwise: str | None = None, secrets: Collection[str]
) -> str | None:
    """Return the provider's id of a call; None where what stands in its place is none.

    It goes into each event, log line, span and error, so what cannot be an id, or holds a secret, is not taken.

    Args:
        headers: Those of the reply.
        header: The one that has the id; None where the provider has none.
        otherwise: What the body has.
        secrets: What the id must not hold; see `secrets_in` and `credentials_of`.
    """
    for named in (headers.get(header) if header else None, otherwise):
        if named and _ID.fullmatch(named) and not any(_tells_of(named, secret) for secret in secrets if secret):
            return named
    return None


def _tells_of(named: str, secret: str) -> bool:
    return secret in named or (len(named) >= _TELLING and named in secret)


def is_text(text: str) -> bool:
    """Tell whether UTF-8 can carry the text: it has no half of a surrogate pair.

    A question, for the UnicodeEncodeError that it spares holds the text, and the text may be a password.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def secrets_in(request: httpx.Request) -> tuple[str, ...]:
    """Return each secret of a token request, in each form in which a server could echo it."""
    plain = [value for name, value in parse_qsl(request.content.decode()) if name not in _PUBLIC_FIELDS]
    credentials = request.headers.get("Authorization", "").partition(" ")[2]
    found = {request.headers.get("DPoP", ""), *secrets_of(credentials), *_forms(*plain)}
    return tuple(found - {""})


def secrets_of(credentials: str) -> set[str]:
    """Return each secret of an authorization header's credentials, in each form in which they could be echoed.

    Args:
        credentials: What follows the scheme; of Basic, they hold a password.
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
    """Return the token and the proof that a call carries, which an API may echo."""
    authorization = request.headers.get("Authorization", "")
    return tuple(filter(None, (authorization.partition(" ")[2], request.headers.get("DPoP", ""))))


def credentials_of(response: Any) -> tuple[str, ...]:
    """Return what a reply's call carried; nothing where the reply knows of no call."""
    try:
        request = response.request
    except RuntimeError:  # a reply that was made by hand
        return ()
    return credentials_in(request)
