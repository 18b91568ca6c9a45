"""`ProxyServer`: the connections of local programs, HTTP/1.1 and HTTP/2 in clear text, from the start to a clean end.

aiohttp reads HTTP/1.1. HTTP/2 begins with its preface ("prior knowledge", RFC 9113 §3.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from seic._http2_server import Http2Protocol
from seic.cli._proxy.forwarder import Forwarder
from seic.cli._proxy.proxy_errors import problem

_LOGGER = logging.getLogger("seic.proxy")
#: Of HTTP/2 (RFC 9113 §3.4).
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: Seconds for requests that were cut off to close their connections to the API.
_LAST_STEPS = 2.0


class ProxyServer:
    """Serves connections until it is told to stop.

    Args:
        sockets: The bound sockets.
        forwarder: Answers the requests.
    """

    def __init__(self, sockets: Sequence[socket.socket], forwarder: Forwarder) -> None:
        # A client that is gone cancels its request.
        self._http1 = web.Server(forwarder.respond, handler_cancellation=True)
        self._sockets = sockets
        self._forwarder = forwarder
        self._http2: set[Http2Protocol] = set()
        #: Connections without a request so far.
        self.detections: set[_Detection] = set()

    async def serve(self, stop: asyncio.Event, hurry: asyncio.Event, *, grace: float) -> int:
        """Serve until an event is set; return the number of requests that were cut off.

        Args:
            stop: Accept no more requests, and end those in progress.
            hurry: Do not wait for them any longer.
            grace: Seconds to wait for them.
        """
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(lambda: _Detection(self), sock=sock) for sock in self._sockets]
        try:
            await stop.wait()
        finally:
            # First the connections that were just accepted get their transports: on a closed server, Python 3.13 fails.
            for sock in self._sockets:
                with contextlib.suppress(NotImplementedError):  # on Windows
                    loop.remove_reader(sock)
            for _ in range(3):
                await asyncio.sleep(0)
            for server in servers:
                server.close()
        self._forwarder.is_ending = True
        for connection in self._connections():
            connection.close()
        await self._wait(hurry, grace)
        cut = len(self._forwarder.running)
        for connection in self._connections():
            if connection.transport is not None:
                connection.transport.abort()
        await self._wait(asyncio.Event(), _LAST_STEPS)
        return cut

    def _connections(self) -> list[web.RequestHandler | Http2Protocol | _Detection]:
        return [*self._http1.connections, *self._http2, *self.detections]

    async def _wait(self, hurry: asyncio.Event, seconds: float) -> None:
        """Wait until no request is in progress, for some seconds at most."""
        hurrying = asyncio.ensure_future(hurry.wait())
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            while self._forwarder.running and not hurrying.done():
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                await asyncio.wait(
                    {*self._forwarder.running, hurrying}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            hurrying.cancel()

    def http1(self) -> asyncio.Protocol:
        """Return the protocol of a connection with HTTP/1.1."""
        return _Http1Protocol(
            self._http1,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # documented: None turns it off; it would log whole URLs
            logger=_LOGGER,
            auto_decompress=False,  # a compressed body is forwarded as it is
        )

    def http2(self) -> Http2Protocol:
        """Return the protocol of a connection with HTTP/2."""
        protocol = Http2Protocol(self._forwarder.respond, None, self._http2.discard)
        self._http2.add(protocol)
        return protocol


class _Detection(asyncio.Protocol):
    """A connection until its first bytes say which protocol it has."""

    def __init__(self, server: ProxyServer) -> None:
        self._server = server
        self._received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._server.detections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.detections.discard(self)

    def close(self) -> None:
        """Close the connection; one that is left to the exit of the process is reported on stderr by Python 3.13."""
        if self.transport is not None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        start = self._received[: len(_PREFACE)]
        if self.transport is None or (start != _PREFACE and _PREFACE.startswith(start)):
            return
        self._server.detections.discard(self)
        protocol = self._server.http2() if start == _PREFACE else self._server.http1()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.data_received(self._received)


class _Http1Protocol(web.RequestHandler):
    """A connection with HTTP/1.1; input that is not HTTP is answered without a repetition of it."""

    __slots__ = ()

    def close(self) -> None:
        """Close the connection if it is idle; the response to a request in progress closes it otherwise."""
        # The base class would drop all further data, and with it the rest of a body.
        if self._current_request is None:
            super().close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 400,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # The base class logs and returns the line that it could not parse, which may have a secret.
        response = problem(400, "this is not a well-formed request (RFC 9112)", error="http_request_error")
        response.force_close()
        return response
