"""A forked child of the tests' process, which has its parent's memory and none of its threads."""

from __future__ import annotations

import os
import select
import warnings
from collections.abc import Callable

import pytest

#: How long a child may take, in seconds.
_PATIENCE = 20.0

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(call: Callable[[], object]) -> str:
    """Fork, run the call in the child, and return the text of its result, or of what it raised."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
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
