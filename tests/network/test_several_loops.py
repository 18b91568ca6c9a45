"""One client in several event loops, one after the other or at once; each has connections of its own."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio

import seic
from tests._support.edge import Edge
from tests._support.libraries import Run, run_asyncio
from tests._support.loops import Loop
from tests._support.open_sockets import open_sockets
from tests._support.pki import authority, mint
from tests._support.swapping import PairOnDisk, settings_for

RUNS = pytest.mark.parametrize("run", [run_asyncio, trio.run], ids=["asyncio", "trio"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, seic.Config]]:
    """A server with mutual TLS that speaks HTTP/2 too, and the configuration for it."""
    folder = tmp_path_factory.mktemp("edge")
    root = authority()
    with Edge(folder / "nginx", root, http2=True) as edge:
        certificate = PairOnDisk(folder / "pair", mint(issuer=root, number=78)).load()
        yield edge, settings_for(edge, root, certificate=certificate)


def caller(client: seic.AsyncClient) -> Callable[[], Awaitable[int]]:
    """Return a function that sends two requests and returns the status of the second."""

    async def call() -> int:
        await client.get("/")
        return (await client.get("/")).status_code

    return call


@RUNS
@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_client_works_in_each_of_several_runs(run: Run, http2: bool, place: tuple[Edge, seic.Config]) -> None:
    """Httpx raises "Event loop is closed" in the second; here each run closes its connections when it ends."""
    edge, config = place
    client = seic.AsyncClient(config, http2=http2)
    for _ in range(3):
        assert run(caller(client)) == 200
        assert open_sockets(edge.port) == 0
    assert client.stats.token_requests == 1


@RUNS
def test_a_client_is_closed_in_another_run_than_it_was_used_in(run: Run, place: tuple[Edge, seic.Config]) -> None:
    """Its connections were closed with the loop that they belong to."""
    edge, config = place
    client = seic.AsyncClient(config)
    assert run(caller(client)) == 200
    run(client.aclose)
    assert client.is_closed
    assert open_sockets(edge.port) == 0


def test_a_loop_that_was_closed_without_its_generators_is_forgotten(place: tuple[Edge, seic.Config]) -> None:
    """`loop.close()` without `shutdown_asyncgens` leaves its sockets to the garbage collector, as other code does."""
    edge, config = place
    client = seic.AsyncClient(config)

    async def call() -> int:
        return await caller(client)()

    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        for _ in range(2):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(call()) == 200
            loop.close()
        asyncio.run(client.aclose())
        gc.collect()
        assert open_sockets(edge.port) == 0


def test_loops_that_run_at_once_have_connections_of_their_own(place: tuple[Edge, seic.Config]) -> None:
    """Closing the client in one of them closes those of the other in that one."""
    edge, config = place
    client = seic.AsyncClient(config)
    one, other = Loop(), Loop()
    try:
        assert one.call(caller(client)) == other.call(caller(client)) == one.call(caller(client)) == 200
        assert open_sockets(edge.port) == 2
        one.call(client.aclose)
        other.call(_turns)
        assert open_sockets(edge.port) == 0
    finally:
        one.close()
        other.close()


async def _turns() -> Any:
    for _ in range(10):
        await asyncio.sleep(0)
