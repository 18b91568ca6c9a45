"""Clocks that stand still until a test moves them."""

from __future__ import annotations

from seic import Clock


class FakeClock:
    """Both clocks of a machine.

    Attributes:
        now: What the monotonic clock shows, in seconds.
        wall: What the wall clock shows, in seconds since the epoch.
    """

    def __init__(self, *, now: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self.now = now
        self.wall = wall

    @property
    def clock(self) -> Clock:
        """The clock that a source is given."""
        return Clock(monotonic=lambda: self.now, wall=lambda: self.wall)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += seconds

    def sleep(self, seconds: float) -> None:
        """Let the machine sleep: only the wall clock goes on."""
        self.wall += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self.wall += seconds
