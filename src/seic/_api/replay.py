"""Whether a request's body can be sent a second time, and what has to be done for that. It sends nothing itself.

A body that is sent again must be the whole body: a file that stands at its end, or an iterator that is used up, would
go out as an empty one, and the server could not tell. So what is not known to begin anew is not sent again.
"""

from __future__ import annotations

import inspect
import os
from types import FunctionType, NoneType
from typing import Any

#: The key in a response's `extensions` under which it says why a 401 was handed on.
NOT_REPLAYED = "seic.not_replayed"

_USED_UP = "the body was a generator, an iterator or an object that may hold one, which is used up by sending it once"
_NO_WAY_BACK = "the body was a file that cannot be rewound"

_IN_MEMORY = (str, bytes, bytearray, memoryview)
#: What an object may hold and yet begin anew. A file, an iterator or a queue is none of these, nor is their method.
_LASTING = (*_IN_MEMORY, int, float, os.PathLike, NoneType, FunctionType)


class ReplayableBody:
    """A body that is not in memory, as it was before it was sent.

    What begins anew with each iteration (a list, an object whose `__iter__` or `__aiter__` is a generator function and
    which holds nothing that is used up) can be sent again as it is; a file is rewound to where it stood; a multipart
    form is as good as its files.

    Args:
        stream: The stream of a request of httpx or httpx2.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        #: Why it cannot be sent again, in words for a person; None where it can.
        self.problem: str | None = None
        self._starts: list[tuple[Any, Any]] = []

    def mark(self) -> None:
        """Note where its files stand, before it is sent."""
        for source in self._look():
            try:
                if not source.seekable():
                    self.problem = _NO_WAY_BACK
                    return
                self._starts.append((source, source.tell()))
            except Exception:  # noqa: BLE001  # closed, or no file after all: httpx meets it next, and says so
                self.problem = _NO_WAY_BACK

    async def mark_async(self) -> None:
        """Note where its files stand; a file may be an async one."""
        for source in self._look():
            try:
                if not await _result(source.seekable()):
                    self.problem = _NO_WAY_BACK
                    return
                self._starts.append((source, await _result(source.tell())))
            except Exception:  # noqa: BLE001  # closed, or no file after all: httpx meets it next, and says so
                self.problem = _NO_WAY_BACK

    def rewind(self) -> bool:
        """Put its files back to where they stood; return whether it can be sent again."""
        try:
            for source, start in self._starts:
                source.seek(start)
        except Exception:  # noqa: BLE001  # whatever the file says, the first answer is better than an error
            self.problem = _NO_WAY_BACK
        return self.problem is None

    async def rewind_async(self) -> bool:
        """Put its files back to where they stood; return whether it can be sent again."""
        try:
            for source, start in self._starts:
                await _result(source.seek(start))
        except Exception:  # noqa: BLE001  # whatever the file says, the first answer is better than an error
            self.problem = _NO_WAY_BACK
        return self.problem is None

    def _look(self) -> list[Any]:
        """Return the files that have to be rewound."""
        files = []
        for source in _sources(self.stream):
            if hasattr(source, "read") or hasattr(source, "aread"):
                files.append(source)
            elif not _begins_anew(source):
                self.problem = _USED_UP
        return files


def _sources(stream: Any) -> list[Any]:
    """Return what a caller gave, below the stream that httpx made of it."""
    fields = getattr(stream, "fields", None)
    if isinstance(fields, list):  # a multipart form
        return [field.file for field in fields if not isinstance(getattr(field, "file", b""), str | bytes)]
    return [getattr(stream, "_stream", stream)]


def _begins_anew(source: Any) -> bool:
    """Tell whether each iteration is known to start from the beginning; one that returns a stored iterator does not."""
    if isinstance(source, (*_IN_MEMORY, list, tuple)):
        return True
    kind = type(source)
    makes = inspect.isgeneratorfunction(getattr(kind, "__iter__", None))
    makes_async = inspect.isasyncgenfunction(getattr(kind, "__aiter__", None))
    return (makes or makes_async) and all(_lasts(value) for value in _held_by(source))


def _held_by(source: Any) -> list[Any]:
    """Return what an object's attributes hold, those in slots included."""
    state: Any = object.__getstate__(source)
    return [value for part in (state if isinstance(state, tuple) else (state,)) for value in (part or {}).values()]


def _lasts(value: Any) -> bool:
    """Tell whether a value is the same however often it was looked through."""
    if isinstance(value, list | tuple):
        return all(isinstance(each, _LASTING) for each in value)
    return isinstance(value, _LASTING)


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
