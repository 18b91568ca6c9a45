"""Requests per second over mutual TLS to an nginx, as shipped, compared with the bare client of the same library.

The bare client has a static header, the same TLS context, and the same limits: those of httpx. All clients of a round
run in turn, each with new connections and an nginx of its own, which counts the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import httpx2

import seic
import seic.httpx2
from tests._support import pki
from tests._support.edge import Edge
from tests._support.swapping import PairOnDisk, settings_for
from tests.benchmarks.libraries import BARE, SEIC
from tests.benchmarks.measuring import ProcessorWait, settled_heap
from tests.benchmarks.rows import Effort, Figure, Row, count

#: The library, whether it is HTTP/2, the callers, and the least ratio of requests per second.
_MEASURES = (
    ("httpx", False, 1, 1.2),
    ("httpx", False, 32, 3.0),
    ("httpx", False, 200, 4.0),
    ("httpx2", False, 1, 1.0),
    ("httpx2", False, 32, 1.1),
    ("httpx2", False, 200, 1.8),
    ("httpx", True, 1, 1.0),
    ("httpx", True, 32, 1.0),
    ("httpx", True, 200, 1.0),
)
_ROUNDS = 3
_PATH = "/v1/x"
#: The seconds of a run, and those before it, in which connections are opened.
_SECONDS, _WARM_UP = 0.6, 0.3
#: A call that takes longer is slow; the seconds of the calls with rotations, between two of these, and between the
#: calls of each caller.
_SLOW, _ROTATING, _BETWEEN, _EVERY = 0.25, 14.0, 2.0, 0.5
_HTTP2_CALLS = 10_000


@attrs.frozen
class Run:
    """The results of one client: requests per second without the time of other programs, and connections."""

    rate: float
    connections: int
    microseconds: float


def rows(effort: Effort, say: Callable[[str], None]) -> Iterator[Row]:
    """Measure, and return the rows."""
    judged = effort.is_judged
    seconds = _SECONDS if judged else 0.2
    for library, http2, callers, least in _MEASURES:
        version = "2" if http2 else "1.1"
        what = f"mutual TLS, HTTP/{version}, {callers} caller{'s' * (callers > 1)}, against bare {library}"
        say(what)
        pairs = [
            [_run(library, callers, bare=bare, http2=http2, seconds=seconds) for bare in (True, False)]
            for _ in range(_ROUNDS if judged else 1)
        ]
        ratio = statistics.median(own.rate / bare.rate for bare, own in pairs)
        yield Row(what, Figure("requests per second, ratio", least=least), {SEIC.name: ratio})
        yield _row(what, Figure("requests per second", digits=0), pairs, lambda run: run.rate)
        yield _row(what, Figure("processor time of a call", digits=0, unit=" µs"), pairs, lambda run: run.microseconds)
        yield _row(what, Figure("connections", digits=0), pairs, lambda run: run.connections)
    yield from _ends(say, _HTTP2_CALLS if judged else 2500)
    yield from _rotations(say, _ROTATING if judged else 5.0)


def _row(what: str, figure: Figure, pairs: list[list[Run]], value: Callable[[Run], float]) -> Row:
    bare, own = (statistics.median(value(pair[at]) for pair in pairs) for at in (0, 1))
    return Row(what, figure, {SEIC.name: own, BARE.name: bare})


@contextlib.contextmanager
def _edge(*, http2: bool = False) -> Iterator[tuple[Edge, seic.Config, PairOnDisk, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        root = pki.authority()
        disk = PairOnDisk(Path(folder) / "pair", pki.mint(issuer=root, number=1))
        with Edge(Path(folder) / "nginx", root, http2=http2) as edge:
            yield edge, settings_for(edge, root, certificate=disk.load()), disk, root


def _client(library: str, config: seic.Config, *, bare: bool, http2: bool) -> Any:
    module: Any = httpx if library == "httpx" else httpx2
    options = {"http2": http2, "timeout": module.Timeout(60)}
    if not bare:
        kind: Any = seic.AsyncClient if library == "httpx" else seic.httpx2.AsyncClient
        return kind(config, **options)
    context = seic.create_ssl_context(certificate=config.certificate, ca=config.ca)
    headers = {"Authorization": f"Bearer {'t' * 40}", "AppKey": config.client_id}
    return module.AsyncClient(verify=context, base_url=config.base_url, headers=headers, **options)


def _run(library: str, callers: int, *, bare: bool, http2: bool, seconds: float) -> Run:
    with _edge(http2=http2) as (edge, config, _, _):
        rate, microseconds = asyncio.run(_call(_client(library, config, bare=bare, http2=http2), callers, seconds))
        connections = len({line.connection for line in edge.log() if line.path == _PATH})
    return Run(rate, connections, microseconds)


async def _call(client: Any, callers: int, seconds: float) -> tuple[float, float]:
    """Return the calls per second, and the microseconds of processor time of each."""
    ended, is_over = 0, False

    async def call() -> None:
        nonlocal ended
        while not is_over:
            # A bare client fails when the server ends a connection.
            with contextlib.suppress(httpx.HTTPError, httpx2.HTTPError):
                await client.get(_PATH)
                ended += 1

    async with client:
        calling = [asyncio.create_task(call()) for _ in range(callers)]
        await asyncio.sleep(_WARM_UP)
        with settled_heap():
            ended, waited = 0, ProcessorWait()
            others, begun, used = waited.seconds(), time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            used, took = time.process_time() - used, time.perf_counter() - begun - (waited.seconds() - others)
        # At least one, so that a ratio exists.
        count = max(ended, 1)
        is_over = True
        await asyncio.gather(*calling)
    return count / took, 1e6 * used / count


def _ends(say: Callable[[str], None], calls: int) -> Iterator[Row]:
    what = f"HTTP/2, {calls:,} calls, 200 at once, connections end after 1,000"
    say(what)
    failed: dict[str, float | None] = {}
    for name, bare in ((SEIC.name, False), (BARE.name, True)):
        with _edge(http2=True) as (_, config, _, _):
            failed[name] = asyncio.run(_count_failed(_client("httpx", config, bare=bare, http2=True), calls))
    yield Row(what, count("calls failed", 0), failed)


async def _count_failed(client: Any, calls: int) -> int:
    left, failed = iter(range(calls)), 0

    async def call() -> None:
        nonlocal failed
        for _ in left:
            try:
                await client.get(_PATH)
            except httpx.HTTPError:
                failed += 1

    async with client:
        await asyncio.gather(*(call() for _ in range(200)))
    return failed


def _rotations(say: Callable[[str], None], seconds: float) -> Iterator[Row]:
    what = f"200 callers for {seconds:g} s, a rotation each {_BETWEEN:g} s"
    say(what)
    slow, failed, ended = 0, 0, threading.Event()
    with _edge() as (edge, config, disk, root):

        def rotate() -> None:
            number = 1
            while not ended.wait(_BETWEEN):
                number += 1
                disk.put(pki.mint(issuer=root, number=number))

        async def main() -> None:
            nonlocal slow, failed
            client = _client("httpx", config, bare=False, http2=False)
            async with client:
                await asyncio.gather(*(client.get(_PATH) for _ in range(200)))
                end = time.perf_counter() + seconds

                waited = ProcessorWait()

                async def call(number: int) -> None:
                    nonlocal slow, failed
                    await asyncio.sleep(number * _EVERY / 200)
                    while (begun := time.perf_counter()) < end:
                        others = waited.seconds()
                        try:
                            await client.get(_PATH)
                        except httpx.HTTPError:
                            failed += 1
                        took = time.perf_counter() - begun
                        slow += took - (waited.seconds() - others) > _SLOW
                        await asyncio.sleep(max(0.0, _EVERY - took))

                await asyncio.gather(*(call(number) for number in range(200)))

        rotating = threading.Thread(target=rotate)
        rotating.start()
        try:
            asyncio.run(main())
        finally:
            ended.set()
            rotating.join()
        serials = len({line.serial for line in edge.log()})
    yield Row(what, count("calls failed", 0), {SEIC.name: failed})
    yield Row(what, Figure(f"calls over {_SLOW:g} s", 0, digits=0), {SEIC.name: slow})
    yield Row(what, Figure("certificates used", digits=0), {SEIC.name: serials})
