"""`MockClocks`: a monotonic and a wall clock that a test moves."""

from __future__ import annotations

import time

from seic._tokens.clock import Clock


class MockClocks:
    """A monotonic and a wall clock, which move only when told to.

    Args:
        now: The monotonic time in seconds; by default the system's.
        wall: Seconds since the epoch; by default the system's.

    Attributes:
        now: The monotonic time in seconds.
        wall: The wall-clock time, in seconds since the epoch.
    """

    def __init__(self, *, now: float | None = None, wall: float | None = None) -> None:
        self.now: float = time.monotonic() if now is None else now
        self.wall: float = time.time() if wall is None else wall

    @property
    def clock(self) -> Clock:
        """Both clocks, for `seic.AsyncClient(clock=...)`."""
        return Clock(monotonic=lambda: self.now, wall=lambda: self.wall)

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.now += seconds
        self.wall += seconds

    def sleep(self, seconds: float) -> None:
        """Advance the wall clock only, as while the machine sleeps."""
        self.wall += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self.wall += seconds
