"""`ExpectedRequest`: API requests that a `MockProvider` answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import attrs
import httpx

#: The arguments of a response, a response of httpx, or an exception to raise.
Answer: TypeAlias = Mapping[str, Any] | httpx.Response | BaseException


@attrs.define(kw_only=True)
class ExpectedRequest:
    """Requests that have a response; None matches any value.

    Args:
        answer: The answer, or a function that returns it for a request.
        method: The method.
        path: The path.
        query: The query.
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
            and self.path in {None, request.url.path}
            and self.query in {None, request.url.query.decode()}
            and self.digest in {None, hashlib.sha256(request.content).hexdigest()}
        )

    def answer_to(self, request: Any) -> Answer:
        """Return the answer to a request, which is counted."""
        self.count += 1
        return self.answer(request) if callable(self.answer) else self.answer

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"{self.method or 'any method'} {self.path or 'any path'}{query}"


def find_expected(expected: list[ExpectedRequest], request: Any) -> ExpectedRequest | None:
    """Return the first that matches a request; those with a path come first."""
    found = [each for each in expected if each.matches(request)]
    return next((each for each in found if each.path is not None), found[0] if found else None)


def form_of(request: Any) -> dict[str, str]:
    """Return the form of a POST; empty for any other request."""
    is_form = request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return dict(parse_qsl(request.content.decode())) if is_form and request.method == "POST" else {}
