"""The clocks of the testing kit, from a fixed time on."""

from __future__ import annotations

from seic.testing import MockClocks


class FakeClock(MockClocks):
    """A monotonic and a wall clock, whose first times are the same in each run."""

    def __init__(self, *, now: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        super().__init__(now=now, wall=wall)
