"""Reading the start of a body without consuming it."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import attrs
import httpx
import httpx2
import pytest

from seic._api.body_prefix import LONGEST, discard, discard_sync, read_prefix, read_prefix_sync

PART = 1000
FITS, TOO_LONG = b"x" * LONGEST, b"x" * (LONGEST + 1)


def _done(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits, without an event loop, whose end would close a partly read response."""
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


@attrs.define
class Body:
    """A body that arrives in parts.

    Attributes:
        read: The number of bytes that were read.
        closed: Whether it was closed.
    """

    content: bytes
    read: int = 0
    closed: bool = False

    def parts(self) -> Iterator[bytes]:
        """Yield the parts."""
        for at in range(0, len(self.content), PART):
            part = self.content[at : at + PART]
            self.read += len(part)
            yield part

    def stream(self, library: Any) -> Any:
        """Return it as a stream of a library."""
        body = self

        class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
            """A stream as a transport returns it."""

            def __iter__(self) -> Iterator[bytes]:
                yield from body.parts()

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for part in body.parts():
                    yield part

            def close(self) -> None:
                body.closed = True

            async def aclose(self) -> None:
                body.closed = True

        return Stream()


@attrs.frozen
class Way:
    """A library, blocking or not."""

    library: Any
    read_prefix: Callable[[Any], bytes | None]
    discard: Callable[[Any], None]
    read: Callable[[Any], bytes]

    def response(self, body: Body, encoding: str | None = None) -> Any:
        """Return an unread response."""
        headers = {} if encoding is None else {"Content-Encoding": encoding}
        return self.library.Response(401, headers=headers, stream=body.stream(self.library))


WAYS = [
    pytest.param(Way(library, *calls), id=f"{library.__name__}, {name}")
    for library in (httpx, httpx2)
    for name, calls in {
        "blocking": (read_prefix_sync, discard_sync, lambda response: response.read()),
        "async": (
            lambda response: _done(read_prefix(response)),
            lambda response: _done(discard(response)),
            lambda response: _done(response.aread()),
        ),
    }.items()
]
pytestmark = pytest.mark.parametrize("way", WAYS)


@pytest.mark.parametrize(
    ("wire", "encoding", "content"),
    [
        pytest.param(b"", None, b"", id="nothing"),
        pytest.param(b'{"code": 1}', None, b'{"code": 1}', id="an error"),
        pytest.param(b'{"code": 1}', "identity", b'{"code": 1}', id="identity"),
        pytest.param(FITS, None, FITS, id="the longest"),
        pytest.param(gzip.compress(b'{"code": 1}'), "gzip", b'{"code": 1}', id="gzip"),
        pytest.param(gzip.compress(FITS), " GZip ", FITS, id="gzip, the longest, in other letters"),
        pytest.param(zlib.compress(b'{"code": 1}'), "deflate", b'{"code": 1}', id="deflate"),
    ],
)
def test_a_short_body_is_seen_and_can_be_read(way: Way, wire: bytes, encoding: str | None, content: bytes) -> None:
    """Its prefix is all of it, and the caller can read it."""
    body = Body(wire)
    response = way.response(body, encoding)
    assert way.read_prefix(response) == content
    assert not response.is_closed
    assert way.read(response) == content
    assert response.num_bytes_downloaded == len(wire)
    assert body.closed


@pytest.mark.parametrize(
    ("wire", "encoding", "content"),
    [
        pytest.param(TOO_LONG, None, TOO_LONG, id="too long by one"),
        pytest.param(gzip.compress(TOO_LONG), "gzip", TOO_LONG, id="too long by one, gzip"),
        pytest.param(gzip.compress(gzip.compress(b"{}")), "gzip, gzip", b"{}", id="twice compressed"),
    ],
)
def test_a_long_body_is_not_seen_and_can_be_read(way: Way, wire: bytes, encoding: str | None, content: bytes) -> None:
    """A part of it is not evaluated; the caller gets all of it."""
    response = way.response(Body(wire), encoding)
    assert way.read_prefix(response) is None
    assert way.read(response) == content


def test_no_more_is_read_than_is_looked_at(way: Way) -> None:
    """For a body of any length."""
    body = Body(b"x" * 100 * LONGEST)
    response = way.response(body)
    assert way.read_prefix(response) is None
    assert LONGEST < body.read <= LONGEST + PART
    assert way.read(response) == body.content


def test_a_bomb_costs_little(way: Way) -> None:
    """No more is decompressed than the limit."""
    response = way.response(Body(gzip.compress(b"x" * 50_000_000)), "gzip")
    tracemalloc.start()
    try:
        assert way.read_prefix(response) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_what_cannot_be_decompressed_is_not_seen(way: Way) -> None:
    """The caller gets the error of the library."""
    response = way.response(Body(b"no gzip"), "gzip")
    assert way.read_prefix(response) is None
    with pytest.raises(way.library.DecodingError):
        way.read(response)


@pytest.mark.parametrize(("content", "seen"), [(FITS, FITS), (TOO_LONG, None)], ids=["short", "long"])
def test_a_body_that_was_read_already(way: Way, content: bytes, seen: bytes | None) -> None:
    """As one of an in-memory transport."""
    response = way.library.Response(401, content=content)
    assert way.read_prefix(response) == seen
    way.discard(response)
    assert way.read(response) == content


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_body_that_nobody_wants_is_closed_and_empty(way: Way, encoding: str | None) -> None:
    """The library reads the response of a call that is retried; it finds nothing more."""
    body = Body(gzip.compress(b"x" * 50_000_000) if encoding else b"x" * 100 * LONGEST)
    response = way.response(body, encoding)
    assert way.read_prefix(response) is None
    way.discard(response)
    read = body.read
    assert body.closed
    assert way.read(response) == b""
    assert body.read == read
