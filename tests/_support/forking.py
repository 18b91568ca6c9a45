"""A forked child of the test process, with its memory and without its threads."""

from __future__ import annotations

import os
import select
import warnings
from collections.abc import Callable

import pytest

#: The time limit of a child, in seconds.
_PATIENCE = 20.0

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(call: Callable[[], object]) -> str:
    """Fork, call a function in the child, and return its result or its error as text."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns if a process with threads forks
        child = os.fork()
    if child == 0:
        try:
            os.write(write, str(call()).encode())
        except BaseException as error:  # noqa: BLE001 - the parent has to hear of it
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    ready: list[int] = []
    try:
        ready, _, _ = select.select([read], [], [], _PATIENCE)
        return os.read(read, 10_000).decode() if ready else "it hangs"
    finally:
        os.close(read)
        if not ready:
            os.kill(child, 9)
        os.waitpid(child, 0)
