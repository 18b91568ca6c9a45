"""How things are measured: calls and their times, the event loop's stalls, and what numbers become of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from io import FileIO

import attrs
import httpx

from tests.benchmarks.libraries import API_PATH

#: How often the monitor looks at the loop, in seconds.
_TICK = 0.001


@attrs.define
class Calls:
    """What became of API calls.

    Args:
        took: Seconds of each call that was answered with a success.
        ended: When those ended, by the clock of `time.perf_counter`.
        failed: How many raised, or were answered with anything else.
    """

    took: list[float] = attrs.field(factory=list)
    ended: list[float] = attrs.field(factory=list)
    failed: int = 0

    async def make(self, client: httpx.AsyncClient) -> None:
        """Make one call and note what became of it."""
        begun = time.perf_counter()
        try:
            response = await client.get(API_PATH)
        except Exception:  # noqa: BLE001  # each library has errors of its own
            self.failed += 1
            return
        ended = time.perf_counter()
        if response.status_code == 200:
            self.took.append(ended - begun)
            self.ended.append(ended)
        else:
            self.failed += 1

    @property
    def p99(self) -> float:
        """The time that 99 of 100 successful calls stay below, in seconds."""
        return percentile(self.took, 0.99)

    def slower_than(self, seconds: float) -> int:
        """How many took longer."""
        return sum(took > seconds for took in self.took)


class ProcessorWait:
    """How long this thread has waited for a processor that other programs had, where the system tells (Linux).

    Their share is no library's doing: stalls are measured without it, and the table tells how much there was.
    """

    def __init__(self) -> None:
        self._file: FileIO | None = None
        with contextlib.suppress(OSError):
            # It is of the thread that opens it.
            self._file = FileIO("/proc/thread-self/schedstat")

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def seconds(self) -> float:
        """Return the seconds since the thread began; always 0 where the system does not tell."""
        if self._file is None:
            return 0.0
        self._file.seek(0)
        return int(self._file.read(100).split()[1]) / 1e9


@attrs.define
class Stall:
    """The longest time for which the event loop came to nobody, in seconds, less what other programs took of it."""

    longest: float = 0.0


@contextlib.asynccontextmanager
async def watch_loop() -> AsyncIterator[Stall]:
    """Watch the event loop: a task that sleeps for a moment again and again notes by how much it wakes too late."""
    stall = Stall()
    waited = ProcessorWait()

    async def look() -> None:
        while True:
            begun, others = time.perf_counter(), waited.seconds()
            await asyncio.sleep(_TICK)
            late = time.perf_counter() - begun - _TICK - (waited.seconds() - others)
            stall.longest = max(stall.longest, late)

    monitor = asyncio.create_task(look())
    await asyncio.sleep(0)
    try:
        yield stall
        await asyncio.sleep(0)  # the last stall ends before anyone looks away
    finally:
        monitor.cancel()


@contextlib.contextmanager
def settled_heap() -> Iterator[None]:
    """Begin with nothing to collect, and spare the collector what was there before: each library is a different lot."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def keep_calling(client: httpx.AsyncClient, callers: int, every: float, seconds: float, calls: Calls) -> None:
    """Have callers make a call `every` so many seconds each, evenly spread, for `seconds`."""
    begin = time.perf_counter()

    async def caller(number: int) -> None:
        due = begin + every * number / callers
        while due < begin + seconds:
            await asyncio.sleep(due - time.perf_counter())
            await calls.make(client)
            # A call that waited is not made up for: its caller goes on with the next one that is due.
            due += every * max(1, math.ceil((time.perf_counter() - due) / every))

    await asyncio.gather(*(caller(number) for number in range(callers)))


async def arrive(client: httpx.AsyncClient, callers: int, each_turn: int, calls: Calls) -> None:
    """Make one call for each of many callers, of whom some arrive with each turn of the event loop."""
    tasks = []
    for first in range(0, callers, each_turn):
        tasks += [asyncio.create_task(calls.make(client)) for _ in range(first, min(first + each_turn, callers))]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so many are no larger than; not a number where there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
