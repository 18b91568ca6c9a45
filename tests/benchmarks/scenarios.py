"""The scenarios: each is written once and runs with any library."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import attrs
import httpx

from tests.benchmarks.api import Api, always, spread
from tests.benchmarks.libraries import REPLY, Library, Place
from tests.benchmarks.measuring import Calls, ProcessorWait, Stall, arrive, keep_calling, settled_heap, watch_loop
from tests.benchmarks.token_server import TokenServer

#: The minimum and maximum seconds of an API call, as over a network; equal times would synchronise the calls.
API_DELAYS = (0.005, 0.015)
#: The default seconds of a token request.
TRIP = 0.050
#: The number of callers that start in each turn of the event loop, as with real sockets.
ARRIVING = 10
#: A token with this lifetime expires just after it is received; libraries use whole seconds only.
_SHORT_LIFE = 1
_LONG_LIFE = 3600
#: The seconds of an API call if all rejections are to arrive before the renewal has ended.
_TOGETHER = 0.010


@attrs.frozen(kw_only=True)
class Outcome:
    """The results of one run of a scenario with a library; times are in seconds.

    Args:
        requests: Token requests that reached the endpoint; in an outage, those during it.
        calls: The results of API calls.
        wall: The time from the first caller to the last response.
        stall: The longest stall of the event loop.
        a_lifetime: The maximum of token requests within half a token's lifetime, if tokens expire: renewals of one
            token are that close, those of two are not.
        recovery: The time from the recovery of the endpoint to the first successful call; None without an outage.
        others: The share of the wall time for which other programs had the processor.
    """

    requests: int
    calls: Calls
    wall: float
    stall: Stall
    a_lifetime: int = 0
    recovery: float | None = None
    others: float = 0.0


@attrs.frozen(kw_only=True)
class Scale:
    """The size and duration of the scenarios; times are in seconds.

    Args:
        herd: Callers that start together.
        callers: Callers that call repeatedly.
        every: The period of each of them.
        lifetime: The lifetime of tokens that expire repeatedly.
        endpoint_delay: The delay of the token endpoint meanwhile.
        expiring: The duration of that scenario.
        outage: The duration of an outage.
    """

    herd: int = 1000
    callers: int = 200
    every: float = 0.2
    lifetime: int = 2
    endpoint_delay: float = 0.200
    expiring: float = 10.0
    outage: float = 3.0


FULL = Scale()
QUICK = Scale(herd=200, callers=50, lifetime=1, endpoint_delay=0.100, expiring=3.0, outage=1.0)


@attrs.define
class _Run:
    """Values that are recorded while a scenario runs."""

    calls: Calls = attrs.field(factory=Calls)
    stall: Stall = attrs.field(factory=Stall)
    wall: float = 0.0
    others: float = 0.0


@contextlib.asynccontextmanager
async def _measured() -> AsyncIterator[_Run]:
    run, waited = _Run(), ProcessorWait()
    with settled_heap():
        async with watch_loop() as run.stall:
            begun, others = time.perf_counter(), waited.seconds()
            yield run
            run.wall = time.perf_counter() - begun
            run.others = (waited.seconds() - others) / run.wall


def _outcome(run: _Run, requests: int, *, a_lifetime: int = 0, recovery: float | None = None) -> Outcome:
    return Outcome(
        requests=requests,
        calls=run.calls,
        wall=run.wall,
        stall=run.stall,
        a_lifetime=a_lifetime,
        recovery=recovery,
        others=run.others,
    )


async def herd(library: Library, server: TokenServer, scale: Scale, *, expired: bool, each_turn: int) -> Outcome:
    """Many callers with an empty or an expired cache.

    Args:
        library: The library.
        server: The token endpoint; it takes 50 ms.
        scale: The number of callers.
        expired: Whether there was a token before.
        each_turn: The number of callers that start in each turn of the event loop.
    """
    server.set(delay=TRIP, lifetime=_SHORT_LIFE, down=False)
    api = Api(spread(*API_DELAYS))
    async with library.open(Place(api=api, url=server.url)) as client:
        if expired:
            await client.get("/")
            await asyncio.sleep(_SHORT_LIFE + 1)  # some libraries count whole seconds, rounded up
        server.set(lifetime=_LONG_LIFE)
        server.reset()
        async with _measured() as run:
            await arrive(client, scale.herd, each_turn, run.calls)
    return _outcome(run, server.counts().requests)


async def herd_in_memory(library: Library, scale: Scale) -> Outcome:
    """Many callers with an empty cache, all in one turn of the event loop; the endpoint is in memory and takes 50 ms.

    Args:
        library: The library.
        scale: The number of callers.
    """
    requests = 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        await asyncio.sleep(TRIP)
        return httpx.Response(200, json=REPLY)

    place = Place(api=Api(spread(*API_DELAYS)), tokens=httpx.MockTransport(answer))
    async with library.open(place) as client, _measured() as run:
        await arrive(client, scale.herd, scale.herd, run.calls)
    return _outcome(run, requests)


async def revoked(library: Library, server: TokenServer, scale: Scale, *, over: float) -> Outcome:
    """A token is revoked, and calls with it are rejected.

    Args:
        library: The library.
        server: The token endpoint; it takes 50 ms.
        scale: The number of callers.
        over: Seconds over which the rejections are spread, before, during and after the renewal; with 0 all come before
            it has ended.
    """
    server.set(delay=TRIP, lifetime=_LONG_LIFE, down=False)
    api = Api(spread(*API_DELAYS))
    async with library.open(Place(api=api, url=server.url)) as client:
        await client.get("/")
        api.revoked |= api.seen
        api.delay = spread(0.0, over) if over else always(_TOGETHER)
        server.reset()
        async with _measured() as run:
            await arrive(client, scale.callers, ARRIVING, run.calls)
    return _outcome(run, server.counts().requests)


async def expiring(library: Library, server: TokenServer, scale: Scale) -> Outcome:
    """Callers call repeatedly while short-lived tokens expire one after another, at a slow endpoint."""
    server.set(delay=scale.endpoint_delay, lifetime=scale.lifetime, down=False)
    api = Api(spread(*API_DELAYS))
    async with library.open(Place(api=api, url=server.url)) as client:
        await client.get("/")
        server.reset()
        async with _measured() as run:
            await keep_calling(client, scale.callers, scale.every, scale.expiring, run.calls)
    counts = server.counts()
    return _outcome(run, counts.requests, a_lifetime=counts.most_within(scale.lifetime / 2))


async def outage_bridged(library: Library, server: TokenServer, scale: Scale) -> Outcome:
    """The endpoint goes down shortly before the token is due for renewal, and recovers before the token expires."""
    lifetime = round(scale.outage * 2.5 + 0.5)
    ahead = lifetime / 2
    # Renewal starts up to a quarter of the window earlier, at random.
    before = lifetime - ahead * 1.25 - scale.outage * 0.1
    server.set(delay=TRIP, lifetime=lifetime, down=False)
    api = Api(spread(*API_DELAYS))
    async with library.open(Place(api=api, url=server.url, ahead=ahead)) as client:
        begun = time.perf_counter()
        await client.get("/")
        async with _measured() as run:
            before -= time.perf_counter() - begun
            calling = asyncio.create_task(
                keep_calling(client, scale.callers, scale.every, before + scale.outage + 0.5, run.calls)
            )
            await asyncio.sleep(before)
            server.reset()
            server.set(down=True)
            await asyncio.sleep(scale.outage)
            server.set(down=False)
            await calling
    return _outcome(run, server.counts().while_down)


async def outage_dead(library: Library, server: TokenServer, scale: Scale) -> Outcome:
    """The endpoint is down when the token expires, and for a while after."""
    server.set(delay=TRIP, lifetime=_SHORT_LIFE, down=False)
    api = Api(spread(*API_DELAYS))
    async with library.open(Place(api=api, url=server.url)) as client:
        await client.get("/")
        await asyncio.sleep(_SHORT_LIFE + 1)
        server.reset()
        server.set(down=True, lifetime=_LONG_LIFE)
        async with _measured() as run:
            calling = asyncio.create_task(
                keep_calling(client, scale.callers, scale.every, scale.outage + 1.5, run.calls)
            )
            await asyncio.sleep(scale.outage)
            back = time.perf_counter()
            server.set(down=False)
            await calling
    served = [ended for ended in run.calls.ended if ended >= back]
    return _outcome(run, server.counts().while_down, recovery=min(served) - back if served else None)
