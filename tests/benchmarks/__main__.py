"""The command `python -m tests.benchmarks`, which `nox -s bench` runs: run all measurements and print the table."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks import cold_start, rows
from tests.benchmarks.callgrind import find_valgrind
from tests.benchmarks.libraries import BARE, PEERS, SEIC
from tests.benchmarks.measuring import ProcessorWait
from tests.benchmarks.table import is_coloured, lines
from tests.benchmarks.token_server import TokenServer

_NO_VALGRIND = (
    "valgrind is not installed: the instructions of the hot path are not counted (`apt-get install valgrind`)"
)


class _Progress:
    """Prints the current measurement: in one changing line on a terminal, otherwise one line for each."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._shown = ""

    def say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        if sys.stderr.isatty():
            print(f"\r\x1b[K{minutes}:{seconds:02} {text} …", end="", file=sys.stderr, flush=True)
        elif (part := text.partition(", round")[0]) != self._shown:
            self._shown = part
            print(f"{minutes}:{seconds:02} {part} …", file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _packages() -> str:
    found = []
    for name in ("httpx", "httpx-auth", "authlib", "azure-identity"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} is not installed")
    return ", ".join(found)


def main() -> int:
    """Measure, print, and return 1 if a row misses its limit."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: whether it runs and the counts hold")
    effort = rows.QUICK if parser.parse_args().quick else rows.FULL

    # Warnings of an endpoint that is down on purpose would hide the progress.
    logging.getLogger("seic").addHandler(logging.NullHandler())
    begun, valgrind, progress = time.monotonic(), find_valgrind() is not None, _Progress()
    waited = ProcessorWait()
    with TokenServer() as server:
        measured = [*rows.Bench(server, effort, progress.say, valgrind).rows()]
    measured += cold_start.rows(effort, progress.say)
    # Here, since it imports httpx2, which the processes that use httpx alone do without.
    from tests.benchmarks import throughput

    measured += throughput.rows(effort, progress.say)
    progress.end()
    took = time.monotonic() - begun
    if not effort.is_judged:
        measured = [row.unjudged() for row in measured]

    columns = [SEIC.name, BARE.name, *(peer.name for peer in PEERS if peer.is_here)]
    for line in lines(measured, columns, colour=is_coloured()):
        print(line)
    print()
    print(f"Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} processors; {_packages()}")
    print(f"{took:.0f} s, of which other programs had the processor for {waited.seconds():.0f} s when it was needed")
    if not valgrind:
        print(_NO_VALGRIND)
    missed = [row for row in measured if row.is_reached is False]
    for row in missed:
        print(f"not reached: {row.measure}: {row.figure.of}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
