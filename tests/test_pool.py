"""The pool of connections: fair, within its limits, and kept by requests that end, fail or give up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

import seic
from tests._support.edge import Edge
from tests._support.gated_server import GatedServer, client_of, config_for, gated_server, in_line
from tests._support.hops import make_config
from tests._support.mocks import gateway_mock
from tests._support.pki import authority, mint
from tests._support.swapping import PairOnDisk, settings_for
from tests._support.wire import Wire, wire


@pytest.fixture
async def server() -> AsyncIterator[GatedServer]:
    """A server without TLS."""
    async with gated_server() as made:
        yield made


@pytest.fixture
def far() -> Iterator[Wire]:
    """A server in a thread, without TLS."""
    with wire() as running:
        yield running


async def test_the_request_that_waited_longest_is_served_first(server: GatedServer) -> None:
    """In the order of their arrival, whatever became of the connection before."""
    go_on = server.hold("/held")
    async with client_of(server, max_connections=1) as client:
        paths = [f"/{number}" for number in range(9)]
        tasks = await in_line(client, "/held", *paths)
        await server.until_arrived("/held")
        go_on()
        await asyncio.gather(*tasks)

    assert server.order == ["/first", "/held", *paths]
    assert server.opened == 1


async def test_a_caller_that_comes_again_waits_behind_the_others(server: GatedServer) -> None:
    """Nobody starves: three callers with one connection are served by turns."""
    async with client_of(server, max_connections=1) as client:

        async def call(name: str) -> None:
            for _ in range(5):
                await client.get(f"/{name}")

        await asyncio.gather(call("a"), call("b"), call("c"))

    assert server.order[1:] == ["/a", "/b", "/c"] * 5


async def test_a_caller_that_gives_up_gives_its_place_back(server: GatedServer) -> None:
    """Cancelled in the queue, or past the pool timeout: the next in the queue is served."""
    go_on = server.hold("/held")
    async with client_of(server, max_connections=1) as client:
        held, cancelled, served = await in_line(client, "/held", "/cancelled", "/served")
        await server.until_arrived("/held")
        with pytest.raises(httpx.PoolTimeout, match=r"all connections were in use for 0\.01 s"):
            await client.get("/late", timeout=httpx.Timeout(10, pool=0.01))
        cancelled.cancel()
        go_on()
        assert (await held).status_code == (await served).status_code == 200

    assert server.order == ["/first", "/held", "/served"]


async def test_a_caller_that_is_cancelled_with_a_connection_in_hand_passes_it_on(server: GatedServer) -> None:
    """The connection was given to it, and it has not begun: it goes to the next."""
    async with client_of(server, max_connections=1) as client:
        reply = await client.send(client.build_request("GET", "/read"), stream=True)
        cancelled, served = await in_line(client, "/cancelled", "/served")
        await reply.aread()
        cancelled.cancel()
        assert (await served).status_code == 200

    assert server.order == ["/first", "/read", "/served"]
    assert server.opened == 1


async def test_a_request_that_fails_leaves_no_connection(server: GatedServer) -> None:
    """Cancelled while the server thinks: its connection is closed, and its place is free."""
    server.hold("/held")
    async with client_of(server, max_connections=1) as client:
        held, served = await in_line(client, "/held", "/served")
        await server.until_arrived("/held")
        held.cancel()
        assert (await served).status_code == 200

    assert server.opened == 2


async def test_a_cancelled_handshake_leaves_no_connection() -> None:
    """The server sees it end at once, and does not hold it until its own timeout."""
    greeted, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)  # the beginning of the client's hello, which is never answered
        greeted.set()
        await reader.read()
        ended.set()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    config = make_config(hosts=seic.Hosts(api=f"localhost:{listening.sockets[0].getsockname()[1]}"))
    async with listening, httpx.AsyncClient(transport=seic.AsyncTransport(config)) as client:
        call = asyncio.create_task(client.get(config.base_url))
        await asyncio.wait_for(greeted.wait(), 10)
        call.cancel()
        await asyncio.wait_for(ended.wait(), 10)
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_cancelled_handshake_is_no_idle_connection(server: GatedServer) -> None:
    """It takes no place among those that are kept."""
    go_on = server.hold("/held")

    async def cancel(event: str, info: object) -> None:
        if event == "connection.connect_tcp.started":
            raise asyncio.CancelledError

    async with client_of(server, max_keepalive_connections=1) as client:
        (held,) = await in_line(client, "/held")
        await server.until_arrived("/held")
        with pytest.raises(asyncio.CancelledError):
            await client.get("/cancelled", extensions={"trace": cancel})
        go_on()
        await held
        await client.get("/")

    assert server.opened == 1


async def test_idle_connections_are_kept_within_limits(server: GatedServer) -> None:
    """No more of them than `max_keepalive_connections`, and no longer than `keepalive_expiry`."""
    go_on = server.hold("/held")
    async with client_of(server, max_keepalive_connections=1) as client:
        tasks = [asyncio.create_task(client.get("/held")) for _ in range(4)]
        await server.until_arrived("/held")
        go_on()
        await asyncio.gather(*tasks)
        await client.get("/")
        await server.until_open(1)
        assert server.opened == 4

    async with client_of(server, keepalive_expiry=0) as client:
        before = server.opened
        for _ in range(3):
            await client.get("/")
        assert server.opened == before + 3


async def test_a_connection_that_the_server_closed_is_not_used_again(server: GatedServer) -> None:
    """A new one is opened, and no call fails."""
    async with client_of(server) as client:
        for opened in (2, 3):
            await server.hang_up()
            await asyncio.sleep(0)
            assert (await client.get("/")).status_code == 200
            assert server.opened == opened


async def test_a_user_trace_hears_every_step(server: GatedServer) -> None:
    """Httpcore's `trace` extension works as with httpx's own transport."""
    steps: list[str] = []

    async def trace(step: str, _info: object) -> None:
        steps.append(step)

    async with client_of(server) as client:
        await client.get("/", extensions={"trace": trace})

    assert steps[0] == "http11.send_request_headers.started"
    assert steps[-1] == "http11.response_closed.complete"


async def test_a_token_that_was_replaced_in_the_queue_is_not_sent(server: GatedServer) -> None:
    """A request that waited for a connection has the token that is current then."""
    go_on = server.hold("/held")
    config = config_for(server.url)
    auth = seic.OAuth2Auth(config, transport=gateway_mock())
    limits = httpx.Limits(max_connections=1)
    async with seic.AsyncClient(config, auth=auth, limits=limits) as client:
        held, waiting = await in_line(client, "/held", "/waiting")
        await server.until_arrived("/held")
        assert (await client.token(force=True)).access_token == "token-2"
        go_on()
        assert (await held).status_code == (await waiting).status_code == 200

    assert server.tokens == ["Bearer token-1", "Bearer token-2"]


# Blocking


def test_threads_share_the_connections_of_a_client(far: Wire) -> None:
    """No more than the limit are open, and every thread gets its turn."""
    config = config_for(far.url)
    transport = seic.Transport(config, limits=httpx.Limits(max_connections=2))
    with httpx.Client(transport=transport, base_url=config.base_url) as client, ThreadPoolExecutor(16) as threads:
        statuses = [reply.status_code for reply in threads.map(client.get, ["/"] * 200)]

    assert statuses == [200] * 200
    assert far.connections <= 2


def test_a_thread_that_gives_up_gives_its_place_back(far: Wire) -> None:
    """Past the pool timeout there is an error in words, and the next call is served."""
    config = config_for(far.url)
    transport = seic.Transport(config, limits=httpx.Limits(max_connections=1))
    with httpx.Client(transport=transport, base_url=config.base_url) as client:
        with client.stream("GET", "/") as reply:
            with pytest.raises(httpx.PoolTimeout, match="raise the pool timeout"):
                client.get("/", timeout=httpx.Timeout(10, pool=0.01))
            reply.read()
        assert client.get("/").status_code == 200

    assert far.connections == 1


def test_the_pool_serves_trio(far: Wire) -> None:
    """As asyncio: more callers than connections."""
    config = config_for(far.url)
    statuses: list[int] = []

    async def main() -> None:
        transport = seic.AsyncTransport(config, limits=httpx.Limits(max_connections=2))
        async with httpx.AsyncClient(transport=transport, base_url=config.base_url) as client:

            async def call() -> None:
                statuses.append((await client.get("/")).status_code)

            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(call)

    trio.run(main)
    assert statuses == [200] * 10
    assert far.connections <= 2


# HTTP/2


class Connects:
    """Counts the connections that requests open, as a `trace` extension."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def note(self, step: str, _info: object) -> None:
        """Note a step of a blocking request."""
        if step.endswith("connect_tcp.started"):
            with self._lock:
                self.count += 1

    async def note_async(self, step: str, info: object) -> None:
        """Note a step of an async request."""
        self.note(step, info)


@pytest.mark.parametrize("speaks", [True, False], ids=["HTTP/2", "HTTP/1.1"])
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_http2_is_used_where_the_server_speaks_it(speaks: bool, blocking: bool, tmp_path: Path) -> None:
    """One connection carries all requests of tasks; of threads, and with HTTP/1.1, each has one, up to the limit."""
    root = authority()
    certificate = PairOnDisk(tmp_path / "pair", mint(issuer=root, number=76)).load()
    connects = Connects()
    with Edge(tmp_path / "nginx", root, http2=speaks) as edge:
        config = settings_for(edge, root, certificate=certificate)
        options: dict[str, Any] = {"http2": True, "limits": httpx.Limits(max_connections=5)}
        send = _send_blocking if blocking else _send
        replies = await send(config, options, connects)

    assert [reply.status_code for reply in replies] == [200] * 40
    assert {reply.http_version for reply in replies} == {"HTTP/2" if speaks else "HTTP/1.1"}
    assert connects.count == 1 if speaks and not blocking else 1 < connects.count <= 5


async def _send(config: seic.Config, options: dict[str, Any], connects: Connects) -> list[httpx.Response]:
    transport = seic.AsyncTransport(config, **options)
    async with httpx.AsyncClient(transport=transport, base_url=config.base_url) as client:

        def get() -> Awaitable[httpx.Response]:
            return client.get("/", extensions={"trace": connects.note_async})

        return await asyncio.gather(*(get() for _ in range(20))) + await asyncio.gather(*(get() for _ in range(20)))


async def _send_blocking(config: seic.Config, options: dict[str, Any], connects: Connects) -> list[httpx.Response]:
    def run() -> list[httpx.Response]:
        transport = seic.Transport(config, **options)
        with httpx.Client(transport=transport, base_url=config.base_url) as client, ThreadPoolExecutor(20) as threads:
            return [
                *threads.map(lambda _: client.get("/", extensions={"trace": connects.note}), range(40)),
            ]

    return await asyncio.to_thread(run)


# Private names of httpx


@pytest.mark.parametrize("kind", [httpx.AsyncHTTPTransport, httpx.HTTPTransport])
def test_httpx_has_the_attribute_that_the_pool_replaces(kind: Any) -> None:
    """The one private name that is used: `_pool`, which opens connections by its public `create_connection`."""
    assert callable(kind()._pool.create_connection)
