"""Measuring calls, their times, and stalls of the event loop, and the statistics of these."""

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

#: Seconds between two checks of the loop.
_TICK = 0.001


@attrs.define
class Calls:
    """The results of API calls.

    Args:
        took: Seconds of each successful call.
        ended: The time at which each of them ended, by `time.perf_counter`.
        failed: The number of calls that raised or had another status.
    """

    took: list[float] = attrs.field(factory=list)
    ended: list[float] = attrs.field(factory=list)
    failed: int = 0

    async def make(self, client: httpx.AsyncClient) -> None:
        """Make one call and record its result."""
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
        """The time within which 99 of 100 successful calls end, in seconds."""
        return percentile(self.took, 0.99)

    def slower_than(self, seconds: float) -> int:
        """Return the number of calls that took longer."""
        return sum(took > seconds for took in self.took)


class ProcessorWait:
    """The time for which this thread waited for a processor that other programs used, if the system reports it (Linux).

    Stalls are measured without it, and the table shows its total.
    """

    def __init__(self) -> None:
        self._file: FileIO | None = None
        with contextlib.suppress(OSError):
            # The file belongs to the thread that opens it.
            self._file = FileIO("/proc/thread-self/schedstat")

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def seconds(self) -> float:
        """Return the seconds since the thread started; 0 if the system does not report it."""
        if self._file is None:
            return 0.0
        self._file.seek(0)
        return int(self._file.read(100).split()[1]) / 1e9


@attrs.define
class Stall:
    """The longest stall of the event loop in seconds, without the time of other programs."""

    longest: float = 0.0


@contextlib.asynccontextmanager
async def watch_loop() -> AsyncIterator[Stall]:
    """Watch the event loop: a task that sleeps repeatedly records how late it wakes."""
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
        await asyncio.sleep(0)  # ends the last stall before the result is read
    finally:
        monitor.cancel()


@contextlib.contextmanager
def settled_heap() -> Iterator[None]:
    """Collect garbage first, and freeze existing objects, so that each library starts with the same heap."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def keep_calling(client: httpx.AsyncClient, callers: int, every: float, seconds: float, calls: Calls) -> None:
    """Let callers make one call `every` so many seconds each, evenly distributed, for `seconds`."""
    begin = time.perf_counter()

    async def caller(number: int) -> None:
        due = begin + every * number / callers
        while due < begin + seconds:
            await asyncio.sleep(due - time.perf_counter())
            await calls.make(client)
            # A late call is not repeated: its caller continues with the next one that is due.
            due += every * max(1, math.ceil((time.perf_counter() - due) / every))

    await asyncio.gather(*(caller(number) for number in range(callers)))


async def arrive(client: httpx.AsyncClient, callers: int, each_turn: int, calls: Calls) -> None:
    """Make one call for each of many callers; some start in each turn of the event loop."""
    tasks = []
    for first in range(0, callers, each_turn):
        tasks += [asyncio.create_task(calls.make(client)) for _ in range(first, min(first + each_turn, callers))]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is greater than or equal to this share of the values; NaN if there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
