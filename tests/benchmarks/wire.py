"""A call over TLS on an open connection: seic's transport compared with httpx's own with the same trust.

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
class TlsEndpoint:
    """A TLS server.

    Args:
        url: Its origin.
        ca: The file of its authority.
    """

    url: str
    ca: str


def _httpx(endpoint: TlsEndpoint) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(verify=seic.create_ssl_context(ca=endpoint.ca), trust_env=False)


def _seic(endpoint: TlsEndpoint) -> httpx.AsyncBaseTransport:
    config = seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api=endpoint.url),
        client_id="AppKey",
        client_secret="secret",
        grant=seic.ClientCredentials(),
        ca=endpoint.ca,
    )
    return seic.AsyncTransport(config)


_TRANSPORTS: dict[str, Callable[[TlsEndpoint], httpx.AsyncBaseTransport]] = {"httpx": _httpx, "seic": _seic}


@contextlib.contextmanager
def tls_server() -> Iterator[TlsEndpoint]:
    """Run a server with a new certificate."""
    authority = pki.authority()
    with tempfile.TemporaryDirectory() as folder:
        pair, ca = Path(folder, "server.pem"), Path(folder, "ca.pem")
        pair.write_bytes(pki.server(authority).pair)
        ca.write_bytes(authority.pem)
        with TokenServer(pair) as server:
            yield TlsEndpoint(server.url, str(ca))


def count_instructions(endpoint: TlsEndpoint, calls: int) -> float:
    """Return the instructions of a call through seic's transport, relative to httpx's."""
    theirs, ours = count(
        "tests.benchmarks.wire", [(str(calls), name, endpoint.url, endpoint.ca) for name in _TRANSPORTS]
    )
    return ours / theirs


def compare_times(endpoint: TlsEndpoint, rounds: int, calls: int) -> float:
    """Return the processor time of a call through seic's transport, relative to httpx's.

    Both make some calls in each round, in turn; the ratio is the median of the rounds. Only the time of this thread
    counts, since the server's time would hide a difference.
    """
    return asyncio.run(_compare_times(endpoint, rounds, calls))


async def _compare_times(endpoint: TlsEndpoint, rounds: int, calls: int) -> float:
    ratios = []
    async with _client("httpx", endpoint) as theirs, _client("seic", endpoint) as ours:
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


def _client(name: str, endpoint: TlsEndpoint) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_TRANSPORTS[name](endpoint), base_url=endpoint.url)


async def _call(client: httpx.AsyncClient, calls: int) -> None:
    for _ in range(calls):
        await client.get(API_PATH)


async def _main(calls: int, name: str, endpoint: TlsEndpoint) -> None:
    async with _client(name, endpoint) as client:
        await _call(client, _WARM_UP)
        with settled_heap(), counted():
            await _call(client, calls)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], TlsEndpoint(sys.argv[3], sys.argv[4])))
