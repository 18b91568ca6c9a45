"""Words of the provider's that end in our messages: cleaned, cut short, and without our secrets.

An error is logged and sent to trackers, and a server may echo what it was sent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import httpx

from seic._model.secrecy import HIDDEN

#: Enough for a sentence or two of a provider's; more belongs to its documentation.
MAX_WORDS = 300
#: A tracking id is a UUID; more is no id.
LONGEST_ID = 128
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


def clean(text: str, *, secrets: Collection[str] = (), limit: int = MAX_WORDS) -> str:
    """Return `text` on one line, printable, without any of `secrets`, in at most `limit` characters.

    Args:
        text: What a provider wrote.
        secrets: What must not stand in the result; see `secrets_in`.
        limit: The longest result, in characters.
    """
    # The longest first: a secret may be part of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    # Not printable are control characters, which forge log lines, and bidirectional marks, which turn them round.
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_READ]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


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
    found: set[str] = set()
    credentials = request.headers.get("Authorization", "").partition(" ")[2]
    if credentials:
        found.add(credentials)
        plain.append(_basic_secret(credentials))
    for secret in plain:
        found |= {secret, unquote(secret), quote(secret, safe=""), quote_plus(secret)}
    return tuple(found - {""})


def _basic_secret(credentials: str) -> str:
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return pair.partition(":")[2]


def credentials_of(response: Any) -> tuple[str, ...]:
    """Return the token that a reply's call carried, which an API may echo; none where the reply knows of no call."""
    try:
        authorization = response.request.headers.get("Authorization", "")
    except RuntimeError:  # a reply that was made by hand
        return ()
    return tuple(filter(None, [authorization.partition(" ")[2]]))
