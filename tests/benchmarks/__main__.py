"""The command `python -m tests.benchmarks`, which `nox -s bench` runs: measures everything and prints the table."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks import rows
from tests.benchmarks.hot_path import find_valgrind
from tests.benchmarks.libraries import BARE, PEERS, SEIC
from tests.benchmarks.measuring import ProcessorWait
from tests.benchmarks.table import is_coloured, lines
from tests.benchmarks.token_server import TokenServer

_NO_VALGRIND = (
    "valgrind is not installed: the instructions of the hot path are not counted (`apt-get install valgrind`)"
)


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def _packages() -> str:
    found = []
    for name in ("httpx", "httpx-auth", "authlib", "azure-identity"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} is not installed")
    return ", ".join(found)


def main() -> int:
    """Measure, print, and return 1 if a count is not what it must be."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: whether it runs and the counts hold")
    effort = rows.QUICK if parser.parse_args().quick else rows.FULL

    begun, valgrind = time.monotonic(), find_valgrind() is not None
    _say("hot path" if valgrind else _NO_VALGRIND)
    measured = rows.hot_path(effort, valgrind=valgrind)
    waited = ProcessorWait()
    with TokenServer() as server:
        measured += rows.Bench(server, effort, _say).rows()
    took = time.monotonic() - begun
    if not effort.is_judged:
        measured = [row.unjudged() for row in measured]

    print(f"Python {platform.python_version()}, {_packages()}")
    columns = [SEIC.name, BARE.name, *(peer.name for peer in PEERS if peer.is_here)]
    for line in lines(measured, columns, colour=is_coloured()):
        print(line)
    if not valgrind:
        print(_NO_VALGRIND)
    others = waited.seconds() / took
    print(f"{took:.0f} s; for {others:.0%} of it other programs had the processor that the scenarios needed")
    missed = [row for row in measured if row.is_reached is False]
    wrong = [row for row in missed if row.figure.exact]
    if missed:
        print(f"not reached: {len(missed)}, of which counts: {len(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
