"""`Clock`: the monotonic clock and the wall clock of token lifetimes, and the system's clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from operator import methodcaller

import attrs

# The attributes of `time` are read with each call, because freezegun replaces them; without a Python function, because
# every request asks both.
_monotonic: Callable[[], float] = partial(methodcaller("monotonic"), time)
_wall: Callable[[], float] = partial(methodcaller("time"), time)


@attrs.frozen
class Clock:
    """A monotonic clock for lifetimes and a wall clock that checks it, both in seconds.

    The monotonic clock may not advance while a machine sleeps; the wall clock is changed by people and NTP. Each can be
    wrong, but not both in the same way. The defaults are the system's clocks, or those of freezegun or time-machine.

    Args:
        monotonic: Returns a time that never decreases.
        wall: Returns seconds since the epoch.
    """

    monotonic: Callable[[], float] = _monotonic
    wall: Callable[[], float] = _wall


SYSTEM_CLOCK = Clock()
