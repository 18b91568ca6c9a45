"""`ExpectedRequest`: API requests that a `MockProvider` answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import attrs
import httpx

from seic._model.secret import HIDDEN

#: The arguments of a response, a response of httpx, or an exception to raise.
Answer: TypeAlias = Mapping[str, Any] | httpx.Response | BaseException


@attrs.define(kw_only=True)
class ExpectedRequest:
    """Requests that have a response; None matches any value.

    Args:
        answer: The answer, or a function that returns it for a request.
        method: The method.
        path: The path; each `***` matches any part of a segment, as a recording has no secrets.
        query: The query; each `***` matches any part of a value.
        digest: SHA-256 of the body.
        times: The number of requests, each of which must come; None for any number.
        protected: Whether the requests need a valid token.
        count: The number of requests that came.
    """

    answer: Answer | Callable[[Any], Answer]
    method: str | None = None
    path: str | None = None
    query: str | None = None
    digest: str | None = None
    times: int | None = 1
    protected: bool = True
    count: int = 0

    def matches(self, request: Any) -> bool:
        """Return whether this is the response of a request."""
        return (self.times is None or self.count < self.times) and self.is_for(request)

    def is_for(self, request: Any) -> bool:
        """Return whether this is the response of a request, or was before all of its responses were used."""
        return (
            self.method in {None, request.method}
            and _is_equal(self.path, request.url.path, separator="/")
            and _is_equal(self.query, request.url.query.decode(), separator="&")
            and self.digest in {None, hashlib.sha256(request.content).hexdigest()}
        )

    def answer_to(self, request: Any) -> Answer:
        """Return the answer to a request, which is counted."""
        self.count += 1
        return self.answer(request) if callable(self.answer) else self.answer

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"{self.method or 'any method'} {self.path or 'any path'}{query}"


def _is_equal(expected: str | None, text: str, *, separator: str) -> bool:
    """Return whether a path or query is as expected, secrets excepted, which a recording has masked."""
    if expected is None or HIDDEN not in expected:
        return expected in {None, text}
    return re.fullmatch(f"[^{separator}]*".join(map(re.escape, expected.split(HIDDEN))), text) is not None


def find_expected(expected: list[ExpectedRequest], request: Any) -> ExpectedRequest | None:
    """Return the first that matches a request; those with a path come first."""
    found = [each for each in expected if each.matches(request)]
    return next((each for each in found if each.path is not None), found[0] if found else None)


def form_of(request: Any) -> dict[str, str]:
    """Return the form of a POST; empty for any other request."""
    is_form = request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return dict(parse_qsl(request.content.decode())) if is_form and request.method == "POST" else {}
