"""A clock for tests that moves only when told to."""

from __future__ import annotations

import threading


class MockClock:
    """Returns the same time until a test moves it, from any thread.

    Args:
        start: The first time, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._seconds = start

    def __call__(self) -> float:
        """Return the time in seconds."""
        with self._lock:
            return self._seconds

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            ValueError: `seconds` is negative; a monotonic clock never goes back.
        """
        if seconds < 0:
            raise ValueError(f"a clock moves forward only, not by {seconds} seconds")
        with self._lock:
            self._seconds += seconds
