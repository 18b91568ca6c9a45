"""The address that a person is sent back to after a login: as it was asked for, and of this application only."""

from __future__ import annotations

import string
from urllib.parse import quote

from starlette.requests import HTTPConnection

#: Bytes of an encoded path: sealed with the rest it has to fit a cookie of 4096 (RFC 6265 §6.1).
_LONGEST_PATH = 1500
#: What a header carries as it is.
_VISIBLE = string.punctuation


def requested_path(connection: HTTPConnection) -> str:
    """Return the path and query that were asked for, as they were sent."""
    raw = connection.scope.get("raw_path")
    # Not every server has it; the other is decoded, and cannot tell an encoded slash from one that is not.
    path = quote(raw, safe=_VISIBLE) if raw else quote(connection.scope["path"])
    query = quote(connection.scope["query_string"], safe=_VISIBLE)
    return f"{path}?{query}" if query else path


def safe_redirect_path(text: str | None) -> str | None:
    """Return a path of this application, or None for anything that a browser might take for another host.

    Browsers read a backslash as a slash, and drop tabs and line ends, so more begins with two slashes than shows.
    """
    if text is None or not text.startswith("/"):
        return None
    if text.startswith("//") or "\\" in text or not text.isprintable():
        return None
    # Encoded where a header does not take it; all else stays as it came, for `%2F` and `/` are two addresses.
    quoted = quote(text, safe=_VISIBLE)
    return quoted if len(quoted) <= _LONGEST_PATH else None
