"""A token request ends at its deadline, or when it is cancelled, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

import seic
from seic import TokenEndpointUnavailable
from tests._support.loopback import PATIENCE, RawServer, server_context
from tests._support.pki import Minted, authority
from tests._support.sending import Call, answering, config, http, request_to, sender_to

_DEADLINES = (0.1, 0.3, 1, 3)


def _silent(server: RawServer, connection: socket.socket) -> None:
    server.wait(connection)


def _drip_headers(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n")


def _drip_one_header(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")


def _drip_a_body(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")


def _drip_chunks(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")


def _drip_early_hints(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")


@pytest.fixture(params=["plain", "tls"])
def slow(request: pytest.FixtureRequest, identity: Minted) -> Iterator[Callable[..., tuple[RawServer, seic.Config]]]:
    """Start a slow server, and return it with a configuration for it."""
    servers: list[RawServer] = []

    def start(manner: Callable[[RawServer, socket.socket], None]) -> tuple[RawServer, seic.Config]:
        context = None
        if request.param == "tls":
            context = server_context(identity)
        server = RawServer(lambda connection: manner(server, connection), context=context)
        servers.append(server.__enter__())
        if context is None:
            return server, config(server.url)
        return server, config(f"https://localhost:{server.port}", ca=authority().pem)

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize(
    "manner", [_silent, _drip_headers, _drip_one_header, _drip_a_body, _drip_chunks, _drip_early_hints]
)
def test_no_server_is_slow_enough_to_outlive_the_deadline(
    send: Call, slow: Callable[..., tuple[RawServer, seic.Config]], manner: Callable[[RawServer, socket.socket], None]
) -> None:
    """Single bytes satisfy every read timeout, but the request ends anyway, and its connection too."""
    server, settings = slow(manner)
    # On a busy machine the first deadlines can pass before the server has read the request.
    for seconds in _DEADLINES:
        server.hung_up.clear()
        with pytest.raises(TokenEndpointUnavailable) as caught:
            send(sender_to(settings), request_to(settings.base_url), seconds)
        assert f"no whole answer within {seconds:g} s" in str(caught.value)
        if server.arrived.is_set() and server.hung_up.wait(PATIENCE):
            return
    pytest.fail("the connection outlived the deadline")


def test_a_handshake_that_never_ends_ends_with_the_deadline(send: Call) -> None:
    """The server accepts the connection and sends nothing."""
    with RawServer(lambda _: None) as server:
        url = f"https://localhost:{server.port}"
        with pytest.raises(TokenEndpointUnavailable) as caught:
            send(sender_to(config(url)), request_to(url), 0.3)
        assert server.hung_up.wait(PATIENCE)
    assert "no answer within 0.27 s, to the connection or to its TLS handshake" in str(caught.value)


def test_a_call_leaves_nothing_behind(send: Call) -> None:
    """Neither a thread nor a socket; each of which would warn."""
    before = set(threading.enumerate())
    with answering(http(b"{}")) as server:
        send(sender_to(config(server.url)), request_to(server.url), 10 * PATIENCE)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
