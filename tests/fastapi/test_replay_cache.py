from __future__ import annotations

import pytest

from seic.fastapi._login_state import LOGIN_TIMEOUT, ReplayCache


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.mark.parametrize(
    ("after", "first"), [(LOGIN_TIMEOUT - 0.1, False), (LOGIN_TIMEOUT, True)], ids=["within", "over"]
)
def test_a_state_is_remembered_for_as_long_as_its_seal_counts(after: float, first: bool) -> None:
    """After that nobody could use it anyway, and memory is free again."""
    clock = Clock()
    used = ReplayCache(clock)

    assert used.add("state-1")
    assert not used.add("state-1")
    clock.now += after
    assert used.add("state-1") is first


def test_so_many_states_are_remembered_and_no_more() -> None:
    """Whoever begins login after login fills no memory; the oldest goes first."""
    used = ReplayCache(Clock(), capacity=3)
    for number in range(4):
        assert used.add(f"state-{number}")

    assert len(used._ends) == 3
    assert not used.add("state-3")
    assert used.add("state-0")
