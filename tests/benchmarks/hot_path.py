"""A call whose token is valid: what it costs beside the same call with a static header, in instructions and in time.

As a program, `python -m tests.benchmarks.hot_path NAME CALLS` makes that many calls with one library; callgrind counts
its instructions.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import attrs
import httpx

from tests.benchmarks.api import NoOp
from tests.benchmarks.libraries import (
    API_PATH,
    AUTHLIB,
    BARE,
    BARE_GATEWAY,
    HTTPX_AUTH,
    SEIC,
    SEIC_GATEWAY,
    Library,
    Place,
    tokens_of_an_hour,
)
from tests.benchmarks.measuring import ProcessorWait, settled_heap

#: What is measured by the name that the program is given.
_BY_NAME = {
    "bare": BARE,
    "bare-gateway": BARE_GATEWAY,
    "seic": SEIC,
    "seic-gateway": SEIC_GATEWAY,
    "httpx-auth": HTTPX_AUTH,
    "authlib": AUTHLIB,
}
#: Calls before anything is counted: the token is there then, and what httpx and Python keep is warm.
_WARM_UP = 20
_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


@attrs.frozen
class Pair:
    """A library and the static headers that it is measured against."""

    name: str
    against: str
    varied: bool = False

    @property
    def library(self) -> Library:
        """The library."""
        return _BY_NAME[self.name]


#: The row that counts, one for each shape of the API's headers; the second sends two.
OURS = (Pair("seic", "bare"), Pair("seic-gateway", "bare-gateway"))
#: What the same costs where no two calls have the same headers.
OURS_VARIED = (Pair("seic", "bare", varied=True), Pair("seic-gateway", "bare-gateway", varied=True))
THEIRS = (Pair("httpx-auth", "bare"), Pair("authlib", "bare"))


def find_valgrind() -> str | None:
    """Return where valgrind is, or None."""
    return shutil.which("valgrind")


def count_instructions(pairs: Sequence[Pair], calls: int) -> dict[Pair, float]:
    """Return the instructions of a call for each pair, as a share of those of the static header's.

    Each is run with `calls` and with twice as many; the difference is free of what starting costs. Instructions do not
    depend on what else the machine does, so as many run at once as there are processors.
    """
    runs = sorted({(name, pair.varied) for pair in pairs for name in (pair.name, pair.against)})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        single = [pool.submit(_count, name, calls, varied=varied) for name, varied in runs]
        double = [pool.submit(_count, name, 2 * calls, varied=varied) for name, varied in runs]
        each = {run: (two.result() - one.result()) / calls for run, one, two in zip(runs, single, double, strict=True)}
    return {pair: each[pair.name, pair.varied] / each[pair.against, pair.varied] for pair in pairs}


def _count(name: str, calls: int, *, varied: bool) -> int:
    program = [sys.executable, "-m", "tests.benchmarks.hot_path", name, str(calls), *(["varied"] if varied else [])]
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *program],
        # The same hashes in each run, so that dictionaries fill up alike.
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = _COLLECTED.search(run.stderr)
    if run.returncode or found is None:
        raise RuntimeError(f"callgrind failed with {name}:\n{run.stderr}")
    return int(found[1])


def compare_times(pairs: Sequence[Pair], rounds: int, calls: int) -> dict[Pair, float]:
    """Return the time of a call for each pair, as a share of that of the static header's.

    In each round every library makes some calls, in another order each time; a ratio is the median of the rounds'.
    """
    return asyncio.run(_compare_times(pairs, rounds, calls))


async def _compare_times(pairs: Sequence[Pair], rounds: int, calls: int) -> dict[Pair, float]:
    names = sorted({name for pair in pairs for name in (pair.name, pair.against)})
    took: dict[str, list[float]] = {name: [] for name in names}
    waited = ProcessorWait()
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(_BY_NAME[name].open(_place())) for name in names}
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


def _place() -> Place:
    return Place(api=NoOp(), tokens=tokens_of_an_hour())


async def _call(client: httpx.AsyncClient, calls: int) -> None:
    for _ in range(calls):
        await client.get(API_PATH)


async def _call_varied(client: httpx.AsyncClient, calls: int) -> None:
    for number in range(calls):
        await client.get(API_PATH, headers={"X-Request-Id": str(number)})


async def _main(name: str, calls: int, *, varied: bool) -> None:
    async with _BY_NAME[name].open(_place()) as client:
        call = _call_varied if varied else _call
        await call(client, _WARM_UP)
        with settled_heap():
            await call(client, calls)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), varied="varied" in sys.argv))
