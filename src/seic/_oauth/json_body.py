"""Reads the JSON of a reply so strictly that what comes out can be trusted: bounded, unambiguous, storable.

Every defect is one exception with words for a person. What the members mean is no matter of this module.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

from seic._oauth.redact import is_text

#: The longest reply that is read, after decompression. A token reply is about a kilobyte; a reply with a large SAML or
#: JWT token is tens of kilobytes.
MAX_REPLY_BYTES = 1024 * 1024

#: The deepest nesting that is taken. Replies of providers have two or three levels; far below Python's recursion limit,
#: so that whatever keeps the document can write it again from any depth of stack.
MAX_DEPTH = 32

# Beyond it a whole number is read as a float: turning digits into an int takes quadratic time, and the limit that
# Python sets against it can be switched off.
_MAX_DIGITS = 400

# More digits than the largest float has.
_NUMBER = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?")

# A longer property is none that a message has to name.
_LONGEST_NAME = 40

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")


_TOO_DEEP = f"the reply is nested deeper than {MAX_DEPTH} levels"


class DefectiveDocument(ValueError):
    """The body is no usable JSON object; the text says why.

    Args:
        problem: What is wrong, in our own words.
        member: The property that it is wrong with, in the body's words.
    """

    def __init__(self, problem: str, *, member: str | None = None) -> None:
        super().__init__(problem if member is None else f"{member} {problem}")
        self.problem = problem
        self.member = member


def read_document(body: bytes) -> dict[str, object]:
    """Read a JSON object (RFC 8259) in UTF-8.

    The content type is not asked: providers mislabel JSON, and what is no JSON fails here anyway.

    Raises:
        DefectiveDocument: It is too long, not UTF-8, not JSON, no object, ambiguous or too deep.
    """
    if len(body) > MAX_REPLY_BYTES:
        raise DefectiveDocument(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
    if not body.strip():
        raise DefectiveDocument("the reply is empty")
    if body.startswith(_BYTE_ORDER_MARKS):
        raise DefectiveDocument(
            "the reply is marked as another encoding: JSON is UTF-8 without a byte order mark (RFC 8259 §8.1)"
        )
    document = _load(body)
    if not isinstance(document, dict):
        raise DefectiveDocument("the reply is JSON, but not an object at the top level")
    for name, value in document.items():
        _check(name, value)
    return document


def _load(body: bytes) -> object:
    # Raised outside the handlers: as a context, a UnicodeDecodeError or JSONDecodeError would keep the body alive, and
    # the body may hold a token.
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise DefectiveDocument("the reply is not UTF-8")
    problem = "the reply is not JSON, or cut off"
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole_number, parse_float=_fraction)
    except DefectiveDocument:
        raise
    except RecursionError:
        problem = _TOO_DEEP
    except ValueError:
        if text.lstrip().startswith("<"):
            problem = "the reply is HTML or XML, not JSON"
    raise DefectiveDocument(problem)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of two values counts differs from parser to parser (RFC 8259 §4): neither is taken.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DefectiveDocument("the reply is ambiguous: a property stands in it twice")
    return members


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else _fraction(digits)


def _fraction(text: str) -> float:
    # JSON has numbers that no float holds. Whoever reads one learns that it is huge, and it can be written again.
    return min(max(float(text), -sys.float_info.max), sys.float_info.max)


def _check(name: str, value: object) -> None:
    """Walk one top-level property without recursion: its depth, its numbers, its characters."""
    # The top-level object is the first level.
    pending: list[tuple[object, int]] = [(name, 2), (value, 2)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, dict | list) and depth > MAX_DEPTH:
            raise DefectiveDocument(_TOO_DEEP)
        if isinstance(item, dict):
            pending.extend((each, depth + 1) for pair in item.items() for each in pair)
        elif isinstance(item, list):
            pending.extend((each, depth + 1) for each in item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise _defective(name, "is not a finite number")
        elif isinstance(item, str) and not is_text(item):
            raise _defective(name, "has half of a surrogate pair")


def _defective(name: str, problem: str) -> DefectiveDocument:
    if len(name) <= _LONGEST_NAME and name.isidentifier():
        return DefectiveDocument(problem, member=name)
    return DefectiveDocument(f"a property {problem}")


def number_in(value: object) -> float | None:
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


def kind_of(value: object) -> str:
    """Name the type of a JSON value that is not null."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")
