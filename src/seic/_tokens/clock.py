"""The two clocks of token lifetimes, which tests can replace."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs


@attrs.frozen
class Clock:
    """A monotonic clock for lifetimes, and the wall clock that is compared with it, both in seconds.

    The monotonic clock can stop while a machine sleeps; users and NTP adjust the wall clock. Each alone can be wrong,
    but not both in the same way.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()
