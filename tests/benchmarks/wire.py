"""A call over TLS on an open connection: what seic's transport costs beside httpx's own with the same trust.

As a program, `python -m tests.benchmarks.wire CALLS NAME URL CA` makes that many calls; callgrind counts its
instructions.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import httpx

import seic
from tests._support import pki
from tests.benchmarks.callgrind import count, counted
from tests.benchmarks.libraries import API_PATH
from tests.benchmarks.measuring import settled_heap
from tests.benchmarks.token_server import TokenServer

_WARM_UP = 20


@attrs.frozen
class Far:
    """A server that speaks TLS.

    Args:
        url: Its origin.
        ca: The file of the authority that it is known by.
    """

    url: str
    ca: str


def _httpx(far: Far) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(verify=seic.create_ssl_context(ca=far.ca), trust_env=False)


def _seic(far: Far) -> httpx.AsyncBaseTransport:
    config = seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api=far.url),
        client_id="AppKey",
        client_secret="secret",
        grant=seic.ClientCredentials(),
        ca=far.ca,
    )
    return seic.AsyncTransport(config)


_TRANSPORTS: dict[str, Callable[[Far], httpx.AsyncBaseTransport]] = {"httpx": _httpx, "seic": _seic}


@contextlib.contextmanager
def far_side() -> Iterator[Far]:
    """Run a server with a certificate that was made for it."""
    authority = pki.authority()
    with tempfile.TemporaryDirectory() as folder:
        pair, ca = Path(folder, "server.pem"), Path(folder, "ca.pem")
        pair.write_bytes(pki.server(authority).pair)
        ca.write_bytes(authority.pem)
        with TokenServer(pair) as server:
            yield Far(server.url, str(ca))


def count_instructions(far: Far, calls: int) -> float:
    """Return the instructions of a call through seic's transport, as a share of those through httpx's."""
    theirs, ours = count("tests.benchmarks.wire", [(str(calls), name, far.url, far.ca) for name in _TRANSPORTS])
    return ours / theirs


def compare_times(far: Far, rounds: int, calls: int) -> float:
    """Return the processor's time of a call through seic's transport, as a share of that through httpx's.

    Both make some calls in each round, in turn; the ratio is the median of the rounds'. It is this thread's time on the
    processor, since what the server takes would only hide a difference.
    """
    return asyncio.run(_compare_times(far, rounds, calls))


async def _compare_times(far: Far, rounds: int, calls: int) -> float:
    ratios = []
    async with _client("httpx", far) as theirs, _client("seic", far) as ours:
        await _call(theirs, _WARM_UP)
        await _call(ours, _WARM_UP)
        with settled_heap():
            for number in range(rounds):
                took = {}
                for client in (theirs, ours) if number % 2 else (ours, theirs):
                    begun = time.thread_time()
                    await _call(client, calls)
                    took[client] = time.thread_time() - begun
                ratios.append(took[ours] / took[theirs])
    return statistics.median(ratios)


def _client(name: str, far: Far) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_TRANSPORTS[name](far), base_url=far.url)


async def _call(client: httpx.AsyncClient, calls: int) -> None:
    for _ in range(calls):
        await client.get(API_PATH)


async def _main(calls: int, name: str, far: Far) -> None:
    async with _client(name, far) as client:
        await _call(client, _WARM_UP)
        with settled_heap(), counted():
            await _call(client, calls)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], Far(sys.argv[3], sys.argv[4])))
