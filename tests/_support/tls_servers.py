"""Real TLS servers on threads, valid or with defects."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests._support.pki import Minted

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3


class TlsServer:
    """A server on loopback, running inside `with`, that answers each connection once.

    Args:
        identity: Its certificate and key.
        trusts: The authority that client certificates must come from; None: it asks for none.
        demand: Whether it requires a client certificate.
        version: The only version of TLS that it supports.
        chain: PEM that it sends after its certificate.
        crl: Client certificates that were revoked, as PEM.
        prepare: Alters its context.
        reset: Read the request and reset the connection without an answer, like a reset that overtakes an alert.
        reply: Its answer.
    """

    def __init__(
        self,
        identity: Minted,
        *,
        trusts: Minted | None = None,
        demand: bool = True,
        version: ssl.TLSVersion | None = None,
        chain: bytes = b"",
        crl: bytes | None = None,
        prepare: Callable[[ssl.SSLContext], None] | None = None,
        reset: bool = False,
        reply: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if prepare is not None:
            prepare(self.context)
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(identity.pem + chain + identity.key_pem)
            self.context.load_cert_chain(file.name)
            if crl is not None:
                Path(file.name).write_bytes(crl)
                self.context.load_verify_locations(file.name)
                self.context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if version is not None:
            self.context.minimum_version = self.context.maximum_version = version
        if trusts is not None:
            self.context.load_verify_locations(cadata=trusts.der)
            self.context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL
        self.reset = reset
        self.reply = reply
        #: The client certificates received, as DER; None for a client without one.
        self.peers: list[bytes | None] = []
        self.failures: list[OSError] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the listener was closed
                return
            connection.settimeout(10)
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as stream:
            try:
                stream.do_handshake()
                self.peers.append(stream.getpeercert(binary_form=True))
                stream.recv(65536)
                if self.reset:
                    # SO_LINGER of 0 seconds turns the close into a reset.
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                stream.sendall(self.reply)
            except OSError as failure:
                self.failures.append(failure)
            with contextlib.suppress(OSError):
                # The alert or the reply arrives only if all of the client's data is read.
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(65536):
                    pass


def call(context: ssl.SSLContext, port: int, host: str = "localhost") -> bytes:
    """Connect on a plain socket, send a request and return the reply."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=host) as stream,
    ):
        stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while part := stream.recv(65536):
            received += part
        return received
