"""HTTP/2 connections that a server ends or refuses in part: what it did not process becomes a refused stream.

httpcore fails all streams of a connection after GOAWAY (RFC 9113 §6.8), those included that the server still answers.
So GOAWAY is taken out of the received frames: the streams that it excludes get RST_STREAM with REFUSED_STREAM (§8.7),
which fails them alone, the others end normally, and the pool puts no further request on the connection.
"""

from __future__ import annotations

import struct
from typing import Any

_HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 1, 3, 4, 7
_REFUSED_STREAM = 7
_MAX_CONCURRENT_STREAMS = 3
_HEAD = 9
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ACK = 1
_ID = 0x7FFFFFFF
#: The limit of httpcore for the streams of one connection.
_STREAMS = 100


class Http2Session:
    """The streams of one connection, as its frames tell.

    Args:
        streams: The number of requests at once, unless the server takes fewer.
    """

    def __init__(self, streams: int = _STREAMS) -> None:
        #: The number of requests at once.
        self.streams = streams
        self._refused: set[int] = set()
        self._highest = -1
        #: The last stream that the server processes, after GOAWAY.
        self._last: int | None = None
        self._added = b""
        #: The bytes that remain of a frame that was passed on in part.
        self._rest = 0
        #: The beginning of a frame that is not passed on yet.
        self._held = b""
        self._stream: Any = None

    def attach(self, stream: Any) -> None:
        """Note the network stream."""
        self._stream = stream

    @property
    def is_ending(self) -> bool:
        """Whether the server takes no further stream."""
        return self._last is not None

    @property
    def is_stale(self) -> bool:
        """Whether an idle connection is not to be used again; a server that sends on one has ended it, most likely."""
        return self.is_ending or (self._stream is not None and self._stream.get_extra_info("is_readable"))

    def was_refused(self, error: BaseException) -> bool:
        """Return whether an error of httpcore says that the server has not processed the request."""
        event = error.args[0] if error.args else None
        stream_id = getattr(event, "stream_id", None)
        return stream_id is not None and stream_id in self._refused

    def send(self, data: bytes) -> bytes:
        """Note the streams that are opened, and return what is to be sent; httpcore sends whole frames.

        A stream that is opened after GOAWAY is refused here: the server would ignore it, or may have closed the socket.
        """
        position = len(_PREFACE) if data.startswith(_PREFACE) else 0
        start, passed, end = 0, [], len(data)
        while position + _HEAD <= end:
            after = position + _HEAD + (_number(data, position) >> 8)
            stream_id = _number(data, position + 5)
            if data[position + 3] == _HEADERS:
                self._highest = max(self._highest, stream_id)
            if self._last is not None and stream_id > self._last:
                passed.append(data[start:position])
                start = after
            position = after
        if self._last is not None:
            self._added += self._refuse(self._last)
        return b"".join((*passed, data[start:])) if passed else data

    def take_added(self) -> bytes:
        """Return frames that are to be received before the next ones of the server."""
        added, self._added = self._added, b""
        return added

    def receive(self, data: bytes) -> bytes:
        """Return received bytes for httpcore; empty if more are needed."""
        data = self._held + data
        self._held = b""
        position, end = self._rest, len(data)
        start, passed = 0, []
        while position < end:
            after = position + _HEAD
            if after <= end:
                after += _number(data, position) >> 8
                kind = data[position + 3]
            else:
                kind = None
            if kind in (None, _RST_STREAM, _SETTINGS, _GOAWAY):
                if after > end or kind is None:
                    self._held = data[position:]
                    end = position
                    break
                if kind == _GOAWAY:
                    passed += [data[start:position], self._refuse(_number(data, position + _HEAD) & _ID)]
                    start = after
                else:
                    self._note(kind, data, position, after)
            position = after
        self._rest = max(position - end, 0)
        return b"".join((*passed, data[start:end])) if passed else data[:end]

    def _note(self, kind: int, data: bytes, position: int, after: int) -> None:
        payload = position + _HEAD
        if kind == _RST_STREAM and _number(data, payload) == _REFUSED_STREAM:
            self._refused.add(_number(data, position + 5) & _ID)
        elif kind == _SETTINGS and not data[position + 4] & _ACK:
            for name, value in struct.iter_unpack(">HI", data[payload:after]):
                if name == _MAX_CONCURRENT_STREAMS:
                    self.streams = min(value, self.streams)

    def _refuse(self, last: int) -> bytes:
        """Return frames that refuse the streams above the last one that the server processes."""
        self._last = last
        # Clients open streams with odd numbers.
        refused = range(last + 1 + last % 2, self._highest + 1, 2)
        new = [number for number in refused if number not in self._refused]
        self._refused.update(new)
        head = b"\x00\x00\x04" + bytes((_RST_STREAM, 0))
        return b"".join(head + struct.pack(">II", number, _REFUSED_STREAM) for number in new)


def _number(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 4], "big")


def async_backend(core: Any, session: Http2Session) -> Any:
    """Return a network backend of httpcore or httpcore2 whose connections pass their HTTP/2 frames to a session."""

    class AsyncHttp2Stream(core.AsyncNetworkStream):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self._speaks = _speaks_http2(inner)
            self.aclose = inner.aclose
            self.get_extra_info = inner.get_extra_info

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
            if not self._speaks:
                data: bytes = await self._inner.read(max_bytes, timeout)
                return data
            while not (passed := session.take_added()):
                data = await self._inner.read(max_bytes, timeout)
                passed = session.receive(data) or session.take_added()
                if passed or not data:
                    break
            return passed

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
            if self._speaks:
                buffer = session.send(buffer)
            await self._inner.write(buffer, timeout)

        async def start_tls(self, *arguments: Any, **options: Any) -> Any:
            stream = AsyncHttp2Stream(await self._inner.start_tls(*arguments, **options))
            session.attach(stream)
            return stream

    class AsyncHttp2Backend(core.AnyIOBackend):  # type: ignore[misc]
        async def connect_tcp(self, *arguments: Any, **options: Any) -> Any:
            return AsyncHttp2Stream(await super().connect_tcp(*arguments, **options))

    return AsyncHttp2Backend()


def sync_backend(core: Any, session: Http2Session) -> Any:
    """Return the blocking twin of `async_backend`."""

    class Http2Stream(core.NetworkStream):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self._speaks = _speaks_http2(inner)
            self.close = inner.close
            self.get_extra_info = inner.get_extra_info

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            if not self._speaks:
                data: bytes = self._inner.read(max_bytes, timeout)
                return data
            while not (passed := session.take_added()):
                data = self._inner.read(max_bytes, timeout)
                passed = session.receive(data) or session.take_added()
                if passed or not data:
                    break
            return passed

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            if self._speaks:
                buffer = session.send(buffer)
            self._inner.write(buffer, timeout)

        def start_tls(self, *arguments: Any, **options: Any) -> Any:
            stream = Http2Stream(self._inner.start_tls(*arguments, **options))
            session.attach(stream)
            return stream

    class Http2Backend(core.SyncBackend):  # type: ignore[misc]
        def connect_tcp(self, *arguments: Any, **options: Any) -> Any:
            return Http2Stream(super().connect_tcp(*arguments, **options))

    return Http2Backend()


def _speaks_http2(stream: Any) -> bool:
    tls = stream.get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() == "h2"
