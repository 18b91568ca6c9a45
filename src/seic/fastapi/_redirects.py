"""Return paths: where the browser goes after a login. Only paths of this application are accepted."""

from __future__ import annotations

import string
from urllib.parse import quote

from starlette.requests import HTTPConnection

#: Bytes of an encoded path: encrypted with the rest it has to fit a cookie of 4096 bytes (RFC 6265 §6.1).
_MAX_PATH = 1500
#: Characters that a header carries unescaped, in addition to letters and digits.
_SAFE = string.punctuation


def requested_path(connection: HTTPConnection) -> str:
    """Return the requested path and query as they were sent."""
    raw = connection.scope.get("raw_path")
    # ASGI servers may omit `raw_path`; in the decoded `path` an encoded slash looks like any other.
    path = quote(raw, safe=_SAFE) if raw else quote(connection.scope["path"])
    query = quote(connection.scope["query_string"], safe=_SAFE)
    return f"{path}?{query}" if query else path


def safe_redirect_path(text: str | None) -> str | None:
    """Return a path of this application, or None for anything that a browser may take for another host.

    Browsers read a backslash as a slash, and drop tabs and line breaks.
    """
    if text is None or not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return None
    # Only what a header cannot carry is encoded: `%2F` and `/` are two addresses.
    quoted = quote(text, safe=_SAFE)
    return quoted if len(quoted) <= _MAX_PATH else None
