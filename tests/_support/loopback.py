"""A TCP server on loopback that sends given bytes at a given pace."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests._support.pki import Minted

PATIENCE = 10.0


class RawServer:
    """Serve each connection in its own thread, inside `with`.

    Args:
        serve: Called with a connection when its request is complete.
        context: For TLS; None is plain TCP.

    Attributes:
        arrived: Set when a request has arrived.
        hung_up: Set when the client has closed a connection first.
    """

    def __init__(self, serve: Callable[[socket.socket], None], *, context: ssl.SSLContext | None = None) -> None:
        self.arrived = threading.Event()
        self.hung_up = threading.Event()
        self._ends = threading.Event()
        self._serve = serve
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        """Its http URL."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def drip(self, connection: socket.socket, start: bytes, drop: bytes) -> None:
        """Send the start, then one chunk after the other, until the client or the test ends it."""
        connection.sendall(start)
        while not self._ends.wait(0.01):
            connection.sendall(drop)

    def wait(self, connection: socket.socket) -> None:
        """Send nothing until the client or the test ends it."""
        connection.settimeout(0.01)
        while not self._ends.is_set():
            with contextlib.suppress(TimeoutError):
                if connection.recv(1) == b"":
                    raise ConnectionResetError

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the listener was closed
                return
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, raw: socket.socket) -> None:
        raw.settimeout(PATIENCE)
        with raw:
            try:
                if self._context is None:
                    self._read_and_serve(raw)
                else:
                    with self._context.wrap_socket(raw, server_side=True) as connection:
                        self._read_and_serve(connection)
            except OSError:
                self.hung_up.set()

    def _read_and_serve(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += _some(connection)
        self.arrived.set()
        self._serve(connection)


def _some(connection: socket.socket) -> bytes:
    if some := connection.recv(65536):
        return some
    raise ConnectionResetError


def server_context(identity: Minted) -> ssl.SSLContext:
    """Return a context that presents a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(identity.pair)
        context.load_cert_chain(file.name)
    return context
