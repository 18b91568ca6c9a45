"""The two clocks that tokens live by, handed in so that tests can move them."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs


@attrs.frozen
class Clock:
    """A monotonic clock for lifetimes and the wall clock that re-checks it, both in seconds.

    The monotonic clock stands still while a machine sleeps; the wall clock is stepped by people and NTP. Each alone
    is wrong at times, and they are never wrong in the same way.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()
