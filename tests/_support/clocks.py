"""Clocks that a test moves."""

from __future__ import annotations

from seic import Clock


class FakeClock:
    """A monotonic and a wall clock.

    Attributes:
        now: The monotonic time in seconds.
        wall: The wall-clock time, in seconds since the epoch.
    """

    def __init__(self, *, now: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self.now = now
        self.wall = wall

    @property
    def clock(self) -> Clock:
        """Both clocks as the SDK takes them."""
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
