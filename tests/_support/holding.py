"""A TLS server in the test's event loop that keeps connections open, and holds a response until it is released."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography import x509

from tests._support.pki import Minted, server

_HELD = "/held"
_TOKEN = b'{"access_token":"token-1","token_type":"BearerToken","expires_in":"3600"}'


class HoldingServer:
    """Answer `/held` in two halves, and all other requests at once.

    Attributes:
        port: Its port.
        made: The serial number of the client certificate of each request.
        half_sent: Set when the first half of `/held` is sent.
        go_on: Releases the second half.
        open: The number of open connections.
        closed: Set whenever a connection is closed.
    """

    def __init__(self) -> None:
        self.port = 0
        self.made: list[int] = []
        self.tokens = 0
        self.half_sent = asyncio.Event()
        self.go_on = asyncio.Event()
        self.open = 0
        self.closed = asyncio.Event()

    async def until_open(self, count: int) -> None:
        """Wait until at most `count` connections are open."""
        while self.open > count:
            self.closed.clear()
            await asyncio.wait_for(self.closed.wait(), 10)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.open += 1
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            serial = x509.load_der_x509_certificate(der).serial_number
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head, serial, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.open -= 1
            self.closed.set()

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        """Wait until the test releases the response or the client closes the connection."""
        go_on, hung_up = asyncio.create_task(self.go_on.wait()), asyncio.create_task(reader.read(1))
        _, pending = await asyncio.wait({go_on, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait({go_on, hung_up})
        if not hung_up.cancelled() and not hung_up.result():
            raise ConnectionResetError

    async def _answer(
        self, head: bytes, serial: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        path = head.split(b" ", 2)[1].decode()
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        await reader.readexactly(int(length.partition(b":")[2]))
        if path == "/v2/oauthtoken":
            self.tokens += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_TOKEN), _TOKEN))
            return
        self.made.append(serial)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        if path == _HELD:
            await writer.drain()
            self.half_sent.set()
            await self._hold(reader)
        writer.write(b"-last")
        await writer.drain()


@contextlib.asynccontextmanager
async def holding_server(root: Minted) -> AsyncIterator[HoldingServer]:
    """Serve until the block ends, with mutual TLS."""
    held = HoldingServer()
    listening = await asyncio.start_server(held.serve, "127.0.0.1", 0, ssl=_context(root))
    held.port = listening.sockets[0].getsockname()[1]
    try:
        yield held
    finally:
        listening.close()
        held.go_on.set()
        await held.until_open(0)


def _context(root: Minted) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(server(root).pair)
        context.load_cert_chain(file.name)
    context.load_verify_locations(cadata=root.der)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
