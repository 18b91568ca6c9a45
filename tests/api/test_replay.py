"""Which bodies are known to begin anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from seic._api.replay import Body


class Stored:
    """An iterable of one stored iterator: the second time there is nothing left."""

    def __init__(self) -> None:
        self._chunks = iter([b"all ", b"the ", b"money"])

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


class StoredAsync:
    """The same for async clients."""

    def __init__(self) -> None:
        self._chunks = self._make()

    async def _make(self) -> AsyncIterator[bytes]:
        yield b"money"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


class Anew:
    """An iterable that makes its chunks each time."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"money"


@pytest.mark.parametrize(
    ("body", "repeatable"),
    [
        pytest.param(Stored(), False, id="stored iterator"),
        pytest.param(StoredAsync(), False, id="stored async iterator"),
        pytest.param(iter([b"a"]), False, id="iterator"),
        pytest.param(Anew(), True, id="generator function"),
        pytest.param([b"a"], True, id="list"),
    ],
)
def test_only_what_is_known_to_begin_anew_is_sent_again(body: Any, repeatable: bool) -> None:
    """Else an empty body would go out, and the server could not tell."""
    marked = Body(body)
    marked.mark()
    assert (marked.problem is None) is repeatable
