"""Parse the JSON of a reply strictly: bounded in size and depth, unambiguous, and storable again as JSON.

Every defect is one exception with a readable message. The meaning of members is left to the callers.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection
from typing import Any

from seic._oauth.redact import is_text

#: The maximum size of a reply, decompressed. A token reply has about 1 KiB; one with a large SAML or JWT token has tens
#: of KiB.
MAX_REPLY_BYTES = 1024 * 1024

#: The maximum nesting. Replies of providers have two or three levels; it is far below Python's recursion limit, so that
#: a store can serialize the document from any stack depth.
MAX_DEPTH = 32

# A longer whole number is read as a float: converting digits to an int takes quadratic time, and Python's own limit can
# be switched off.
_MAX_DIGITS = 400

# More digits than the largest float has.
_NUMBER = r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?"

# A message does not name a longer property.
_LONGEST_NAME = 40

# RFC 8259 §8.1 lets a parser ignore the mark of UTF-8; with another, the body is in another encoding.
_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xfe\xff", b"\xff\xfe")

# Encodings of text that servers declare. Some of Python's others are slow, or not of text.
_CHARSET = r"(?i)charset\s*=\s*[\"']?((?:iso|windows|cp|latin|koi8|euc|big5|gb|shift|utf|us-ascii|ascii)[\w.:-]*)"
_LONGEST_TYPE = 200

_TOO_DEEP = f"the reply is nested deeper than {MAX_DEPTH} levels"


class JsonBodyError(ValueError):
    """The body is not a usable JSON object; the message says why.

    Args:
        problem: The defect, without text from the body.
        member: The name of the defective property, from the body.
    """

    def __init__(self, problem: str, *, member: str | None = None) -> None:
        super().__init__(problem if member is None else f"{member} {problem}")
        self.problem = problem
        self.member = member


def as_utf8(body: bytes, content_type: str | None = None) -> bytes:
    """Return a text of any encoding in UTF-8.

    UTF-16 and UTF-32 are recognised by their first bytes (RFC 4627 §3). Other bytes that are not UTF-8 have the
    declared charset, or else that of Windows, which includes Latin-1.

    Args:
        body: The text.
        content_type: The `Content-Type`, which may name a charset.
    """
    if len(body) > MAX_REPLY_BYTES:
        return body
    declared = re.search(_CHARSET, (content_type or "")[:_LONGEST_TYPE])
    names = [json.detect_encoding(body), declared[1] if declared else "utf-8"]
    for name in names:
        try:
            text = body.decode(name)
        except (LookupError, UnicodeError):
            continue
        return body if name == "utf-8" else text.encode(errors="replace")
    return body.decode("cp1252", "replace").encode()


def read_document(body: bytes, *, members: Collection[str] | None = None) -> dict[str, object]:
    """Parse a JSON object (RFC 8259) in UTF-8.

    The content type is ignored: providers mislabel JSON. A property may occur twice with equal values.

    Args:
        body: The object; NULs after it are ignored.
        members: The properties that matter. Another one is left out if it cannot be stored again as JSON, because it
            has a number that is not finite, or half of a surrogate pair. None: all matter.

    Raises:
        JsonBodyError: It is too long, not UTF-8, not JSON, no object, ambiguous or too deep.
    """
    if len(body) > MAX_REPLY_BYTES:
        raise JsonBodyError(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
    body = body.removeprefix(_UTF8_MARK).rstrip(b"\0 \t\r\n")
    if not body.strip():
        raise JsonBodyError("the reply is empty")
    if body.startswith(_OTHER_MARKS):
        raise JsonBodyError("the reply has the byte order mark of UTF-16: JSON must be UTF-8 (RFC 8259 §8.1)")
    document = _load(body)
    if not isinstance(document, dict):
        raise JsonBodyError("the reply is JSON, but not an object at the top level")
    # Only an escape can bring half of a surrogate pair.
    has_escapes = b"\\u" in body
    for name, value in list(document.items()):
        defect = _defect(value, has_escapes=has_escapes) or _defect(name, has_escapes=has_escapes)
        if defect is not None and (members is None or name in members):
            raise _defective(name, defect)
        if defect is not None:
            del document[name]
    return document


def _load(body: bytes) -> object:
    # Raised outside the handlers: as a context, a UnicodeDecodeError or JSONDecodeError would hold the body, and the
    # body may hold a token.
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise JsonBodyError("the reply is not UTF-8")
    problem = "the reply is not JSON, or truncated"
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole_number, parse_float=_fraction)
    except JsonBodyError:
        raise
    except RecursionError:
        problem = _TOO_DEEP
    except ValueError:
        if text.lstrip().startswith("<"):
            problem = "the reply is HTML or XML, not JSON"
    raise JsonBodyError(problem)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Parsers differ in which of two values they take (RFC 8259 §4): neither is accepted, unless they are equal.
        # Their representations are compared too, because 1 equals true.
        for name, value in pairs:
            kept = members[name]
            if value is not kept and (value != kept or repr(value) != repr(kept)):
                raise JsonBodyError("the reply is ambiguous: it has a property twice")
    return members


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else _fraction(digits)


def _fraction(text: str) -> float:
    # JSON allows numbers beyond a float's range. They are clamped, which keeps them huge and serializable.
    return min(max(float(text), -sys.float_info.max), sys.float_info.max)


def _defect(value: object, *, has_escapes: bool) -> str | None:
    """Return what is wrong with the numbers and characters of one top-level property, or None; no recursion.

    Raises:
        JsonBodyError: It is too deep.
    """
    found: str | None = None
    # The top-level object is the first level.
    pending: list[tuple[object, int]] = [(value, 2)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, dict | list) and depth > MAX_DEPTH:
            raise JsonBodyError(_TOO_DEEP)
        if isinstance(item, dict):
            pending.extend((each, depth + 1) for pair in item.items() for each in pair)
        elif isinstance(item, list):
            pending.extend((each, depth + 1) for each in item)
        elif isinstance(item, float) and not math.isfinite(item):
            found = "is not a finite number"
        elif has_escapes and isinstance(item, str) and not is_text(item):
            found = "has half of a surrogate pair"
    return found


def _defective(name: str, problem: str) -> JsonBodyError:
    if len(name) <= _LONGEST_NAME and name.isidentifier():
        return JsonBodyError(problem, member=name)
    return JsonBodyError(f"a property {problem}")


def number_in(value: object) -> float | None:
    """Return a number, or a string of digits, as a float; None for anything else, infinity beyond its range."""
    if isinstance(value, str):
        # float() alone accepts underscores, "nan" and the digits of every script.
        return float(value.strip()) if re.fullmatch(_NUMBER, value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def kind_of(value: object) -> str:
    """Name the type of a JSON value that is not null."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")
