"""Hosts on loopback with TLS, served by one event loop in a background thread.

It uses aiohttp's low-level server, which gives a request's handler access to the TLS connection
(`transport.get_extra_info("ssl_object")`) and so to the client certificate; the ASGI interface has no place for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
from aiohttp import web

from seic._http2_server import Http2Protocol
from seic.sandbox._certificates import CertificateAuthority, IssuedCertificate
from seic.sandbox._peer import Peer, peer_of_transport

_LOGGER = logging.getLogger("seic.sandbox")
#: The names in the certificate of both hosts.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
#: The oldest and the newest version that both hosts support.
TLS_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED)
# Another process may use the same port on IPv6; several attempts in a row rarely fail.
_BIND_ATTEMPTS = 20


@attrs.frozen(kw_only=True, eq=False)
class LoopbackHost:
    """A host: its TLS context and its handlers.

    Args:
        context: The server's TLS context; None for plain HTTP.
        respond: Called with each request and the client certificate.
        reject: Called for input that is not an HTTP request.
        connected: Called once per connection, after the handshake.
        port: The port; 0 for any free one.
    """

    context: ssl.SSLContext | None
    respond: Callable[[web.BaseRequest, Peer | None], Awaitable[web.StreamResponse]]
    reject: Callable[[], web.Response]
    connected: Callable[[], None]
    port: int = 0


class LoopbackServer:
    """Serves hosts in a background thread, from `start` to `stop`."""

    def __init__(self, hosts: Sequence[LoopbackHost]) -> None:
        self._hosts = hosts
        self._sockets: list[list[socket.socket]] = []  # per host, one for each address family
        self._thread = threading.Thread(target=self._run, name="seic-sandbox", daemon=True)
        self._started: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._factories: list[_Factory] = []

    def start(self) -> list[int]:
        """Return the hosts' ports when all of them accept connections.

        Raises:
            OSError: A port or the thread is not available.
        """
        try:
            self._sockets.extend(bind_loopback(host.port) for host in self._hosts)
            ports = [sockets[0].getsockname()[1] for sockets in self._sockets]
            self._thread.start()
            self._started.result()
        except BaseException:
            self.stop()
            raise
        return ports

    def stop(self) -> None:
        """Close every connection and socket and end the thread; pending requests get no response."""
        if self._thread.ident is not None:
            # It fails if the start failed or the loop has ended; the thread then ends by itself.
            with contextlib.suppress(Exception):
                ask_to_stop = self._started.result()
                ask_to_stop()
            self._thread.join()
        for sock in itertools.chain(*self._sockets):
            sock.close()

    def close_connections(self, thumbprint: str) -> None:
        """Close every connection with a client certificate, soon."""

        def close() -> None:
            for factory in self._factories:
                factory.abort_connections(thumbprint)

        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # stopped in the meantime
                self._loop.call_soon_threadsafe(close)

    def _run(self) -> None:
        try:
            # At its end, asyncio.run cancels held responses and unfinished handshakes.
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - start() raises it in the caller's thread
            # After the start, set_exception itself fails, and threading.excepthook reports the error.
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_error)
        stopping = asyncio.Event()
        servers: list[asyncio.Server] = []
        self._factories = factories = [_Factory(host) for host in self._hosts]
        try:
            for factory, sockets in zip(factories, self._sockets, strict=True):
                context = factory.host.context
                servers += [await loop.create_server(factory.accept, sock=sock, ssl=context) for sock in sockets]
            self._started.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
            await stopping.wait()
        finally:
            for server in servers:
                server.close()
            # A clean TLS shutdown would wait for the client, which may never read again.
            for factory in factories:
                factory.abort_connections()


class _Factory(web.Server):
    """Creates the protocol of each connection to a host."""

    def __init__(self, host: LoopbackHost) -> None:
        super().__init__(self._respond)
        self.host = host
        self._http2: set[Http2Protocol] = set()

    def accept(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _Protocol(self) if self.host.context is None else _Negotiation(self)

    def http2(self, peer: Peer | None) -> Http2Protocol:
        """Return the protocol of a connection with HTTP/2."""
        protocol = Http2Protocol(self._respond, peer, self._http2.discard)
        self._http2.add(protocol)
        return protocol

    def abort_connections(self, thumbprint: str | None = None) -> None:
        """Close connections at once: all, or those with one client certificate."""
        connections: list[_Protocol | Http2Protocol] = [*cast("list[_Protocol]", self.connections), *self._http2]
        for connection in connections:
            is_meant = thumbprint is None or _thumbprint(connection.peer) == thumbprint
            if connection.transport is not None and is_meant:
                connection.transport.abort()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.host.respond(request, cast("_Protocol", request.protocol).peer)


class _Negotiation(asyncio.Protocol):
    """A connection during the TLS handshake, which chooses the protocol (RFC 7301)."""

    def __init__(self, factory: _Factory) -> None:
        self._factory = factory

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        protocol: _Protocol | Http2Protocol
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            protocol = self._factory.http2(peer_of_transport(transport))
            self._factory.host.connected()
        else:
            protocol = _Protocol(self._factory)
        cast("asyncio.Transport", transport).set_protocol(protocol)
        protocol.connection_made(transport)


class _Protocol(web.RequestHandler):
    """A connection; its client certificate is read once, after the handshake."""

    __slots__ = ("_host", "peer")

    def __init__(self, factory: _Factory) -> None:
        super().__init__(
            factory,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # documented: None turns it off; it would log whole URLs
            logger=_LOGGER,
        )
        self._host = factory.host
        self.peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = peer_of_transport(transport)
        self._host.connected()
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 400,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # The base class logs and returns the line that it could not parse, which may hold a secret.
        response = self._host.reject()
        response.force_close()
        return response


def _thumbprint(peer: Peer | None) -> str | None:
    return None if peer is None else peer.thumbprint


def bind_loopback(port: int = 0) -> list[socket.socket]:
    """Bind a port on 127.0.0.1 and, if the machine has IPv6, the same port on ::1.

    `localhost` may resolve to either; on the other one, the port could belong to another process.

    Args:
        port: The port; 0 for any free one.

    Raises:
        OSError: The port, or any port, is not available.
    """
    if not _has_ipv6():
        return [_bind(socket.AF_INET, "127.0.0.1", port)]
    for _ in range(_BIND_ATTEMPTS - 1 if port == 0 else 0):
        with contextlib.suppress(OSError):
            return _bind_both(port)
    return _bind_both(port)


def _bind_both(port: int) -> list[socket.socket]:
    first = _bind(socket.AF_INET, "127.0.0.1", port)
    try:
        return [first, _bind(socket.AF_INET6, "::1", first.getsockname()[1])]
    except BaseException:
        first.close()
        raise


def _has_ipv6() -> bool:
    try:
        _bind(socket.AF_INET6, "::1", 0).close()
    except OSError:
        return False
    return True


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if port and os.name == "posix":
            # A port that the user chose is free again at once after the last sandbox; Windows would share it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if port and error.errno is not None:
            raise OSError(error.errno, error.strerror, f"port {port} of {host}") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


class _AlertingObject(ssl.SSLObject):
    """The server's side of a handshake; sends the alert of a failed handshake.

    asyncio drops a connection whose handshake fails, together with the alert that OpenSSL has written for the client.
    SSLWantReadError makes asyncio send the alert first; the next read then raises the error.
    """

    outgoing: ssl.MemoryBIO
    _error: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._error is not None:
            raise self._error
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if not self.outgoing.pending:
                raise
            self._error = error.with_traceback(None)
            raise ssl.SSLWantReadError from None


class ServerContext(ssl.SSLContext):
    """A server's context, which gives each handshake access to its outgoing data."""

    sslobject_class = _AlertingObject
    #: The context of the next handshakes in its place.
    successor: ServerContext | None = None

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        if self.successor is not None:
            return self.successor.wrap_bio(incoming, outgoing, *args, **options)
        handshake = cast("_AlertingObject", super().wrap_bio(incoming, outgoing, *args, **options))
        handshake.outgoing = outgoing
        return handshake


def server_context(
    authority: CertificateAuthority,
    issued: IssuedCertificate,
    *,
    demand_certificate: bool,
    crl_pem: bytes | None = None,
) -> ServerContext:
    """Build a server's TLS context.

    Args:
        authority: Verifies client certificates.
        issued: The server's certificate.
        demand_certificate: Require a client certificate of the authority.
        crl_pem: The revocation list of client certificates.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = TLS_VERSIONS
    context.set_alpn_protocols(["h2", "http/1.1"])
    # The ssl module reads a key only from a file; only the owner can read this one, and it is deleted at once.
    with tempfile.TemporaryDirectory(prefix="seic-sandbox-") as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(issued.key_pem + issued.cert_pem)
        context.load_cert_chain(path)
        if demand_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=authority.cert_pem.decode())
        if crl_pem is not None:
            crl = Path(folder, "crl.pem")
            crl.write_bytes(crl_pem)
            context.load_verify_locations(crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def issue_server_certificate(authority: CertificateAuthority) -> IssuedCertificate:
    """Issue a certificate for the names of loopback."""
    return authority.issue("localhost", sans=LOOPBACK_NAMES, client=False, server=True)


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Without the exception, which could repeat a secret of a request.
    _LOGGER.error("the sandbox's event loop: %s", context["message"])
