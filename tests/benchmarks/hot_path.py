"""The hot path: a call with a valid token, compared with the same call with a static header, in instructions and time.

As a program, `python -m tests.benchmarks.hot_path CALLS NAME alike URL` (or `varied`) makes that many calls with one
library and a token endpoint; callgrind counts its instructions.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import attrs
import httpx

from tests.benchmarks.api import NoOp
from tests.benchmarks.callgrind import count, counted
from tests.benchmarks.libraries import (
    API_PATH,
    AUTHLIB,
    AZURE,
    BARE,
    BARE_GATEWAY,
    HTTPX_AUTH,
    SEIC,
    SEIC_CLIENT,
    SEIC_CLIENT_GATEWAY,
    SEIC_GATEWAY,
    Library,
    Place,
    tokens_of_an_hour,
)
from tests.benchmarks.measuring import ProcessorWait, settled_heap

#: The libraries, by their argument of the program.
_BY_NAME = {
    "bare": BARE,
    "bare-gateway": BARE_GATEWAY,
    "seic": SEIC,
    "seic-gateway": SEIC_GATEWAY,
    "seic-client": SEIC_CLIENT,
    "seic-client-gateway": SEIC_CLIENT_GATEWAY,
    "httpx-auth": HTTPX_AUTH,
    "authlib": AUTHLIB,
    "azure-identity": AZURE,
}
#: Calls before the measurement: afterwards the token exists, and the caches of httpx and Python are warm.
_WARM_UP = 20


@attrs.frozen
class Pair:
    """A library, and the static headers to compare it with."""

    name: str
    against: str
    manner: str = "alike"

    @property
    def library(self) -> Library:
        """The library."""
        return _BY_NAME[self.name]


#: The pairs with limits, for one and two headers: the auth in a client of httpx, and seic's own client, which also
#: checks the origin of each request.
OURS = {
    "OAuth2Auth, one header": Pair("seic", "bare"),
    "OAuth2Auth, two headers": Pair("seic-gateway", "bare-gateway"),
    "AsyncClient, one header": Pair("seic-client", "bare"),
    "AsyncClient, two headers": Pair("seic-client-gateway", "bare-gateway"),
}
#: The same with new headers in each call.
OURS_VARIED = {what: attrs.evolve(pair, manner="varied") for what, pair in OURS.items()}
THEIRS = (Pair("httpx-auth", "bare"), Pair("authlib", "bare"), Pair("azure-identity", "bare"))


def count_instructions(pairs: Sequence[Pair], url: str, calls: int) -> dict[Pair, float]:
    """Return the instructions of a call for each pair, relative to the static header.

    Args:
        pairs: The pairs.
        url: The origin of a token endpoint, for libraries that need a network.
        calls: The number of calls.
    """
    runs = sorted({(name, pair.manner) for pair in pairs for name in (pair.name, pair.against)})
    counts = count("tests.benchmarks.hot_path", [(str(calls), name, manner, url) for name, manner in runs])
    each = dict(zip(runs, counts, strict=True))
    return {pair: each[pair.name, pair.manner] / each[pair.against, pair.manner] for pair in pairs}


def compare_times(pairs: Sequence[Pair], url: str, rounds: int, calls: int) -> dict[Pair, float]:
    """Return the time of a call for each pair, relative to the static header.

    In each round every library makes some calls, in a new order. The ratio is the median of the rounds.

    Args:
        pairs: The pairs.
        url: The origin of a token endpoint, for libraries that need a network.
        rounds: The number of rounds.
        calls: The number of calls of each library in a round.
    """
    return asyncio.run(_compare_times(pairs, url, rounds, calls))


async def _compare_times(pairs: Sequence[Pair], url: str, rounds: int, calls: int) -> dict[Pair, float]:
    names = sorted({name for pair in pairs for name in (pair.name, pair.against)})
    took: dict[str, list[float]] = {name: [] for name in names}
    waited = ProcessorWait()
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(_BY_NAME[name].open(_place(url))) for name in names}
        for client in clients.values():
            await _call(client, _WARM_UP)
        with settled_heap():
            for number in range(rounds):
                shift = number % len(names)
                order = names[shift:] + names[:shift]
                for name in order if number // len(names) % 2 else reversed(order):
                    begun, others = time.perf_counter(), waited.seconds()
                    await _call(clients[name], calls)
                    took[name].append(time.perf_counter() - begun - (waited.seconds() - others))
    return {
        pair: statistics.median(one / other for one, other in zip(took[pair.name], took[pair.against], strict=True))
        for pair in pairs
    }


def _place(url: str) -> Place:
    return Place(api=NoOp(), url=url, tokens=tokens_of_an_hour())


async def _call(client: httpx.AsyncClient, calls: int) -> None:
    for _ in range(calls):
        await client.get(API_PATH)


async def _call_varied(client: httpx.AsyncClient, calls: int) -> None:
    for number in range(calls):
        await client.get(API_PATH, headers={"X-Request-Id": str(number)})


async def _main(calls: int, name: str, manner: str, url: str) -> None:
    async with _BY_NAME[name].open(_place(url)) as client:
        call = _call_varied if manner == "varied" else _call
        await call(client, _WARM_UP)
        with settled_heap(), counted():
            await call(client, calls)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), *sys.argv[2:]))
