"""HTTP/2: what the server did not process is sent again, and its limit of streams is obeyed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic._http2 import Http2Session
from tests._support.edge import Edge
from tests._support.http2_server import Http2Server, http2_server
from tests._support.pki import authority, mint
from tests._support.swapping import PairOnDisk, settings_for

_BLOCKING = pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])


@pytest.fixture
async def server() -> AsyncIterator[Http2Server]:
    """A server whose answers the test decides."""
    async with http2_server() as made:
        yield made


async def call_all(config: seic.Config, paths: list[str], *, blocking: bool, **limits: Any) -> list[Any]:
    """Make all calls at once; return the responses or errors."""
    options: Any = {"http2": True, "limits": httpx.Limits(**limits)}
    if not blocking:
        transport = seic.AsyncTransport(config, **options)
        async with httpx.AsyncClient(transport=transport, base_url=config.base_url) as client:
            await client.get("/first")
            return await asyncio.gather(*(client.post(path, content=b"x") for path in paths), return_exceptions=True)
    with httpx.Client(transport=seic.Transport(config, **options), base_url=config.base_url) as client:
        await asyncio.to_thread(client.get, "/first")
        calls = (asyncio.to_thread(client.post, path, content=b"x") for path in paths)
        return await asyncio.gather(*calls, return_exceptions=True)


def only_once(action: str) -> Callable[[int, str], str]:
    """Return a decision: the action for the first request to `/again`, and answers for all others."""
    left = [action]
    return lambda _connection, path: left.pop() if path == "/again" and left else "answer"


@_BLOCKING
async def test_a_refused_stream_is_sent_again(server: Http2Server, blocking: bool) -> None:
    """REFUSED_STREAM says that the server has not processed it (RFC 9113 §8.7), so a POST is repeated too."""
    server.decide = only_once("refuse")
    replies = await call_all(server.config, ["/again", "/other"], blocking=blocking)

    assert [reply.status_code for reply in replies] == [200, 200]
    assert sorted(path for _, path, action in server.seen if action == "answer") == ["/again", "/first", "/other"]
    assert len([path for _, path, _ in server.seen if path == "/again"]) == 2


async def test_a_connection_that_the_server_ends_fails_no_call(server: Http2Server) -> None:
    """After GOAWAY the streams that it names are answered, and the others are sent again on a new connection."""

    def decide(connection: int, path: str) -> str:
        count = sum(1 for number, seen, _ in server.seen if number == 1 and seen != "/first")
        return "answer" if connection > 1 or path == "/first" else "hold" if count < 3 else "end"

    server.decide = decide
    replies = await call_all(server.config, [f"/{number}" for number in range(8)], blocking=False)

    assert [getattr(reply, "status_code", reply) for reply in replies] == [200] * 8
    assert server.opened == 2
    processed = [path for _, path, action in server.seen if action in ("answer", "hold")]
    assert sorted(processed) == ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/first"]


async def test_a_body_that_cannot_be_sent_again_is_not(server: Http2Server) -> None:
    """The error says that the server has not processed the request."""
    server.decide = only_once("refuse")

    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    transport = seic.AsyncTransport(server.config, http2=True)
    async with httpx.AsyncClient(transport=transport, base_url=server.config.base_url) as client:
        with pytest.raises(httpx.TransportError, match="has not processed it; its body cannot be sent again"):
            await client.post("/again", content=parts())
        assert (await client.get("/again")).status_code == 200

    assert server.opened == 1


async def test_a_stream_that_the_server_resets_is_told_in_words(server: Http2Server) -> None:
    """With the error code's name; it may have processed the request, so that it is not sent again."""
    server.decide = only_once("reset")
    transport = seic.AsyncTransport(server.config, http2=True)
    async with httpx.AsyncClient(transport=transport, base_url=server.config.base_url) as client:
        with pytest.raises(httpx.RemoteProtocolError, match=r"localhost reset the stream .* with INTERNAL_ERROR \(RFC"):
            await client.get("/again")
    assert len(server.seen) == 1


async def test_a_full_connection_is_told_in_words(server: Http2Server) -> None:
    """The server's limit of streams counts; a call beyond it waits as long as the pool timeout says."""
    server.streams = 2
    server.decide = lambda _connection, path: "hold" if path == "/held" else "answer"
    transport = seic.AsyncTransport(server.config, http2=True, limits=httpx.Limits(max_connections=1))
    async with httpx.AsyncClient(transport=transport, base_url=server.config.base_url) as client:
        await client.get("/first")
        held = [asyncio.create_task(client.get("/held")) for _ in range(2)]
        await server.until_seen(3)
        with pytest.raises(httpx.PoolTimeout, match=r"all HTTP/2 streams of all connections were in use for 0\.01 s"):
            await client.get("/late", timeout=httpx.Timeout(10, pool=0.01))
        waiting = asyncio.create_task(client.get("/waiting"))
        await asyncio.sleep(0)
        server.gate.set()
        assert [(await reply).status_code for reply in (*held, waiting)] == [200] * 3

    assert server.opened == 1


async def test_more_connections_carry_what_one_cannot(server: Http2Server) -> None:
    """Up to the limit of connections."""
    server.streams = 2
    server.decide = lambda _connection, path: "hold" if path == "/held" else "answer"
    transport = seic.AsyncTransport(server.config, http2=True)
    async with httpx.AsyncClient(transport=transport, base_url=server.config.base_url) as client:
        await client.get("/first")
        held = [asyncio.create_task(client.get("/held")) for _ in range(4)]
        await server.until_seen(5)
        server.gate.set()
        await asyncio.gather(*held)

    assert server.opened == 2


@_BLOCKING
async def test_nginx_ends_connections_after_a_thousand_requests(blocking: bool, tmp_path: Path) -> None:
    """Stock settings: no call fails, and each is processed once."""
    calls, workers = (1200, 20) if blocking else (2500, 200)
    root = authority()
    certificate = PairOnDisk(tmp_path / "pair", mint(issuer=root, number=78)).load()
    with Edge(tmp_path / "nginx", root, http2=True) as edge:
        config = settings_for(edge, root, certificate=certificate)
        options: Any = {"http2": True}
        left = iter(range(calls))
        statuses: list[int] = []
        if blocking:
            with httpx.Client(transport=seic.Transport(config, **options), base_url=config.base_url) as threads:

                def work() -> None:
                    statuses.extend(threads.get(f"/{number}").status_code for number in left)

                await asyncio.gather(*(asyncio.to_thread(work) for _ in range(workers)))
        else:
            transport = seic.AsyncTransport(config, **options)
            async with httpx.AsyncClient(transport=transport, base_url=config.base_url, timeout=30) as client:

                async def work_async() -> None:
                    replies = [await client.get(f"/{number}") for number in left]
                    statuses.extend(reply.status_code for reply in replies)

                await asyncio.gather(*(work_async() for _ in range(workers)))
        lines = edge.log()

    assert statuses == [200] * calls
    assert len({line.path for line in lines}) == len(lines) == calls


def _frame(kind: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize("size", [1, 2, 7, 9, 10, 13, 64, 4096])
def test_frames_are_passed_on_unchanged_but_goaway(size: int) -> None:
    """However the network cuts them; the excluded streams are reset in its place, once."""
    session = Http2Session()
    session.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(_frame(1, number, b"h" * 5) for number in (1, 3, 5, 7)))
    settings = _frame(4, 0, b"\x00\x03\x00\x00\x00\x09")
    before, after = settings + _frame(0, 1, b"d" * 300) + _frame(1, 3, b"h"), _frame(0, 3, b"") + _frame(6, 0, b"p" * 8)
    goaway = _frame(7, 0, (3).to_bytes(4, "big") + bytes(4) + b"debug")
    received = before + goaway + after
    parts = [received[at : at + size] for at in range(0, len(received), size)]
    passed = b"".join(session.receive(part) for part in parts)

    resets = b"".join(_frame(3, number, (7).to_bytes(4, "big")) for number in (5, 7))
    assert passed == before + resets + after
    assert session.streams == 9
    assert session.is_ending
    # A stream that is opened later is not sent, and refused too.
    assert session.send(_frame(8, 0, b"wind") + _frame(1, 9, b"h") + _frame(0, 9, b"d")) == _frame(8, 0, b"wind")
    assert session.take_added() == _frame(3, 9, (7).to_bytes(4, "big"))


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_both_libraries_have_the_attributes_that_are_used(library: str) -> None:
    """The private names: the transport's pool, and its backend, which it gives to connections."""
    module: Any = pytest.importorskip(library)
    for kind in (module.AsyncHTTPTransport, module.HTTPTransport):
        pool = kind()._pool
        pool._network_backend = backend = object()
        origin = type("Origin", (), {"scheme": b"https", "host": b"h", "port": 1})()
        assert pool.create_connection(origin)._network_backend is backend
