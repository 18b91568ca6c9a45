"""The `Link` header (RFC 8288 §3): the target of the relation `next`."""

from __future__ import annotations

import re

_NAME = r'[^\s=;,"<>]+'
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s;,"]*'
_LINK = re.compile(rf"<([^<>]*)>((?:\s*;\s*{_NAME}(?:\s*=\s*(?:{_VALUE}))?)*)")
_PARAMETER = re.compile(rf"({_NAME})(?:\s*=\s*({_VALUE}))?")


_NEXT = re.compile(r"""(?i)\brel\s*[=:]\s*["']?[^"';,]*\bnext\b""")


def next_target(header: str) -> str | None:
    """Return the target of the first link whose relations include `next`, in any case; None if there is none.

    httpx's `Response.links` does not find one with several relations, with capitals, or with a `;` in its URL.

    Raises:
        ValueError: There is none, but a malformed part of the header has that relation.
    """
    for target, text in _LINK.findall(header):
        parameters: dict[str, str] = {}
        for name, value in _PARAMETER.findall(text):
            # The first of each name counts (§3.3).
            parameters.setdefault(name.lower(), value.strip("\"'"))
        # One with an anchor is about another document (§3.2).
        if "next" in parameters.get("rel", "").lower().split() and "anchor" not in parameters:
            return str(target)
    if _NEXT.search(_LINK.sub("", header)):
        raise ValueError("malformed")
    return None
