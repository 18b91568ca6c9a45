"""What the libraries go through: each scenario is written once and runs with any of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import attrs

from tests.benchmarks.api import Api, always, spread
from tests.benchmarks.libraries import Library, Place
from tests.benchmarks.measuring import Calls, ProcessorWait, Stall, arrive, keep_calling, settled_heap, watch_loop
from tests.benchmarks.token_server import TokenServer

#: Seconds that an API call takes at least and at most, as over a network; calls that all took the same would come back
#: in step, which none do.
API_DELAYS = (0.005, 0.015)
#: Seconds that a token request takes, where nothing else is said.
TRIP = 0.050
#: How many callers of a herd arrive with each turn of the event loop: as sockets bring them, not as a loop makes them.
ARRIVING = 10
#: A token that lives so long is dead a moment after it is had; every library takes whole seconds only.
_SHORT_LIFE = 1
_LONG_LIFE = 3600
#: Seconds that an API call takes where all rejections are to come before the renewal has ended.
_TOGETHER = 0.010


@attrs.frozen(kw_only=True)
class Outcome:
    """What one run of a scenario with one library showed; times are in seconds.

    Args:
        requests: Token requests that reached the endpoint, in an outage those during it.
        calls: What became of the API calls.
        wall: From the first caller to the last one served.
        stall: The event loop's longest stall.
        a_lifetime: The most token requests within half a token's lifetime, where tokens expire: renewals of one token
            come that close, those of two do not.
        recovery: From the moment the endpoint came back to the first call served; None where it did not go down.
        others: The share of the wall time for which the run waited for a processor that other programs had.
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
    """How large and how long the scenarios are; times are in seconds.

    Args:
        herd: Callers who come at once.
        callers: Callers who keep calling.
        every: How often each of them calls.
        lifetime: Of the tokens that keep expiring.
        endpoint_delay: Of the token endpoint while they do.
        expiring: How long they keep expiring.
        outage: How long the endpoint is down.
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
    """What is noted while a scenario runs."""

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
    """Many callers meet an empty or an expired cache.

    Args:
        library: Who is measured.
        server: The token endpoint; it takes 50 ms.
        scale: How many callers.
        expired: Whether there was a token before.
        each_turn: How many arrive with each turn of the event loop.
    """
    server.set(delay=TRIP, lifetime=_SHORT_LIFE, down=False)
    api = Api(spread(*API_DELAYS))
    async with library.open(Place(api=api, url=server.url)) as client:
        if expired:
            await client.get("/")
            await asyncio.sleep(_SHORT_LIFE + 1)  # some count whole seconds, rounded up
        server.set(lifetime=_LONG_LIFE)
        server.reset()
        async with _measured() as run:
            await arrive(client, scale.herd, each_turn, run.calls)
    return _outcome(run, server.counts().requests)


async def revoked(library: Library, server: TokenServer, scale: Scale, *, over: float) -> Outcome:
    """A token is revoked behind everybody's back, and calls that carry it are rejected.

    Args:
        library: Who is measured.
        server: The token endpoint; it takes 50 ms.
        scale: How many callers.
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
    """Callers keep calling while short-lived tokens run out, one after another, at a slow endpoint."""
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
    """The endpoint goes down shortly before the token is due for renewal, and is back before it dies."""
    lifetime = round(scale.outage * 2.5 + 0.5)
    ahead = lifetime / 2
    # A fleet does not renew in step: by chance, renewal is due up to a quarter of the window earlier.
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
    """The endpoint is down when the token dies, and stays so for a while."""
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
