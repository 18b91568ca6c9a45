"""Instructions, counted by valgrind's callgrind: a figure that other programs do not affect."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


def find_valgrind() -> str | None:
    """Return the path of valgrind, or None."""
    return shutil.which("valgrind")


def count(module: str, runs: Sequence[Sequence[str]]) -> list[int]:
    """Return the instructions inside `counted` for each run of a program; the runs use all processors.

    Args:
        module: The program.
        runs: The arguments of each run.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [*pool.map(lambda arguments: _count(module, arguments), runs)]


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Count the block, in a program that `count` runs. Code before it is not counted."""
    _switch("on")
    yield
    _switch("off")


def _switch(state: str) -> None:
    control = ["callgrind_control", "--instr=" + state, str(os.getpid())]
    subprocess.run(control, stdout=subprocess.DEVNULL, check=True)


def _count(module: str, arguments: Sequence[str]) -> int:
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    run = subprocess.run(
        [*callgrind, sys.executable, "-m", module, *arguments],
        # The same hashes in each run, so that dictionaries have the same layout.
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = _COLLECTED.search(run.stderr)
    if run.returncode or found is None or not int(found[1]):
        raise RuntimeError(f"callgrind failed with {module} {' '.join(arguments)}:\n{run.stderr}")
    return int(found[1])
