"""HTTP/2 for aiohttp's requests and responses: one connection, whose frames the library `h2` reads and writes.

aiohttp has no HTTP/2. Each stream becomes a `web.BaseRequest`, and its response is written as frames, so that a handler
does not see a difference. The sandbox and `seic proxy` use it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import RawRequestMessage
from hyperframe.frame import GoAwayFrame
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_BODY_BUFFER = 65536
#: Of HTTP/1.1 alone (RFC 9113 §8.2.2).
_CONNECTION_HEADERS = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class Http2Protocol(asyncio.Protocol):
    """One connection.

    Args:
        respond: Returns the response to a request.
        peer: The client certificate, for the handler.
        closed: Called when the connection is closed.
    """

    def __init__(
        self,
        respond: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        peer: Any,
        closed: Callable[[Http2Protocol], None],
    ) -> None:
        self.respond = respond
        self.peer = peer
        self._closed = closed
        self.transport: asyncio.Transport | None = None
        self.frames = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, Http2Exchange] = {}
        # Set while frames may be written: again after each update of a window or of the transport's buffer.
        self._writable = asyncio.Event()
        self._is_paused = False
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.frames.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        for stream in [*self._streams.values()]:
            stream.end(ConnectionResetError("the client closed the connection"))
        self._closed(self)

    def pause_writing(self) -> None:
        self._is_paused = True
        # Or a client that never reads could collect answers to its pings and settings here (RFC 9113 §10.5).
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self.transport is not None:
            self.transport.resume_reading()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.frames.receive_data(data):
                self._take(event)
        except (h2.exceptions.ProtocolError, UnicodeDecodeError):  # the second: a header that is not UTF-8
            # h2 has written the GOAWAY that says why, unless the client began with other bytes.
            self.flush()
            if self.transport is not None:
                self.transport.close()
            return
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.RequestReceived):
            if self._is_ending:
                self.frames.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                return
            fields = cast("list[tuple[str, str]]", event.headers)
            if event.stream_ended is not None and any(n == "content-length" and int(v) for n, v in fields):
                # Malformed (RFC 9113 §8.1.1); h2 compares the length only with frames of data.
                self.frames.reset_stream(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
                return
            self._streams[event.stream_id] = Http2Exchange(self, event.stream_id, fields)
        elif isinstance(event, h2.events.DataReceived) and stream is not None:
            stream.feed(event.data, event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded) and stream is not None:
            stream.feed_eof()
        elif isinstance(event, h2.events.StreamReset) and stream is not None:
            stream.end(ConnectionResetError("the client reset the stream"))
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._writable.set()
        elif isinstance(event, h2.events.ConnectionTerminated) and self.transport is not None:
            self.transport.close()

    def forget(self, number: int) -> None:
        """Drop a stream that has ended."""
        self._streams.pop(number, None)
        self._close_if_ended()

    def close(self) -> None:
        """Take no further requests, and close the connection when those in progress have ended."""
        if self.transport is None or self._is_ending:
            return
        self._is_ending = True
        # h2's own GOAWAY would end the streams too.
        last = self.frames.highest_inbound_stream_id
        self.transport.write(GoAwayFrame(stream_id=0, last_stream_id=last, error_code=0).serialize())
        self._close_if_ended()

    def _close_if_ended(self) -> None:
        if self._is_ending and not self._streams and self.transport is not None:
            self.flush()
            self.transport.close()

    def flush(self) -> None:
        """Send the frames that h2 has written."""
        data = self.frames.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    async def until_writable(self) -> None:
        """Wait for an update of a window or of the transport's buffer."""
        self._writable.clear()
        await self._writable.wait()

    async def drain(self) -> None:
        """Wait until the transport takes more data.

        Raises:
            ConnectionResetError: The connection is closed.
        """
        while self._is_paused and self.transport is not None:
            await self.until_writable()
        if self.transport is None:
            raise ConnectionResetError("the connection is closed")


class Http2Exchange(BaseProtocol):
    """One request and its response; for aiohttp, the protocol and the transport of the request.

    Args:
        connection: Its connection.
        number: Its number.
        fields: The header section of the request.
    """

    __slots__ = ("_connection", "_is_discarding", "_number", "_task", "_unacknowledged", "body")

    ssl_context = None
    peername = None
    sockname = None

    def __init__(self, connection: Http2Protocol, number: int, fields: list[tuple[str, str]]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self._connection = connection
        self._number = number
        self._unacknowledged = 0
        self._is_discarding = False
        self.transport = cast("asyncio.Transport", self)
        self.body = StreamReader(self, _BODY_BUFFER, loop=loop)
        self._task = loop.create_task(self._respond(_message(fields), loop))

    @property
    def peer(self) -> Any:
        """The client certificate."""
        return self._connection.peer

    async def _respond(self, message: RawRequestMessage, loop: asyncio.AbstractEventLoop) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        writer = Http2StreamWriter(self._connection, self._number)
        request = web.BaseRequest(message, self.body, cast("Any", self), writer, task, loop)
        # A client that left, or a stream that a fault ended.
        with contextlib.suppress(ConnectionError, h2.exceptions.ProtocolError):
            response = await self._connection.respond(request)
            await response.prepare(request)
            await response.write_eof()
        if not writer.has_ended:
            self.abort()
            return
        if self.body.is_eof():
            self._finish()
            return
        # A client may send the rest of its body after the response, and not all clients expect a reset.
        self._is_discarding = True
        self._acknowledge()
        self._connection.flush()

    def feed(self, data: bytes, flow_controlled_length: int) -> None:
        """Take a part of the body; more is sent only when it has been read."""
        self._unacknowledged += flow_controlled_length
        if not self._is_discarding:
            self.body.feed_data(data)
        if self._is_discarding or not self._reading_paused:
            self._acknowledge()

    def feed_eof(self) -> None:
        """Take the end of the body."""
        self.body.feed_eof()
        if self._is_discarding:
            self._finish()

    def pause_reading(self) -> None:
        """Keep the window closed."""
        self._reading_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - of aiohttp
        """Open the window again."""
        self._reading_paused = False
        self._acknowledge()
        self._connection.flush()

    def _acknowledge(self) -> None:
        count, self._unacknowledged = self._unacknowledged, 0
        if count:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._connection.frames.acknowledge_received_data(count, self._number)

    def end(self, error: ConnectionResetError) -> None:
        """End the request, of which there will be no more."""
        self.body.set_exception(error)
        self._task.cancel()
        self._finish()

    def _finish(self) -> None:
        # The rest of a body that nobody read still counts for the connection's window.
        self._acknowledge()
        self.transport = None
        self._connection.forget(self._number)

    # As a transport

    def abort(self) -> None:
        """Reset the stream, unless it has ended."""
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._connection.frames.reset_stream(self._number, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self._finish()
        self._connection.flush()

    close = abort

    def is_closing(self) -> bool:
        """Tell whether it has ended."""
        return self.transport is None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about the connection."""
        transport = self._connection.transport
        return default if transport is None else transport.get_extra_info(name, default)


class Http2StreamWriter(AbstractStreamWriter):
    """Writes a response as frames."""

    def __init__(self, connection: Http2Protocol, number: int) -> None:
        self._connection = connection
        self._number = number
        self.has_ended = False

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        fields = [(":status", status_line.split()[1])]
        fields += [(n.lower(), v) for n, v in headers.items() if n.lower() not in _CONNECTION_HEADERS]
        self._connection.frames.send_headers(self._number, fields)
        self._connection.flush()

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        frames = self._connection.frames
        rest = memoryview(chunk).cast("B")
        while rest:
            size = min(frames.local_flow_control_window(self._number), frames.max_outbound_frame_size, len(rest))
            if size <= 0:
                await self._connection.until_writable()
                continue
            frames.send_data(self._number, bytes(rest[:size]))
            self._connection.flush()
            self.output_size += size
            rest = rest[size:]
            await self._connection.drain()

    async def write_eof(self, chunk: bytes = b"") -> None:
        if self.has_ended:
            return
        self.has_ended = True
        await self.write(chunk)
        self._connection.frames.end_stream(self._number)
        self._connection.flush()

    async def drain(self) -> None:
        await self._connection.drain()

    def send_continue(self) -> None:
        """Send the status 100 (RFC 9110 §15.2.1)."""
        self._connection.frames.send_headers(self._number, [(":status", "100")])
        self._connection.flush()

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        raise NotImplementedError("the sandbox compresses nothing")

    def enable_chunking(self) -> None:
        # Frames have their lengths.
        return


def _message(fields: list[tuple[str, str]]) -> RawRequestMessage:
    pseudo = {name: value for name, value in fields if name.startswith(":")}
    headers: CIMultiDict[str] = CIMultiDict()
    headers[hdrs.HOST] = pseudo.get(":authority", "")
    cookies = [value for name, value in fields if name == "cookie"]
    for name, value in fields:
        if not name.startswith(":") and name not in ("cookie", "host"):
            headers.add(name, value)
    if cookies:
        # A client may part them (RFC 9113 §8.2.3).
        headers[hdrs.COOKIE] = "; ".join(cookies)
    path = pseudo.get(":path", "/")
    return RawRequestMessage(
        method=pseudo.get(":method", "GET"),
        path=path,
        version=HttpVersion11,
        headers=CIMultiDictProxy(headers),
        raw_headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
        should_close=False,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL.build(path=path.partition("?")[0], query_string=path.partition("?")[2], encoded=True),
    )
