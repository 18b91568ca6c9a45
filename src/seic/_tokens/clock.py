"""`Clock`: the monotonic clock and the wall clock of token lifetimes, and the system's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from operator import methodcaller

from seic._public import publish
from seic._values import frozen

# Looked up with each call, because freezegun replaces the attributes of `time`; and in C, for the way of each request.
_monotonic: Callable[[], float] = partial(methodcaller("monotonic"), time)
_wall: Callable[[], float] = partial(methodcaller("time"), time)


@frozen
class Clock:
    """A monotonic clock for lifetimes and a wall clock that checks it, both in seconds.

    The monotonic clock may not advance while a machine sleeps; the wall clock is changed by people and NTP. Each can be
    wrong, but not both in the same way. The defaults are the system's clocks, or those of freezegun or time-machine.

    Args:
        monotonic: Returns a time that never goes back.
        wall: Returns seconds since the epoch.
    """

    monotonic: Callable[[], float] = _monotonic
    wall: Callable[[], float] = _wall


SYSTEM_CLOCK = Clock()


publish("seic", ["Clock"], globals())
