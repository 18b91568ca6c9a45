"""A clock for tests that moves only when told to."""

from __future__ import annotations

import threading


class ManualClock:
    """A clock that stands still until it is moved, from any thread.

    Args:
        start: What it shows at first, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._seconds = start

    def __call__(self) -> float:
        """Return what it shows, in seconds."""
        with self._lock:
            return self._seconds

    def advance(self, seconds: float) -> None:
        """Move the clock on.

        Raises:
            ValueError: The step is negative; a monotonic clock never goes back.
        """
        if seconds < 0:
            raise ValueError(f"a clock moves forward only, not by {seconds} seconds")
        with self._lock:
            self._seconds += seconds
