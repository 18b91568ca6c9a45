"""`ReplayableBody`: decide whether a request body can be sent a second time, and rewind its files.

A file at its end or an exhausted iterator would be sent as an empty body, and the server could not tell. So a body is
replayed only if it is known to start from its beginning again.
"""

from __future__ import annotations

import inspect
import os
from types import FunctionType, NoneType
from typing import Any

#: The key in a response's `extensions` for the reason why a 401 was returned and not retried.
NOT_REPLAYED = "seic.not_replayed"

_USED_UP = "the body was a generator, an iterator or an object that may hold one, which can be sent only once"
_NO_WAY_BACK = "the body was a file that cannot be rewound"

_IN_MEMORY = (str, bytes, bytearray, memoryview)
#: Types of attributes that sending does not use up; files, iterators, queues and their methods are not among them.
_LASTING = (*_IN_MEMORY, int, float, os.PathLike, NoneType, FunctionType)


class ReplayableBody:
    """A body that is not in memory, and its state before it was sent.

    A list, or an object whose `__iter__` or `__aiter__` is a generator function and which holds nothing that sending
    uses up, can be sent again as it is. A file is rewound to its position. A multipart form depends on its files.

    Args:
        stream: The stream of a request of httpx or httpx2.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        #: The reason why it cannot be sent again, for a message; None if it can.
        self.problem: str | None = None
        self._starts: list[tuple[Any, Any]] = []

    def save_position_sync(self) -> None:
        """Save the positions of its files before it is sent, blocking."""
        for source in self._files():
            try:
                if not source.seekable():
                    self.problem = _NO_WAY_BACK
                    return
                self._starts.append((source, source.tell()))
            except Exception:  # noqa: BLE001  # closed, or not a file: httpx reports it next
                self.problem = _NO_WAY_BACK

    async def save_position(self) -> None:
        """Save the positions of its files before it is sent; a file may be an async one."""
        for source in self._files():
            try:
                if not await _result(source.seekable()):
                    self.problem = _NO_WAY_BACK
                    return
                self._starts.append((source, await _result(source.tell())))
            except Exception:  # noqa: BLE001  # closed, or not a file: httpx reports it next
                self.problem = _NO_WAY_BACK

    def rewind_sync(self) -> bool:
        """Rewind its files to the saved positions, blocking; return whether it can be sent again."""
        try:
            for source, start in self._starts:
                source.seek(start)
        except Exception:  # noqa: BLE001  # the first response is better than an error of the file
            self.problem = _NO_WAY_BACK
        return self.problem is None

    async def rewind(self) -> bool:
        """Rewind its files to the saved positions; return whether it can be sent again."""
        try:
            for source, start in self._starts:
                await _result(source.seek(start))
        except Exception:  # noqa: BLE001  # the first response is better than an error of the file
            self.problem = _NO_WAY_BACK
        return self.problem is None

    def _files(self) -> list[Any]:
        """Return the files that must be rewound."""
        files = []
        for source in _sources(self.stream):
            if hasattr(source, "read") or hasattr(source, "aread"):
                files.append(source)
            elif not _restarts(source):
                self.problem = _USED_UP
        return files


def _sources(stream: Any) -> list[Any]:
    """Return the caller's content from the stream that httpx made of it."""
    fields = getattr(stream, "fields", None)
    if isinstance(fields, list):  # a multipart form
        return [field.file for field in fields if not isinstance(getattr(field, "file", b""), str | bytes)]
    return [getattr(stream, "_stream", stream)]


def _restarts(source: Any) -> bool:
    """Whether each iteration is known to start from the beginning; a stored iterator does not."""
    if isinstance(source, (*_IN_MEMORY, list, tuple)):
        return True
    kind = type(source)
    makes = inspect.isgeneratorfunction(getattr(kind, "__iter__", None))
    makes_async = inspect.isasyncgenfunction(getattr(kind, "__aiter__", None))
    return (makes or makes_async) and all(_lasts(value) for value in _held_by(source))


def _held_by(source: Any) -> list[Any]:
    """Return the values of an object's attributes, those in slots included."""
    state: Any = object.__getstate__(source)
    return [value for part in (state if isinstance(state, tuple) else (state,)) for value in (part or {}).values()]


def _lasts(value: Any) -> bool:
    """Whether iterating over a value leaves it unchanged."""
    if isinstance(value, list | tuple):
        return all(isinstance(each, _LASTING) for each in value)
    return isinstance(value, _LASTING)


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
