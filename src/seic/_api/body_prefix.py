"""A look at the beginning of an answer's body, which takes nothing from whoever reads the answer next.

An API may send as much as it likes with an error, and what is compressed may become a thousand times as much. What an
error says of itself is short, so no more is looked at than that takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:

    class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
        pass

else:
    _kinds = (httpx.SyncByteStream, httpx.AsyncByteStream)
    with contextlib.suppress(ModuleNotFoundError):
        import httpx2

        _kinds += (httpx2.SyncByteStream, httpx2.AsyncByteStream)
    # A client asks whether a stream is of its own library.
    _Stream = type("_Stream", _kinds, {})

#: The longest body that is looked at, in bytes, on the wire and decompressed: some ten times the longest error form.
LONGEST = 64 * 1024
#: How much is decompressed at a time, in bytes: a bomb costs a thousand times that before it is seen.
_PIECE = 256


async def peek_async(response: Any) -> bytes | None:
    """Return a body, decompressed; None where it is too long for that, or cannot be decompressed.

    Args:
        response: An answer of httpx or httpx2; it can be read afterwards as if nobody had looked.
    """
    if response.is_closed:
        return _if_short(response.content)
    start, size, rest = [], 0, aiter(response.stream)
    async for part in rest:
        start.append(part)
        size += len(part)
        if size > LONGEST:
            break
    response.stream = _Rejoined(start, rest, response.stream)
    return _decompress(b"".join(start), response.headers) if size <= LONGEST else None


def peek(response: Any) -> bytes | None:
    """Return a body, blocking; see `peek_async`."""
    if response.is_closed:
        return _if_short(response.content)
    start, size, rest = [], 0, iter(response.stream)
    for part in rest:
        start.append(part)
        size += len(part)
        if size > LONGEST:
            break
    response.stream = _Rejoined(start, rest, response.stream)
    return _decompress(b"".join(start), response.headers) if size <= LONGEST else None


async def discard_async(response: Any) -> None:
    """End an answer whose body nobody wants: httpx would read all of it before it repeats the call."""
    if not response.is_closed:
        await response.stream.aclose()
        response.stream = _Rejoined([], _nothing(), response.stream)


def discard(response: Any) -> None:
    """End an answer whose body nobody wants, blocking; see `discard_async`."""
    if not response.is_closed:
        response.stream.close()
        response.stream = _Rejoined([], iter(()), response.stream)


class _Rejoined(_Stream):
    """A body that was read in part, whole again."""

    def __init__(self, start: list[bytes], rest: Any, stream: Any) -> None:
        self._start = start
        self._rest = rest
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._start:
            yield part
        async for part in self._rest:
            yield part

    def __iter__(self) -> Iterator[bytes]:
        yield from self._start
        yield from self._rest

    async def aclose(self) -> None:
        await self._stream.aclose()

    def close(self) -> None:
        self._stream.close()


async def _nothing(parts: tuple[bytes, ...] = ()) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _if_short(body: bytes) -> bytes | None:
    return body if len(body) <= LONGEST else None


def _decompress(raw: bytes, headers: Any) -> bytes | None:
    encoding = headers.get("Content-Encoding", "").strip()
    if encoding.lower() in ("", "identity"):
        return raw
    if "," in encoding:  # compressed twice: there, a piece may become a thousand times a thousand times as much
        return None
    # httpx knows each encoding that was asked for. One that it does not know passes as it is, and makes no sense.
    pieces = (raw[at : at + _PIECE] for at in range(0, len(raw), _PIECE))
    twin = httpx.Response(
        200, headers={"Content-Encoding": encoding}, stream=_Rejoined([], pieces, httpx.ByteStream(b""))
    )
    body = b""
    try:
        for part in twin.iter_bytes():
            body += part
            if len(body) > LONGEST:
                return None
    except httpx.DecodingError:
        return None
    return body
