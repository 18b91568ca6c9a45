"""Metrics of connection pools: open connections, and the wait for one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import seic
from tests._support.gated_server import config_for, gated_server, in_line
from tests._support.mocks import gateway_mock
from tests._support.observatory import Observatory
from tests._support.wire import wire

_OPEN = "http.client.open_connections"
_QUEUE = "http.client.request.time_in_queue"


def _open(seen: Observatory) -> dict[Any, Any]:
    return {point.attributes["http.connection.state"]: point.value for point in seen.points(_OPEN)}


@pytest.mark.parametrize("retry", [None, seic.Retry()], ids=["plain", "retries"])
async def test_connections_are_counted_and_waits_are_timed(seen: Observatory, retry: seic.Retry | None) -> None:
    """The number of connections in use and idle; a request that got a connection at once has no wait."""
    async with gated_server() as server:
        config = config_for(server.url)
        auth = seic.OAuth2Auth(config, transport=gateway_mock())
        options: Any = {"auth": auth, "limits": httpx.Limits(max_connections=2), "retry": retry}
        async with seic.AsyncClient(config, **options) as client:
            end = seen.instrument(client)
            assert _open(seen) == {"active": 0, "idle": 0}
            await client.get("/first")
            assert _open(seen) == {"active": 0, "idle": 1}
            go_on = server.hold("/held")
            tasks = await in_line(client, "/held", "/held", "/waiting")
            await server.until_arrived("/held")
            assert _open(seen) == {"active": 2, "idle": 0}
            assert seen.points(_QUEUE) == []
            go_on()
            await asyncio.gather(*tasks)
            (point,) = seen.points(_QUEUE)
            assert point.count == 1
            assert point.attributes == {"server.address": "127.0.0.1", "server.port": config.origin.port}
            end()
            assert seen.points(_OPEN) == []


def test_threads_are_counted_too(seen: Observatory) -> None:
    """Also a wait that ends without a connection."""
    with wire() as far:
        config = config_for(far.url)
        auth = seic.OAuth2Auth(config, transport=gateway_mock())
        with seic.Client(config, auth=auth, limits=httpx.Limits(max_connections=1)) as client:
            seen.instrument(client)
            with client.stream("GET", "/") as reply, ThreadPoolExecutor(1) as threads:
                timeout = httpx.Timeout(10, pool=0.01)
                with pytest.raises(httpx.PoolTimeout):
                    threads.submit(client.get, "/", timeout=timeout).result(10)
                assert _open(seen) == {"active": 1, "idle": 0}
                reply.read()
            assert _open(seen) == {"active": 0, "idle": 1}
    assert seen.point(_QUEUE).count == 1
