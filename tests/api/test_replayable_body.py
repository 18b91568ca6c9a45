"""Request bodies that can be sent again."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from seic._api.replayable_body import ReplayableBody


class Stored:
    """An iterable with one stored iterator, which is consumed after the first time."""

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
    """An iterable that creates its chunks each time."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"money"


class Told:
    """An upload that reports its progress; its content comes from another object."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        yield from self._source


class ToldAsync(Told):
    """The same for async clients."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._source:
            yield chunk


@attrs.define
class Slotted:
    """The same with slots."""

    source: Any

    def __iter__(self) -> Iterator[bytes]:
        yield from self.source


@pytest.mark.parametrize("kind", [Told, ToldAsync, Slotted])
@pytest.mark.parametrize(
    ("make", "repeatable"),
    [
        pytest.param(lambda: io.BytesIO(b"money"), False, id="file"),
        pytest.param(lambda: iter([b"money"]), False, id="iterator"),
        pytest.param(lambda: [io.BytesIO(b"money")], False, id="list of files"),
        pytest.param(lambda: Told(io.BytesIO(b"money")), False, id="another that holds a file"),
        pytest.param(lambda: io.BytesIO(b"money").read, False, id="a file's method"),
        pytest.param(lambda: b"money", True, id="bytes"),
        pytest.param(lambda: [b"mo", b"ney"], True, id="list of bytes"),
        pytest.param(lambda: Path("/orders"), True, id="path"),
        pytest.param(lambda: 5, True, id="number"),
        pytest.param(lambda: None, True, id="nothing"),
        pytest.param(lambda: lambda: iter([b"money"]), True, id="function that makes it"),
    ],
)
def test_what_holds_something_that_may_be_used_up_is_not_sent_again(
    kind: Callable[[Any], Any], make: Callable[[], Any], repeatable: bool
) -> None:
    """A generator function starts again, but the file that it reads from is at its end."""
    marked = ReplayableBody(kind(make()))
    marked.save_position_sync()
    assert (marked.problem is None) is repeatable


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
def test_only_restartable_bodies_are_sent_again(body: Any, repeatable: bool) -> None:
    """Otherwise an empty body would be sent, and the server could not detect it."""
    marked = ReplayableBody(body)
    marked.save_position_sync()
    assert (marked.problem is None) is repeatable
