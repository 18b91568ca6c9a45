"""Listeners on loopback, served by one event loop in one background thread; knows nothing of what is answered.

The server is aiohttp's low-level one, because it hands the TLS object of a connection to whoever answers its requests
(`transport.get_extra_info("ssl_object")`), and with it the client certificate. The ASGI servers do not: nothing in what
they pass on has a place for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import socket
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
from aiohttp import web

from seic.sandbox._certificates import CertificateAuthority
from seic.sandbox._peer import Peer, peer_of_transport

_LOGGER = logging.getLogger("seic.sandbox")
#: The names on the certificate of both hosts.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# Another process may have the IPv4 port's IPv6 twin; it is seldom that two in a row are taken.
_BIND_ATTEMPTS = 20


@attrs.frozen(kw_only=True, eq=False)
class LoopbackHost:
    """One host: its sockets, its TLS, and who answers.

    Args:
        context: The server's TLS; None for plain HTTP.
        answer: Called with each request and the peer that proved a certificate.
        reject: Called for what is no HTTP request at all.
        connected: Called once for each connection whose handshake is done.
    """

    context: ssl.SSLContext | None
    answer: Callable[[web.BaseRequest, Peer | None], Awaitable[web.StreamResponse]]
    reject: Callable[[], web.Response]
    connected: Callable[[], None]


class LoopbackServer:
    """Serves listeners from a thread of its own, between `start` and `stop`."""

    def __init__(self, listeners: Sequence[LoopbackHost]) -> None:
        self._listeners = listeners
        self._sockets: list[list[socket.socket]] = []  # of each listener, one for each family of addresses
        self._thread = threading.Thread(target=self._run, name="seic-sandbox", daemon=True)
        self._started: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()

    def start(self) -> list[int]:
        """Return the listeners' ports once all accept connections; what keeps one from it is raised here."""
        try:
            self._sockets.extend(bind_loopback() for _ in self._listeners)
            ports = [sockets[0].getsockname()[1] for sockets in self._sockets]
            self._thread.start()
            self._started.result()
        except BaseException:
            self.stop()
            raise
        return ports

    def stop(self) -> None:
        """Cut every connection, close every socket and end the thread; what is in flight gets no answer."""
        if self._thread.ident is not None:
            # Fails where the start failed, or the loop is gone: then the thread ends by itself.
            with contextlib.suppress(Exception):
                ask_to_stop = self._started.result()
                ask_to_stop()
            self._thread.join()
        for sock in itertools.chain(*self._sockets):
            sock.close()

    def _run(self) -> None:
        try:
            # Ends with cancelling what still runs: answers held back, and handshakes that nobody finishes.
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - start() raises it in the caller's thread
            # Raised in its turn, should the start be over: then nobody waits for it, and the thread's end tells of it.
            self._started.set_exception(error)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_error)
        stopping = asyncio.Event()
        servers: list[asyncio.Server] = []
        factories = [_Factory(listener) for listener in self._listeners]
        try:
            for factory, sockets in zip(factories, self._sockets, strict=True):
                context = factory.listener.context
                servers += [await loop.create_server(factory, sock=sock, ssl=context) for sock in sockets]
            self._started.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
            await stopping.wait()
        finally:
            for server in servers:
                server.close()
            # An orderly TLS end waits for the other side, which may never read again.
            for connection in itertools.chain(*(factory.connections for factory in factories)):
                if connection.transport is not None:
                    connection.transport.abort()


class _Factory(web.Server):
    """Makes a protocol for each connection of one listener."""

    def __init__(self, listener: LoopbackHost) -> None:
        super().__init__(self._answer)
        self.listener = listener

    def __call__(self) -> _Protocol:
        return _Protocol(self)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.listener.answer(request, cast("_Protocol", request.protocol).peer)


class _Protocol(web.RequestHandler):
    """One connection. Its peer is read once, when the handshake is done."""

    __slots__ = ("_listener", "peer")

    def __init__(self, factory: _Factory) -> None:
        super().__init__(
            factory,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # documented: None turns it off, which would log whole URLs
            logger=_LOGGER,
        )
        self._listener = factory.listener
        self.peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = peer_of_transport(transport)
        self._listener.connected()
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 400,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # The base class logs, and answers with, the line that it could not parse: it may hold a secret.
        response = self._listener.reject()
        response.force_close()
        return response


def bind_loopback() -> list[socket.socket]:
    """Bind one free port on 127.0.0.1 and, where the machine speaks IPv6, on ::1 too.

    `localhost` may resolve to either; a port taken on one alone could be another process's on the other.

    Raises:
        OSError: No port could be had.
    """
    if not _has_ipv6():
        return [_bind(socket.AF_INET, "127.0.0.1", 0)]
    for _ in range(_BIND_ATTEMPTS - 1):
        with contextlib.suppress(OSError):
            return _bind_both()
    return _bind_both()


def _bind_both() -> list[socket.socket]:
    first = _bind(socket.AF_INET, "127.0.0.1", 0)
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
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


class _AlertingObject(ssl.SSLObject):
    """A server's side of a handshake that tells a refused client why.

    asyncio drops a connection whose handshake fails, and with it the alert that OpenSSL has just written for the peer.
    Asking for more to read has it sent first; then the client hangs up, or whatever else it sends ends the connection.
    """

    outgoing: ssl.MemoryBIO
    _refusal: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if not self.outgoing.pending:
                raise
            self._refusal = error.with_traceback(None)
            raise ssl.SSLWantReadError from None


class _AlertingContext(ssl.SSLContext):
    """Hands each handshake what it needs to know: whether there is something left to send."""

    sslobject_class = _AlertingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        handshake = cast("_AlertingObject", super().wrap_bio(incoming, outgoing, *args, **options))
        handshake.outgoing = outgoing
        return handshake


def server_context(authority: CertificateAuthority, *, demand_certificate: bool) -> ssl.SSLContext:
    """Build a server's TLS for the names of loopback: 1.2 at least, with a fresh certificate of the authority.

    Args:
        authority: Issues the server's certificate, and vouches for clients.
        demand_certificate: Refuse the handshake of a client without a certificate of the authority.
    """
    context = _AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if demand_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.cert_pem.decode())
    issued = authority.issue("localhost", sans=LOOPBACK_NAMES, client=False, server=True)
    # The ssl module reads a key from a file only; this one is readable by its owner alone, and gone at once.
    with tempfile.TemporaryDirectory(prefix="seic-sandbox-") as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(issued.key_pem + issued.cert_pem)
        context.load_cert_chain(path)
    return context


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The message is asyncio's own; the exception beside it could repeat what was sent.
    _LOGGER.error("the sandbox's event loop: %s", context["message"])
