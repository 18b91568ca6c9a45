from __future__ import annotations

import pytest

from seic.fastapi import pockets
from seic.fastapi.pockets import LOGIN_TAKES, Used


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.mark.parametrize(("after", "first"), [(LOGIN_TAKES - 0.1, False), (LOGIN_TAKES, True)], ids=["within", "over"])
def test_a_state_is_remembered_for_as_long_as_its_seal_counts(after: float, first: bool) -> None:
    """After that nobody could use it anyway, and memory is free again."""
    clock = Clock()
    used = Used(clock)

    assert used.take("state-1")
    assert not used.take("state-1")
    clock.now += after
    assert used.take("state-1") is first


def test_so_many_states_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins login after login fills no memory; the oldest goes first."""
    monkeypatch.setattr(pockets, "_REMEMBERED", 3)
    used = Used(Clock())
    for number in range(4):
        assert used.take(f"state-{number}")

    assert len(used._ends) == 3
    assert not used.take("state-3")
    assert used.take("state-0")
