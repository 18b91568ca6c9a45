"""Connections that a server closes while a request crosses with the close: idempotent ones are sent once more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import seic
from tests._support.edge import Edge
from tests._support.gated_server import config_for
from tests._support.http2_server import http2_server
from tests._support.mocks import endpoint_mock
from tests._support.pki import authority, mint
from tests._support.swapping import PairOnDisk, settings_for

_BLOCKING = pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])


class ClosingServer:
    """Answers some requests of each connection, and closes it at the next one without a response.

    Attributes:
        answers: The number of requests that a connection answers.
        seen: The number of the connection, and the method, of each request.
        proofs: The DPoP proof of each request that has one.
    """

    def __init__(self) -> None:
        self.answers = 1
        self.seen: list[tuple[int, str]] = []
        self.proofs: list[str] = []
        self.config: seic.Config
        self._opened = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._opened += 1
        number = self._opened
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for answered in range(self.answers + 1):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.seen.append((number, head.partition(" ")[0]))
                self.proofs += [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("DPoP:")]
                if "transfer-encoding" in head.lower():
                    await reader.readuntil(b"0\r\n\r\n")
                if answered < self.answers:
                    status = "302 Found\r\nLocation: /" if head.split(" ")[1] == "/old" else "200 OK"
                    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok".encode())
                    await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[ClosingServer]:
    """A server that answers one request of each connection."""
    made = ClosingServer()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.config = config_for(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    yield made
    listening.close()


async def _send(config: seic.Config, *methods: str, blocking: bool, http2: bool = False) -> list[int]:
    """Send requests one after the other through one transport; return their statuses."""
    if not blocking:
        transport = seic.AsyncTransport(config, http2=http2)
        async with httpx.AsyncClient(transport=transport, base_url=config.base_url) as client:
            return [(await client.request(method, "/")).status_code for method in methods]

    def send() -> list[int]:
        with httpx.Client(transport=seic.Transport(config, http2=http2), base_url=config.base_url) as client:
            return [client.request(method, "/").status_code for method in methods]

    return await asyncio.to_thread(send)


@_BLOCKING
async def test_a_request_that_crosses_with_a_close_is_sent_once_more(server: ClosingServer, blocking: bool) -> None:
    """On a new connection, if its method is idempotent."""
    assert await _send(server.config, "GET", "GET", "DELETE", blocking=blocking) == [200] * 3
    assert server.seen == [(1, "GET"), (1, "GET"), (2, "GET"), (2, "DELETE"), (3, "DELETE")]


@_BLOCKING
async def test_a_request_that_is_sent_once_more_has_a_new_proof(server: ClosingServer, blocking: bool) -> None:
    """The server accepts each DPoP proof once (RFC 9449 §11.1), those of a redirect after it included."""
    mock = endpoint_mock(client_id="c", dpop=seic.DPoP(), hosts=server.config.hosts)
    config = mock.config()
    auth = seic.OAuth2Auth(config, transport=mock)

    def send() -> list[int]:
        with seic.Client(config, auth=auth, follow_redirects=True) as client:
            return [client.get(path).status_code for path in ("/", "/old")]

    if blocking:
        assert await asyncio.to_thread(send) == [200, 200]
    else:
        async with seic.AsyncClient(config, auth=auth, follow_redirects=True) as client:
            assert [(await client.get(path)).status_code for path in ("/", "/old")] == [200, 200]
    assert [number for number, _ in server.seen] == [1, 1, 2, 2, 3]
    assert len(server.proofs) == len(set(server.proofs)) == 5


@_BLOCKING
async def test_a_post_is_not_sent_twice(server: ClosingServer, blocking: bool) -> None:
    """The server may have processed it."""
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        await _send(server.config, "GET", "POST", blocking=blocking)
    assert server.seen == [(1, "GET"), (1, "POST")]


@_BLOCKING
async def test_a_new_connection_that_closes_is_an_error(server: ClosingServer, blocking: bool) -> None:
    """The request is the cause then, most likely; and what was sent again is not sent a third time."""
    server.answers = 0
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        await _send(server.config, "GET", blocking=blocking)
    assert server.seen == [(1, "GET")]


async def test_a_body_that_cannot_be_sent_again_is_sent_once(server: ClosingServer) -> None:
    """A PUT of a generator."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    transport = seic.AsyncTransport(server.config)
    async with httpx.AsyncClient(transport=transport, base_url=server.config.base_url) as client:
        await client.get("/")
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            await client.put("/", content=parts())
    assert server.seen == [(1, "GET"), (1, "PUT")]


async def test_the_second_try_takes_no_idle_connection(server: ClosingServer) -> None:
    """It may be closed as well: one request costs one error of a connection, however many are idle."""
    async with asyncio.timeout(10):
        transport = seic.AsyncTransport(server.config)
        async with httpx.AsyncClient(transport=transport, base_url=server.config.base_url) as client:
            await asyncio.gather(*(client.get("/") for _ in range(5)))
            del server.seen[:]
            reply = await client.get("/")
    assert reply.status_code == 200
    assert [number > 5 for number, _ in server.seen] == [False, True]
    assert not [name for name in reply.request.extensions if name.startswith("seic.")]


@_BLOCKING
async def test_a_server_that_refuses_each_stream_is_not_asked_without_end(blocking: bool) -> None:
    """HTTP/2 lets a refused request be sent again (RFC 9113 §8.7); the error says how often it was."""
    async with http2_server() as server:
        server.decide = lambda _connection, _path: "refuse"
        with pytest.raises(httpx.RemoteProtocolError, match="has not processed it; it was sent again 10 times"):
            await _send(server.config, "GET", blocking=blocking, http2=True)
        assert len(server.seen) == 11


async def test_a_reload_of_nginx_costs_no_call(tmp_path: Path) -> None:
    """It closes its idle connections; under load, requests cross with that."""
    root = authority()
    certificate = PairOnDisk(tmp_path / "pair", mint(issuer=root, number=79)).load()
    statuses: list[int] = []
    is_over = False
    with Edge(tmp_path / "nginx", root) as edge:
        config = settings_for(edge, root, certificate=certificate)
        transport = seic.AsyncTransport(config, limits=httpx.Limits(max_keepalive_connections=100))
        async with httpx.AsyncClient(transport=transport, base_url=config.base_url, timeout=30) as client:

            async def work(pause: float) -> None:
                while not is_over:
                    statuses.append((await client.get("/")).status_code)
                    await asyncio.sleep(pause)  # its connection is idle meanwhile

            await client.get("/")
            async with asyncio.TaskGroup() as working:
                for number in range(40):
                    working.create_task(work(0.002 * (number % 7)))
                for _ in range(5):
                    await asyncio.to_thread(edge.reload)
                is_over = True
    assert set(statuses) == {200}
