"""An HTTP/2 server over TLS in the test's event loop, which refuses streams and ends connections as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

import seic
from tests._support.hops import make_config
from tests._support.identities import authority

#: The treatment of a request; `Http2Server.decide` lists them.
Action = str


class Http2Server:
    """Answers each request as `decide` says.

    Attributes:
        seen: Connection, path and action of each request.
        decide: Returns the action for the connection's number and the path: `answer`, `refuse`, `reset`, `hold`, or
            `end`, which answers the requests before it, and not this one.
        streams: The limit of streams that it announces.
        gate: Held requests wait for it.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, str, Action]] = []
        self.decide: Callable[[int, str], Action] = lambda _connection, _path: "answer"
        self.streams = 128
        self.gate = asyncio.Event()
        self.opened = 0
        self.config: seic.Config
        self._arrived = asyncio.Condition()

    async def until_seen(self, count: int) -> None:
        """Wait for a number of requests."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.opened += 1
        connection = _Connection(self, self.opened, writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await connection.receive(data)
        writer.close()

    async def note(self, connection: int, path: str) -> Action:
        """Note a request, and return what to do."""
        action = self.decide(connection, path)
        self.seen.append((connection, path, action))
        async with self._arrived:
            self._arrived.notify_all()
        return action


class _Connection:
    def __init__(self, server: Http2Server, number: int, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._number = number
        self._writer = writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: server.streams}
        )
        self._h2.initiate_connection()
        self._open: list[int] = []
        self._has_ended = False
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())

    async def receive(self, data: bytes) -> None:
        if self._has_ended:
            return
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                assert event.headers is not None
                assert event.stream_id is not None
                path = next(value for name, value in event.headers if name in (b":path", ":path"))
                await self._act(event.stream_id, path.decode() if isinstance(path, bytes) else path)
            if self._has_ended:
                return
        self._flush()

    async def _act(self, stream: int, path: str) -> None:
        action = await self._server.note(self._number, path)
        if action == "answer":
            self._answer(stream)
        elif action == "refuse":
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif action == "reset":
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif action == "hold":
            self._open.append(stream)
            task = asyncio.ensure_future(self._server.gate.wait())
            task.add_done_callback(lambda _: self._release())
        else:
            # h2 sends nothing after GOAWAY, so the answers are made before, and sent after it.
            self._flush()
            for held in self._open:
                self._answer(held)
            answers = self._h2.data_to_send()
            self._h2.close_connection(last_stream_id=stream - 2)
            goaway = self._h2.data_to_send()
            self._has_ended = True
            # In two parts.
            for part in (goaway[:5], goaway[5:] + answers):
                self._writer.write(part)
                await self._writer.drain()
                await asyncio.sleep(0)

    def _answer(self, stream: int) -> None:
        self._h2.send_headers(stream, [(":status", "200")])
        self._h2.send_data(stream, b"ok", end_stream=True)

    def _release(self) -> None:
        if not self._has_ended:
            for held in self._open:
                self._answer(held)
            self._open.clear()
            self._flush()


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem)
        context.load_cert_chain(file.name)


@contextlib.asynccontextmanager
async def http2_server() -> AsyncIterator[Http2Server]:
    """Run a server; `config` is the configuration that reaches it."""
    made = Http2Server()
    root = authority()
    own = root.issue("localhost", sans=("localhost",), client=False, server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    _load(context, own.cert_pem + own.key_pem)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    made.config = make_config(hosts=seic.Hosts(api=f"localhost:{port}"))
    yield made
    listening.close()
