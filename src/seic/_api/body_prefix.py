"""Read the beginning of a response body and leave the whole body to the next reader.

An API may send any amount with an error, and a compressed body may become a thousand times as large. Error documents
are short, so only a limited prefix is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from seic._httpx import httpx_of, stream_class

#: The longest body that is read, in bytes, on the wire and decompressed: about ten times the longest error document.
LONGEST = 64 * 1024
#: Bytes that are decompressed at a time: a compression bomb costs at most a thousand times that.
_PIECE = 256


async def read_prefix(response: Any) -> bytes | None:
    """Return a body, decompressed; None if it is too long, or cannot be decompressed.

    Args:
        response: A response of httpx or httpx2; its body can still be read from the beginning afterwards.
    """
    if response.is_closed:
        return _if_short(response.content)
    start, size, rest = [], 0, aiter(response.stream)
    async for part in rest:
        start.append(part)
        size += len(part)
        if size > LONGEST:
            break
    response.stream = _prefixed(response, start, rest)
    return _decompress(b"".join(start), response.headers) if size <= LONGEST else None


def read_prefix_sync(response: Any) -> bytes | None:
    """Return a body, blocking; see `read_prefix`."""
    if response.is_closed:
        return _if_short(response.content)
    start, size, rest = [], 0, iter(response.stream)
    for part in rest:
        start.append(part)
        size += len(part)
        if size > LONGEST:
            break
    response.stream = _prefixed(response, start, rest)
    return _decompress(b"".join(start), response.headers) if size <= LONGEST else None


async def discard(response: Any) -> None:
    """Close a response whose body is not needed: httpx would read all of it before it sends the request again."""
    if not response.is_closed:
        await response.stream.aclose()
        response.stream = _prefixed(response, [], _nothing())


def discard_sync(response: Any) -> None:
    """Close a response whose body is not needed, blocking; see `discard`."""
    if not response.is_closed:
        response.stream.close()
        response.stream = _prefixed(response, [], iter(()))


class _PrefixedStream:
    """A body that was read in part, complete again."""

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


def _prefixed(response: Any, start: list[bytes], rest: Any) -> Any:
    return stream_class(_PrefixedStream, httpx_of(type(response)))(start, rest, response.stream)


async def _nothing(parts: tuple[bytes, ...] = ()) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _if_short(body: bytes) -> bytes | None:
    return body if len(body) <= LONGEST else None


def _decompress(raw: bytes, headers: Any) -> bytes | None:
    encoding = headers.get("Content-Encoding", "").strip()
    if encoding.lower() in ("", "identity"):
        return raw
    if "," in encoding:  # compressed twice: a piece may become a million times as large
        return None
    # httpx decodes each encoding that was requested. It passes an unknown one on unchanged, which then fails to parse.
    pieces = (raw[at : at + _PIECE] for at in range(0, len(raw), _PIECE))
    stream = stream_class(_PrefixedStream, httpx)([], pieces, httpx.ByteStream(b""))
    twin = httpx.Response(200, headers={"Content-Encoding": encoding}, stream=stream)
    body = b""
    try:
        for part in twin.iter_bytes():
            body += part
            if len(body) > LONGEST:
                return None
    except httpx.DecodingError:
        return None
    return body
