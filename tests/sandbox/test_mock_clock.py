"""The clock that tests move."""

from __future__ import annotations

import pytest

from seic.sandbox import MockClock


def test_clock_moves_only_when_advanced() -> None:
    """It returns the start plus the seconds added since."""
    clock = MockClock(start=5.0)
    assert [clock(), clock()] == [5.0, 5.0]
    clock.advance(2.5)
    clock.advance(0)
    assert clock() == 7.5


def test_clock_never_goes_back() -> None:
    """A negative step is an error and changes nothing."""
    clock = MockClock()
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-0.1)
    assert clock() == 0.0
