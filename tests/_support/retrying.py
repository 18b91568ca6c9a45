"""An API with planned responses, and 200 after them."""

from __future__ import annotations

from collections import deque
from typing import Any

from tests._support.api import Api

Answer = tuple[int, dict[str, str], bytes]


class Plan:
    """An API with planned responses, and 200 after them."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.api = Api()
        self.left = deque(answers)
        self.api.answer = self._next

    @property
    def calls(self) -> int:
        """The number of requests."""
        return len(self.api.calls)

    def _next(self, _: Any) -> Answer | None:
        answer = self.left.popleft() if self.left else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def busy(status: int = 503, body: bytes = b"", **headers: str) -> Answer:
    """Return a temporary failure."""
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body
