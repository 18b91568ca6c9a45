"""Timeouts of API requests: the message says what was waited for, how long, and which setting decides."""

from __future__ import annotations

import itertools
import json
import socket
import struct

import httpx
import pytest

import seic
from tests._support.loopback import RawServer

TOKEN = json.dumps({"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}).encode()
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(TOKEN), TOKEN)
WORDS = (
    r"^127\.0\.0\.1 .*sent no data for 0\.05 s; raise the read timeout, timeout=httpx\.Timeout\(\.\.\., read=\.\.\.\)$"
)
LIMIT = {"connect": 10, "read": 0.05, "write": 10, "pool": 10}


class Api(RawServer):
    """A server that gives a token on every other connection, and on those between only the start of a response."""

    def __init__(self, start: bytes) -> None:
        super().__init__(self._reply)
        self._answers = itertools.cycle([REPLY, start])
        #: Called with the connection of an API request that has the start of its response.
        self.after = self.wait

    def _reply(self, connection: socket.socket) -> None:
        answer = next(self._answers)
        connection.sendall(answer)
        if answer is not REPLY:
            self.after(connection)

    @property
    def config(self) -> seic.Config:
        """A configuration for this server."""
        return seic.Config(
            provider=seic.OAUTH2,
            hosts=seic.Hosts(api=self.url, allow_http_on_loopback=True),
            client_id="client-1",
            client_secret="secret-1",
            grant=seic.ClientCredentials(),
        )


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"], ids=["no head", "no body"]
)
async def test_a_response_that_does_not_come(start: bytes) -> None:
    """Expect words in httpx's own error, for the head and for the body, of both clients."""
    with Api(start) as api:
        async with seic.AsyncClient(api.config, timeout=httpx.Timeout(**LIMIT)) as client:
            with pytest.raises(httpx.ReadTimeout, match=WORDS):
                await client.get("/x")
        with (
            seic.Client(api.config, timeout=httpx.Timeout(**LIMIT)) as blocking,
            pytest.raises(httpx.ReadTimeout, match=WORDS),
        ):
            blocking.get("/x")


async def test_a_connection_that_is_lost() -> None:
    """Expect words in the error of a connection that the server resets within the response."""

    def reset(connection: socket.socket) -> None:
        # Closed with this option, a socket sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Api(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart") as api:
        api.after = reset
        async with seic.AsyncClient(api.config, timeout=5) as client:
            with pytest.raises(httpx.ReadError, match=r"the connection to 127\.0\.0\.1 was lost before the response"):
                await client.get("/x")
